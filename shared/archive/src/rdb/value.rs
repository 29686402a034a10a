//! The values of keys, walked without holding them.

use super::{
    packed,
    scan::Fault,
    walk::{Family, Walk},
};

/// A packed container of at most this many bytes is unpacked and walked; of a larger one only the
/// outer length is followed. The server makes none above 64 KiB unless its configuration says so
/// (`list-max-listpack-size`, `hash-max-listpack-entries` times `hash-max-listpack-value`).
pub(super) const PACKED_CHECKED: usize = 1024 * 1024;

/// Value types as stored (`rdb.h` of Redis and of Valkey).
mod kind {
    pub(super) const STRING: u8 = 0;
    pub(super) const LIST: u8 = 1;
    pub(super) const SET: u8 = 2;
    pub(super) const ZSET: u8 = 3;
    pub(super) const HASH: u8 = 4;
    pub(super) const ZSET_2: u8 = 5;
    pub(super) const MODULE_PRE_GA: u8 = 6;
    pub(super) const MODULE_2: u8 = 7;
    pub(super) const HASH_ZIPMAP: u8 = 9;
    pub(super) const LIST_ZIPLIST: u8 = 10;
    pub(super) const SET_INTSET: u8 = 11;
    pub(super) const ZSET_ZIPLIST: u8 = 12;
    pub(super) const HASH_ZIPLIST: u8 = 13;
    pub(super) const LIST_QUICKLIST: u8 = 14;
    pub(super) const STREAM: u8 = 15;
    pub(super) const HASH_LISTPACK: u8 = 16;
    pub(super) const ZSET_LISTPACK: u8 = 17;
    pub(super) const LIST_QUICKLIST_2: u8 = 18;
    pub(super) const STREAM_2: u8 = 19;
    pub(super) const SET_LISTPACK: u8 = 20;
    pub(super) const STREAM_3: u8 = 21;
    /// Fields with expiry: of Redis 7.4's candidates, or of Valkey 9 in another order.
    pub(super) const HASH_EXPIRY: u8 = 22;
    pub(super) const HASH_LISTPACK_EXPIRY_PRE_GA: u8 = 23;
    pub(super) const HASH_EXPIRY_RELATIVE: u8 = 24;
    pub(super) const HASH_LISTPACK_EXPIRY: u8 = 25;
    pub(super) const STREAM_4: u8 = 26;
    pub(super) const STREAM_5: u8 = 27;
    pub(super) const ARRAY: u8 = 28;
    pub(super) const HASH_TEMPLATE_LISTPACK: u8 = 30;
    pub(super) const HASH_TEMPLATE_VALUES: u8 = 32;
    pub(super) const RATE_LIMIT: u8 = 33;
}

/// The packed container that a string must be, and the number of entries that make one element.
#[derive(Clone, Copy)]
enum Packed {
    Listpack(u64),
    Ziplist(u64),
    Intset,
    Zipmap,
}

impl Walk<'_, '_> {
    /// Whether this byte begins a key with a value of a known type.
    pub(super) fn is_value(kind: u8) -> bool {
        matches!(kind, 0..=5 | 7 | 9..=28 | 30 | 32 | 33)
    }

    /// Passes over the value of the key that was just read.
    pub(super) fn value(&mut self, kind: u8, at: u64) -> Result<(), Fault> {
        match kind {
            kind::STRING => self.scan.skip_string(),
            kind::LIST | kind::SET => self.each(|walk| walk.scan.skip_string()),
            kind::HASH => self.each(|walk| walk.pair()),
            kind::ZSET => self.each(|walk| {
                walk.scan.skip_string()?;
                walk.text_score()
            }),
            kind::ZSET_2 => self.each(|walk| {
                walk.scan.skip_string()?;
                walk.score()
            }),
            kind::MODULE_2 => {
                self.scan.length()?;
                self.module_value()
            }
            kind::HASH_ZIPMAP => self.packed(Packed::Zipmap),
            kind::LIST_ZIPLIST => self.packed(Packed::Ziplist(1)),
            kind::ZSET_ZIPLIST | kind::HASH_ZIPLIST => self.packed(Packed::Ziplist(2)),
            kind::SET_INTSET => self.packed(Packed::Intset),
            kind::SET_LISTPACK | kind::HASH_TEMPLATE_LISTPACK => self.packed(Packed::Listpack(1)),
            kind::ZSET_LISTPACK | kind::HASH_LISTPACK => self.packed(Packed::Listpack(2)),
            kind::HASH_LISTPACK_EXPIRY_PRE_GA => self.packed(Packed::Listpack(3)),
            kind::HASH_LISTPACK_EXPIRY => {
                self.scan.skip(8)?;
                self.packed(Packed::Listpack(3))
            }
            kind::LIST_QUICKLIST => self.each(|walk| walk.packed(Packed::Ziplist(1))),
            kind::LIST_QUICKLIST_2 => self.each(Self::quicklist_node),
            kind::STREAM | kind::STREAM_2 | kind::STREAM_3 | kind::STREAM_4 | kind::STREAM_5 => {
                self.stream(kind)
            }
            kind::HASH_EXPIRY if self.family == Family::Valkey => self.each(|walk| {
                walk.pair()?;
                walk.scan.skip(8)
            }),
            kind::HASH_EXPIRY => self.each(|walk| {
                walk.scan.length()?;
                walk.pair()
            }),
            kind::HASH_EXPIRY_RELATIVE => {
                self.scan.skip(8)?;
                self.each(|walk| {
                    walk.scan.length()?;
                    walk.pair()
                })
            }
            kind::ARRAY => self.array(),
            kind::HASH_TEMPLATE_VALUES => self.template_values(),
            kind::RATE_LIMIT => self.scan.length().map(drop),
            kind::MODULE_PRE_GA => {
                let message = "a module's value in the form of Redis 4.0's candidates".into();
                Err(Fault::Foreign { at, message })
            }
            _ => Err(Fault::Foreign { at, message: format!("value type {kind} is not known") }),
        }
    }

    /// Reads a count, and that many elements. Each reads at least a byte, so the bytes end before
    /// an absurd count does.
    fn each(
        &mut self,
        mut element: impl FnMut(&mut Self) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        for _ in 0..self.scan.length()? {
            element(self)?;
        }
        Ok(())
    }

    fn pair(&mut self) -> Result<(), Fault> {
        self.scan.skip_string()?;
        self.scan.skip_string()
    }

    /// A score in eight bytes.
    fn score(&mut self) -> Result<(), Fault> {
        let at = self.scan.offset();
        if f64::from_le_bytes(self.scan.array()?).is_nan() {
            self.find(at, "a score is not a number");
        }
        Ok(())
    }

    /// A score as text, as snapshots before version 8 have it.
    fn text_score(&mut self) -> Result<(), Fault> {
        let at = self.scan.offset();
        let length = self.scan.byte()?;
        match length {
            253 => self.find(at, "a score is not a number"),
            254 | 255 => {}
            _ => {
                let mut text = Vec::with_capacity(usize::from(length));
                for _ in 0..length {
                    text.push(self.scan.byte()?);
                }
                let number = std::str::from_utf8(&text).ok().and_then(|text| text.parse().ok());
                if number.is_none_or(f64::is_nan) {
                    self.find(at, "a score is not a number");
                }
            }
        }
        Ok(())
    }

    /// A string that holds a packed container. A broken one is a finding, and the walk goes on: the
    /// outer length still says where the next thing begins.
    fn packed(&mut self, packed: Packed) -> Result<(), Fault> {
        let at = self.scan.offset();
        let mut bytes = std::mem::take(&mut self.scratch);
        let length = self.scan.string(&mut bytes, PACKED_CHECKED);
        let checked = length.map(|length| {
            if length > PACKED_CHECKED as u64 {
                self.unchecked += 1;
                return Ok(());
            }
            let (name, entries, each) = match packed {
                Packed::Listpack(each) => ("listpack", packed::listpack(&bytes), each),
                Packed::Ziplist(each) => ("ziplist", packed::ziplist(&bytes), each),
                Packed::Intset => ("intset", packed::intset(&bytes), 1),
                Packed::Zipmap => ("zipmap", packed::zipmap(&bytes), 1),
            };
            let entries = entries.map_err(|wrong| format!("a {name} {wrong}"))?;
            if entries % each == 0 {
                Ok(())
            } else {
                Err(format!("a {name} has {entries} entries, which are no {}", tuples(each)))
            }
        });
        self.scratch = bytes;
        if let Err(message) = checked? {
            self.find(at, message);
        }
        Ok(())
    }

    /// A node of a list: a large element as itself, or a listpack of small ones.
    fn quicklist_node(&mut self) -> Result<(), Fault> {
        let at = self.scan.offset();
        match self.scan.length()? {
            1 => self.scan.skip_string(),
            2 => self.packed(Packed::Listpack(1)),
            other => {
                let message = format!("a list's node is of kind {other}, not of 1 or 2");
                Err(Fault::Broken { at, message })
            }
        }
    }

    fn stream(&mut self, kind: u8) -> Result<(), Fault> {
        self.each(|walk| {
            let at = walk.scan.offset();
            let mut id = std::mem::take(&mut walk.scratch);
            let length = walk.scan.string(&mut id, 16);
            walk.scratch = id;
            if length? != 16 {
                let message = "the id of a stream's node is not of 16 bytes".into();
                return Err(Fault::Broken { at, message });
            }
            walk.packed(Packed::Listpack(1))
        })?;
        // Length and last id; then first id, highest deleted id and entries ever added.
        self.lengths(if kind >= kind::STREAM_2 { 8 } else { 3 })?;
        self.each(|walk| walk.stream_group(kind))?;
        if kind >= kind::STREAM_4 {
            // How long, and how many, ids of messages are remembered; by producer, which are.
            self.lengths(2)?;
            self.each(|walk| {
                walk.scan.skip_string()?;
                walk.each(|walk| {
                    walk.scan.skip_string()?;
                    walk.lengths(2)
                })
            })?;
            self.lengths(2)?;
        }
        Ok(())
    }

    fn stream_group(&mut self, kind: u8) -> Result<(), Fault> {
        self.scan.skip_string()?;
        // Last delivered id, and entries read.
        self.lengths(if kind >= kind::STREAM_2 { 3 } else { 2 })?;
        // Pending entries: id, time of delivery, deliveries.
        self.each(|walk| {
            walk.scan.skip(24)?;
            walk.lengths(1)
        })?;
        // Consumers: name, time seen, time active, ids of pending entries.
        self.each(|walk| {
            walk.scan.skip_string()?;
            walk.scan.skip(if kind >= kind::STREAM_3 { 16 } else { 8 })?;
            walk.each(|walk| walk.scan.skip(16))
        })?;
        if kind >= kind::STREAM_5 {
            // Ids of entries that a consumer gave back.
            self.each(|walk| walk.scan.skip(16))?;
        }
        Ok(())
    }

    fn lengths(&mut self, count: u8) -> Result<(), Fault> {
        for _ in 0..count {
            self.scan.length()?;
        }
        Ok(())
    }

    /// An array of Redis 8.8: elements by their index, each a string, a number or a double.
    fn array(&mut self) -> Result<(), Fault> {
        let count = self.scan.length()?;
        let at = self.scan.offset();
        match self.scan.length()? {
            0 => {}
            1 => self.lengths(1)?,
            other => {
                let message = format!("an array's cursor is neither absent nor present: {other}");
                return Err(Fault::Broken { at, message });
            }
        }
        for _ in 0..count {
            self.lengths(1)?;
            let at = self.scan.offset();
            match self.scan.length()? {
                0 | 3 => self.scan.skip_string()?,
                1 | 2 => self.scan.skip(8)?,
                other => {
                    let message = format!("an array's element is of kind {other}");
                    return Err(Fault::Broken { at, message });
                }
            }
        }
        Ok(())
    }

    /// A hash whose field names are in a template that the snapshot gave before.
    fn template_values(&mut self) -> Result<(), Fault> {
        let at = self.scan.offset();
        let template = self.scan.length()?;
        let Some(&fields) = self.templates.get(&template) else {
            let message = format!("a hash refers to template {template}, which was not given");
            return Err(Fault::Broken { at, message });
        };
        for _ in 0..fields {
            self.scan.skip_string()?;
        }
        Ok(())
    }

    /// What a module wrote, which says the type of each part, to its end.
    pub(super) fn module_value(&mut self) -> Result<(), Fault> {
        loop {
            let at = self.scan.offset();
            match self.scan.length()? {
                0 => return Ok(()),
                1 | 2 => self.lengths(1)?,
                3 => self.scan.skip(4)?,
                4 => self.scan.skip(8)?,
                5 => self.scan.skip_string()?,
                other => {
                    let message = format!("a module's value has a part of kind {other}");
                    return Err(Fault::Broken { at, message });
                }
            }
        }
    }
}

fn tuples(each: u64) -> &'static str {
    if each == 2 { "pairs" } else { "triples" }
}
