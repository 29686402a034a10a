//! The snapshot from its header to its end.

use std::collections::BTreeMap;

use super::{
    Ending,
    scan::{Fault, Scan},
};
use crate::{
    input::{Input, Stop},
    report::{Details, Findings},
    text::shown,
};

/// The newest version that this reader has seen described: Redis 8.10, Valkey 9.
const NEWEST_REDIS: u32 = 15;
const NEWEST_VALKEY: u32 = 80;
/// Bytes of a key that a message shows.
pub(super) const KEY_SHOWN: usize = 64;
/// Databases that are counted apart; a server has 16 unless its configuration says more.
const DATABASES_COUNTED: usize = 1024;
/// Templates of hashes that are remembered, so that memory stays flat.
const TEMPLATES_KEPT: usize = 65_536;

/// The opcodes of the snapshot (`rdb.h` of Redis and of Valkey).
mod opcode {
    pub(super) const HASH_TEMPLATE: u8 = 242;
    /// A key's metadata in Redis; the state of a slot's import in Valkey.
    pub(super) const KEY_META_OR_SLOT_IMPORT: u8 = 243;
    pub(super) const SLOT_INFO: u8 = 244;
    pub(super) const FUNCTION: u8 = 245;
    pub(super) const FUNCTION_PRE_GA: u8 = 246;
    pub(super) const MODULE_AUX: u8 = 247;
    pub(super) const IDLE: u8 = 248;
    pub(super) const FREQUENCY: u8 = 249;
    pub(super) const AUX: u8 = 250;
    pub(super) const RESIZE_DB: u8 = 251;
    pub(super) const EXPIRE_MILLISECONDS: u8 = 252;
    pub(super) const EXPIRE_SECONDS: u8 = 253;
    pub(super) const SELECT_DB: u8 = 254;
    pub(super) const END: u8 = 255;
}

/// Whose snapshot it is; the two have diverged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    Redis,
    Valkey,
}

/// The state of a walk.
pub(super) struct Walk<'i, 'a> {
    pub(super) scan: Scan<'i, 'a>,
    pub(super) family: Family,
    pub(super) scratch: Vec<u8>,
    pub(super) templates: BTreeMap<u64, u64>,
    /// Packed containers that were too large to be unpacked.
    pub(super) unchecked: u64,
    findings: &'i mut Findings,
    details: &'i mut Details,
    version: u32,
    database: u64,
    /// The key whose value is being read, as messages show it.
    key: Vec<u8>,
    in_key: bool,
    keys: u64,
    expiring: u64,
    expires: bool,
}

/// Walks a snapshot that begins at the input's next byte; what is wrong goes into `findings`.
/// The input then stands behind its last byte, or at its own end when the walk broke off.
pub(super) fn walk<'i, 'a>(
    input: &'i mut Input<'a>,
    findings: &'i mut Findings,
    details: &'i mut Details,
) -> Result<Ending, Stop> {
    let mut walk = Walk {
        scan: Scan::new(input),
        family: Family::Redis,
        scratch: Vec::new(),
        templates: BTreeMap::new(),
        unchecked: 0,
        findings,
        details,
        version: 0,
        database: 0,
        key: Vec::new(),
        in_key: false,
        keys: 0,
        expiring: 0,
        expires: false,
    };
    match walk.whole() {
        Ok(()) => {
            walk.details.keys = Some(walk.keys);
            walk.details.keys_expiring = Some(walk.expiring);
            if walk.unchecked > 0 {
                let note = format!(
                    "{} packed values above {} KiB were followed by their length only",
                    walk.unchecked,
                    super::value::PACKED_CHECKED / 1024
                );
                walk.details.notes.push(note);
            }
            match walk.scan.finish() {
                Ok(_) => Ok(Ending::Whole),
                Err(fault) => Err(stop(fault)),
            }
        }
        Err(fault) => walk.broke_off(fault),
    }
}

/// The stop in a fault of plain reading, which has no other.
fn stop(fault: Fault) -> Stop {
    match fault {
        Fault::Stop(stop) => stop,
        Fault::Broken { message, .. } | Fault::Foreign { message, .. } => Stop::Damaged(message),
    }
}

impl Walk<'_, '_> {
    /// Adds a finding at this offset, in the key that is being read.
    pub(super) fn find(&mut self, at: u64, message: impl Into<String>) {
        let item = if self.in_key {
            format!("db {}, key {}", self.database, shown(&self.key, KEY_SHOWN))
        } else {
            format!("db {}", self.database)
        };
        let item = (self.version > 0).then_some(item);
        self.findings.add(self.scan.place_at(at, item.as_deref()), message);
    }

    fn whole(&mut self) -> Result<(), Fault> {
        self.header()?;
        loop {
            let at = self.scan.offset();
            let byte = self.scan.byte()?;
            if byte == opcode::END {
                return self.ending();
            }
            if Self::is_value(byte) {
                self.key_and_value(byte, at)?;
            } else {
                self.opcode(byte, at)?;
            }
        }
    }

    fn header(&mut self) -> Result<(), Fault> {
        let at = self.scan.offset();
        let header = self.scan.array::<9>()?;
        let (family, digits) = if let Some(digits) = header.strip_prefix(b"REDIS") {
            (Family::Redis, digits)
        } else if let Some(digits) = header.strip_prefix(b"VALKEY") {
            (Family::Valkey, digits)
        } else {
            let message = "it does not begin as a snapshot of Redis or Valkey does".into();
            return Err(Fault::Broken { at, message });
        };
        let version = digits.iter().try_fold(0_u32, |version, digit| {
            digit.is_ascii_digit().then(|| version * 10 + u32::from(digit - b'0'))
        });
        let Some(version) = version.filter(|version| *version > 0) else {
            let message = format!("{} is no version of a snapshot", shown(digits, 4));
            return Err(Fault::Broken { at, message });
        };
        (self.family, self.version) = (family, version);
        self.details.written_by = Some(format!("{} snapshot, version {version}", self.name()));
        Ok(())
    }

    fn name(&self) -> &'static str {
        match self.family {
            Family::Redis => "Redis",
            Family::Valkey => "Valkey",
        }
    }

    /// Whether the snapshot is newer than what this reader has seen described.
    fn is_newer(&self) -> bool {
        match self.family {
            Family::Redis => self.version > NEWEST_REDIS,
            Family::Valkey => self.version > NEWEST_VALKEY,
        }
    }

    fn key_and_value(&mut self, kind: u8, at: u64) -> Result<(), Fault> {
        let mut key = std::mem::take(&mut self.key);
        let read = self.scan.string(&mut key, super::value::PACKED_CHECKED);
        // One byte more than is shown, so that a message can say that it is shortened.
        key.truncate(KEY_SHOWN + 1);
        self.key = key;
        read?;
        self.in_key = true;
        self.value(kind, at)?;
        self.in_key = false;
        self.keys += 1;
        self.expiring += u64::from(std::mem::take(&mut self.expires));
        let known = self.details.databases.len();
        match self.details.databases.get_mut(&self.database) {
            Some(keys) => *keys += 1,
            None if known < DATABASES_COUNTED => {
                self.details.databases.insert(self.database, 1);
            }
            None => {}
        }
        Ok(())
    }

    fn opcode(&mut self, byte: u8, at: u64) -> Result<(), Fault> {
        match byte {
            opcode::AUX => self.aux(),
            opcode::SELECT_DB => {
                self.database = self.scan.length()?;
                Ok(())
            }
            opcode::RESIZE_DB => self.lengths_of_opcode(2),
            opcode::EXPIRE_SECONDS => {
                self.expires = true;
                self.scan.skip(4)
            }
            opcode::EXPIRE_MILLISECONDS => {
                self.expires = true;
                self.scan.skip(8)
            }
            opcode::FREQUENCY => self.scan.skip(1),
            opcode::IDLE => self.lengths_of_opcode(1),
            opcode::SLOT_INFO => self.lengths_of_opcode(3),
            opcode::FUNCTION => self.scan.skip_string(),
            opcode::FUNCTION_PRE_GA => {
                // Name, engine, whether it is described, the description, the code.
                self.scan.skip_string()?;
                self.scan.skip_string()?;
                if self.scan.length()? > 0 {
                    self.scan.skip_string()?;
                }
                self.scan.skip_string()
            }
            opcode::MODULE_AUX => {
                // The module's id, then the opcode of an unsigned number, and when it applies.
                self.scan.length()?;
                let at = self.scan.offset();
                if self.scan.length()? != 2 {
                    let message = "a module's auxiliary data does not say when it applies".into();
                    return Err(Fault::Broken { at, message });
                }
                self.scan.length()?;
                self.module_value()
            }
            opcode::KEY_META_OR_SLOT_IMPORT => match self.family {
                Family::Redis => {
                    for _ in 0..self.scan.length()? {
                        self.scan.skip(4)?;
                        self.module_value()?;
                    }
                    Ok(())
                }
                Family::Valkey => {
                    self.scan.skip_string()?;
                    for _ in 0..self.scan.length()? {
                        self.lengths_of_opcode(2)?;
                    }
                    Ok(())
                }
            },
            opcode::HASH_TEMPLATE => {
                let (template, fields) = (self.scan.length()?, self.scan.length()?);
                for _ in 0..fields {
                    self.scan.skip_string()?;
                }
                if self.templates.len() >= TEMPLATES_KEPT {
                    let message = format!("more than {TEMPLATES_KEPT} templates of hashes");
                    return Err(Fault::Foreign { at, message });
                }
                self.templates.insert(template, fields);
                Ok(())
            }
            _ => {
                let message = format!("neither an opcode nor a value type is {byte}");
                Err(Fault::Foreign { at, message })
            }
        }
    }

    fn lengths_of_opcode(&mut self, count: u8) -> Result<(), Fault> {
        for _ in 0..count {
            self.scan.length()?;
        }
        Ok(())
    }

    /// A named fact of the writer.
    fn aux(&mut self) -> Result<(), Fault> {
        let (mut name, mut value) = (Vec::new(), Vec::new());
        self.scan.string(&mut name, KEY_SHOWN)?;
        self.scan.string(&mut value, KEY_SHOWN)?;
        let server = match name.as_slice() {
            b"redis-ver" => "Redis",
            b"valkey-ver" => "Valkey",
            _ => return Ok(()),
        };
        let version = String::from_utf8_lossy(&value).into_owned();
        if version.chars().all(|c| c.is_ascii_graphic()) {
            self.details.written_by =
                Some(format!("{server} {version}, snapshot version {}", self.version));
        }
        Ok(())
    }

    /// The end, and the checksum of everything before it.
    fn ending(&mut self) -> Result<(), Fault> {
        if self.version < 5 {
            let version = self.version;
            let note = format!("no checksum: snapshots of version {version} have none");
            self.details.notes.push(note);
            return Ok(());
        }
        let sum = self.scan.checksum()?;
        let at = self.scan.offset();
        let stored = u64::from_le_bytes(self.scan.unsummed()?);
        if stored == 0 {
            self.details.notes.push(NO_CHECKSUM.into());
        } else if stored != sum {
            self.in_key = false;
            let place = self.scan.place_at(at, None);
            self.findings.add(place, mismatch(stored, sum));
        }
        Ok(())
    }

    /// After the walk broke off: reads the rest, because the checksum tells whether the bytes are
    /// damaged or only not understood.
    fn broke_off(mut self, fault: Fault) -> Result<Ending, Stop> {
        let (at, message, foreign) = match fault {
            Fault::Stop(Stop::Cut) => {
                let at = self.scan.offset();
                self.find(at, "the snapshot ends before its end mark and checksum");
                return Ok(Ending::BrokeOff);
            }
            Fault::Stop(stop) => return Err(stop),
            Fault::Broken { at, message } => (at, message, false),
            Fault::Foreign { at, message } => (at, message, true),
        };
        let last = self.scan.all_but_last::<8>().map_err(stop)?.map(u64::from_le_bytes);
        let sum = self.scan.checksum().map_err(stop)?;
        let whole = self.version >= 5 && last == Some(sum);
        if whole && (foreign || self.is_newer()) {
            self.details.notes.push(format!(
                "the checksum holds, but keys are not counted: at offset {at}, {message}"
            ));
        } else if whole {
            self.find(at, format!("{message}, although the checksum holds"));
        } else {
            self.find(at, message);
        }
        Ok(Ending::BrokeOff)
    }
}

/// What a snapshot without a checksum is noted with.
const NO_CHECKSUM: &str = "no checksum: the server wrote the snapshot with `rdbchecksum no`";

fn mismatch(stored: u64, sum: u64) -> String {
    format!("the checksum is {stored:016x}, but the bytes before it have {sum:016x}")
}
