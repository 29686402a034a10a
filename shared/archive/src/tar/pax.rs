//! Extended headers (POSIX.1-2017, `pax`): records that override the next header's fields.

/// Bytes of an extended header, or of a long name. GNU tar and PostgreSQL write a few hundred; what
/// is larger is a way to fill the reader's memory.
pub(crate) const LIMIT: u64 = 1024 * 1024;

/// What extended headers and GNU's long names say of the next member.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Overrides {
    pub(crate) path: Option<Vec<u8>>,
    pub(crate) link: Option<Vec<u8>>,
    pub(crate) size: Option<u64>,
    pub(crate) uid: Option<u64>,
    pub(crate) gid: Option<u64>,
    /// Seconds and nanoseconds.
    pub(crate) mtime: Option<(i64, u32)>,
    /// The member is a sparse file of GNU tar: its data is not its content.
    pub(crate) is_sparse: bool,
}

impl Overrides {
    /// Takes the records of an extended header; `None` when they are not well formed.
    pub(crate) fn take(&mut self, mut records: &[u8]) -> Option<()> {
        while !records.is_empty() {
            let space = records.iter().take(20).position(|byte| *byte == b' ')?;
            let (digits, _) = records.split_at_checked(space)?;
            let len: usize = std::str::from_utf8(digits).ok()?.parse().ok()?;
            let (record, rest) = records.split_at_checked(len)?;
            let body = record.get(space + 1..)?.strip_suffix(b"\n")?;
            let equals = body.iter().position(|byte| *byte == b'=')?;
            let (key, value) = (body.get(..equals)?, body.get(equals + 1..)?);
            self.set(key, value)?;
            records = rest;
        }
        Some(())
    }

    fn set(&mut self, key: &[u8], value: &[u8]) -> Option<()> {
        match key {
            b"path" | b"GNU.sparse.name" => self.path = Some(value.to_vec()),
            b"linkpath" => self.link = Some(value.to_vec()),
            b"size" => self.size = Some(decimal(value)?),
            b"uid" => self.uid = Some(decimal(value)?),
            b"gid" => self.gid = Some(decimal(value)?),
            b"mtime" => self.mtime = Some(time(value)?),
            _ => {}
        }
        if key.starts_with(b"GNU.sparse.") {
            self.is_sparse = true;
        }
        Some(())
    }

    /// These, and where they say nothing, what a global header said of times and owners.
    pub(crate) fn over(mut self, global: &Self) -> Self {
        self.uid = self.uid.or(global.uid);
        self.gid = self.gid.or(global.gid);
        self.mtime = self.mtime.or(global.mtime);
        self
    }
}

fn decimal(value: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(value).ok()?;
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse::<u64>().ok().filter(|number| is_plain && *number <= 1 << 62)
}

/// Seconds, with a fraction perhaps.
fn time(value: &[u8]) -> Option<(i64, u32)> {
    let text = std::str::from_utf8(value).ok()?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = whole.parse().ok()?;
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let nanoseconds: u32 = format!("{fraction:0<9.9}").parse().ok()?;
    // A negative time's fraction counts towards the past; the whole seconds are near enough.
    Some((seconds, if text.starts_with('-') { 0 } else { nanoseconds }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_records_and_refuses_what_is_not_one() {
        let mut overrides = Overrides::default();
        let taken = overrides.take(b"11 path=a/b\n20 mtime=1700000.25\n14 size=1234\n");
        assert_eq!(taken, None, "11 is one too few");
        let taken = overrides.take(b"12 path=a/b\n20 mtime=1700000.25\n13 size=1234\n");
        assert_eq!(taken, Some(()));
        assert_eq!(overrides.path.as_deref(), Some(&b"a/b"[..]));
        assert_eq!((overrides.mtime, overrides.size), (Some((1_700_000, 250_000_000)), Some(1234)));
        for bad in
            [&b"99 path=a\n"[..], b"0 path=a\n", b"path=a\n", b"9 path=a ", b"12 size=-100\n"]
        {
            assert_eq!(Overrides::default().take(bad), None, "{bad:?}");
        }
    }
}
