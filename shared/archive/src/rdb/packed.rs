//! The small containers that Redis packs into one string: listpack, ziplist, intset, zipmap.
//!
//! Each check walks a container from its first entry to its end and returns the number of entries.
//! It holds what the server's own deep check holds (`sanitize-dump-payload yes`), which it does not
//! make when it loads a snapshot: a container that breaks one of these rules can crash it later.

/// The entries of a listpack (`listpack.c` of Redis: total bytes in 4, entries in 2, then entries
/// with their own length behind them, then 255).
pub(crate) fn listpack(bytes: &[u8]) -> Result<u64, &'static str> {
    let (header, mut rest) = bytes.split_first_chunk::<6>().ok_or("is shorter than its header")?;
    let [total @ .., low, high] = *header;
    if u64::from(u32::from_le_bytes(total)) != bytes.len() as u64 {
        return Err("has not the length that its header says");
    }
    let mut count = 0;
    loop {
        let (&first, _) = rest.split_first().ok_or("has no end")?;
        if first == 0xff {
            break;
        }
        let length = listpack_entry(rest, first)?;
        rest = rest.get(length..).ok_or("has an entry that reaches beyond its end")?;
        rest = after_back_length(rest, length)
            .ok_or("has an entry whose length behind it is not its length")?;
        count += 1;
    }
    finish(rest, count, u16::from_le_bytes([low, high]))
}

/// Bytes of a listpack's entry without the length behind it.
fn listpack_entry(rest: &[u8], first: u8) -> Result<usize, &'static str> {
    Ok(match first {
        0x00..=0x7f => 1,
        0x80..=0xbf => 1 + usize::from(first & 0x3f),
        0xc0..=0xdf => 2,
        0xe0..=0xef => {
            let low = rest.get(1).ok_or("has no end")?;
            2 + (usize::from(first & 0x0f) << 8 | usize::from(*low))
        }
        0xf0 => {
            let length = rest.get(1..).and_then(<[u8]>::first_chunk).ok_or("has no end")?;
            usize::try_from(u32::from_le_bytes(*length))
                .ok()
                .and_then(|length| length.checked_add(5))
                .ok_or("has an entry that reaches beyond its end")?
        }
        0xf1 => 3,
        0xf2 => 4,
        0xf3 => 5,
        0xf4 => 9,
        0xf5..=0xff => return Err("has an entry of an unknown kind"),
    })
}

/// What follows the length behind an entry: seven bits a byte, the last ones last, each byte but
/// the first with its highest bit set. Its size follows from the length (`lpEncodeBacklen`).
fn after_back_length(rest: &[u8], length: usize) -> Option<&[u8]> {
    let size = match length {
        0..=127 => 1,
        128..=16_382 => 2,
        16_383..=2_097_150 => 3,
        2_097_151..=268_435_454 => 4,
        _ => 5,
    };
    let (back, after) = rest.split_at_checked(size)?;
    let mut left = length;
    for (index, &byte) in back.iter().enumerate().rev() {
        let seven = u8::try_from(left & 0x7f).ok()?;
        let expected = if index == 0 { seven } else { seven | 0x80 };
        if byte != expected {
            return None;
        }
        left >>= 7;
    }
    (left == 0).then_some(after)
}

/// The entries of a ziplist (`ziplist.c` of Redis: total bytes in 4, offset of the last entry in 4,
/// entries in 2, then entries with the length of the one before, then 255).
pub(crate) fn ziplist(bytes: &[u8]) -> Result<u64, &'static str> {
    let (header, mut rest) = bytes.split_first_chunk::<10>().ok_or("is shorter than its header")?;
    let [t0, t1, t2, t3, tail @ .., low, high] = *header;
    if u64::from(u32::from_le_bytes([t0, t1, t2, t3])) != bytes.len() as u64 {
        return Err("has not the length that its header says");
    }
    let tail = u64::from(u32::from_le_bytes(tail));
    let (mut count, mut before, mut at, mut last) = (0, 0_u64, 10_u64, 10_u64);
    loop {
        let (&first, _) = rest.split_first().ok_or("has no end")?;
        if first == 0xff {
            break;
        }
        let (said, size) = if first == 0xfe {
            let said = rest.get(1..).and_then(<[u8]>::first_chunk).ok_or("has no end")?;
            (u64::from(u32::from_le_bytes(*said)), 5)
        } else {
            (u64::from(first), 1)
        };
        if said != before {
            return Err("has an entry that says another length of the one before than it has");
        }
        let body = rest.get(size..).ok_or("has no end")?;
        let length = size
            .checked_add(ziplist_entry(body)?)
            .ok_or("has an entry that reaches beyond its end")?;
        rest = rest.get(length..).ok_or("has an entry that reaches beyond its end")?;
        last = at;
        before = length as u64;
        at += before;
        count += 1;
    }
    if tail != last {
        return Err("does not end in the entry that its header says");
    }
    finish(rest, count, u16::from_le_bytes([low, high]))
}

/// Bytes of a ziplist's entry behind the length of the one before.
fn ziplist_entry(body: &[u8]) -> Result<usize, &'static str> {
    let &first = body.first().ok_or("has no end")?;
    Ok(match first {
        0x00..=0x3f => 1 + usize::from(first),
        0x40..=0x7f => {
            let low = body.get(1).ok_or("has no end")?;
            2 + (usize::from(first & 0x3f) << 8 | usize::from(*low))
        }
        0x80..=0xbf => {
            let length = body.get(1..).and_then(<[u8]>::first_chunk).ok_or("has no end")?;
            usize::try_from(u32::from_be_bytes(*length))
                .ok()
                .and_then(|length| length.checked_add(5))
                .ok_or("has an entry that reaches beyond its end")?
        }
        0xc0 => 3,
        0xd0 => 5,
        0xe0 => 9,
        0xf0 => 4,
        0xfe => 2,
        0xf1..=0xfd => 1,
        0xc1..=0xcf | 0xd1..=0xdf | 0xe1..=0xef | 0xff => {
            return Err("has an entry of an unknown kind");
        }
    })
}

/// The end of a listpack or ziplist: nothing behind it, and as many entries as the header says,
/// where 65535 says *count them*.
fn finish(rest: &[u8], count: u64, said: u16) -> Result<u64, &'static str> {
    if rest.len() != 1 {
        return Err("ends before its last byte");
    }
    if said != u16::MAX && u64::from(said) != count {
        return Err("has not as many entries as its header says");
    }
    Ok(count)
}

/// The members of an intset (`intset.c` of Redis: bytes of a member in 4, members in 4, then the
/// members in ascending order).
pub(crate) fn intset(bytes: &[u8]) -> Result<u64, &'static str> {
    let (header, members) = bytes.split_first_chunk::<8>().ok_or("is shorter than its header")?;
    let [s0, s1, s2, s3, count @ ..] = *header;
    let size = match u32::from_le_bytes([s0, s1, s2, s3]) {
        2 => 2,
        4 => 4,
        8 => 8,
        _ => return Err("has members of no known size"),
    };
    let count = u64::from(u32::from_le_bytes(count));
    if count.checked_mul(size as u64) != Some(members.len() as u64) {
        return Err("has not the length that its header says");
    }
    let mut before = None;
    for member in members.chunks_exact(size) {
        let number = match *member {
            [a, b] => i64::from(i16::from_le_bytes([a, b])),
            [a, b, c, d] => i64::from(i32::from_le_bytes([a, b, c, d])),
            [a, b, c, d, e, f, g, h] => i64::from_le_bytes([a, b, c, d, e, f, g, h]),
            _ => return Err("has members of no known size"),
        };
        if before.is_some_and(|before| before >= number) {
            return Err("has members out of order");
        }
        before = Some(number);
    }
    Ok(count)
}

/// The pairs of a zipmap (`zipmap.c` of Redis 2.4 and before: pairs in 1, then names and values
/// with their lengths and the value's free bytes, then 255).
pub(crate) fn zipmap(bytes: &[u8]) -> Result<u64, &'static str> {
    let (&said, mut rest) = bytes.split_first().ok_or("is shorter than its header")?;
    let mut count = 0;
    loop {
        let &first = rest.first().ok_or("has no end")?;
        if first == 0xff {
            break;
        }
        rest = zipmap_string(rest, 0)?;
        rest = zipmap_string(rest, 1)?;
        count += 1;
    }
    if rest.len() != 1 {
        return Err("ends before its last byte");
    }
    if said < 254 && u64::from(said) != count {
        return Err("has not as many entries as its header says");
    }
    Ok(count)
}

/// What follows a string of a zipmap; a value has one byte of how many free bytes follow it.
fn zipmap_string(rest: &[u8], free: usize) -> Result<&[u8], &'static str> {
    const BEYOND: &str = "has an entry that reaches beyond its end";
    let (&first, rest) = rest.split_first().ok_or("has no end")?;
    let (length, rest) = match first {
        0xff => return Err("has a name without a value"),
        0xfe => {
            let (length, rest) = rest.split_first_chunk::<4>().ok_or(BEYOND)?;
            (usize::try_from(u32::from_le_bytes(*length)).map_err(|_| BEYOND)?, rest)
        }
        _ => (usize::from(first), rest),
    };
    let (unused, rest) = rest.split_at_checked(free).ok_or(BEYOND)?;
    let unused = unused.first().copied().map_or(0, usize::from);
    let length = length.checked_add(unused).ok_or(BEYOND)?;
    rest.get(length..).ok_or(BEYOND)
}
