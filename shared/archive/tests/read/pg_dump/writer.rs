//! Writes small dumps of every archive version and compression, those that the machine's own
//! `pg_dump` cannot write too.

use std::io::Write;

use flate2::write::ZlibEncoder;
use lz4_flex::frame::{BlockMode, FrameEncoder, FrameInfo};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compression {
    None,
    Gzip,
    Lz4,
    Zstd,
}

#[derive(Debug, Clone)]
pub(crate) enum Data {
    None,
    Copy(Vec<u8>),
    Inserts(Vec<u8>),
    LargeObjects(Vec<(u32, Vec<u8>)>),
}

#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) id: i32,
    pub(crate) tag: &'static str,
    pub(crate) data: Data,
}

#[derive(Debug, Clone)]
pub(crate) struct Dump {
    pub(crate) minor: u8,
    pub(crate) compression: Compression,
    /// Written to a pipe: no offsets.
    pub(crate) is_streamed: bool,
    pub(crate) entries: Vec<Entry>,
    /// The ids of the blocks, in the file's order; those of the entries unless a test sets others.
    pub(crate) blocks: Vec<i32>,
}

impl Dump {
    /// A dump with two tables, one of `INSERT`s, large objects, and something without data.
    pub(crate) fn new(minor: u8, compression: Compression) -> Self {
        let rows = |from: u32, to: u32| {
            let mut text = Vec::new();
            for number in from..to {
                let mixed = number.wrapping_mul(2_654_435_761);
                writeln!(text, "{number}\tticket {mixed:x}\t\\N\tline\\nline").unwrap();
            }
            text.extend(b"\\.\n\n\n");
            text
        };
        let entries = vec![
            Entry { id: 3, tag: "ENCODING", data: Data::None },
            Entry { id: 200, tag: "accounts", data: Data::Copy(rows(0, 900)) },
            Entry { id: 201, tag: "empty", data: Data::Copy(rows(0, 0)) },
            Entry {
                id: 202,
                tag: "old",
                data: Data::Inserts(b"INSERT INTO old VALUES (1);\n".to_vec()),
            },
            Entry { id: 203, tag: "nothing", data: Data::Inserts(Vec::new()) },
            Entry { id: 204, tag: "tickets", data: Data::Copy(rows(7, 1107)) },
            Entry {
                id: 205,
                tag: "BLOBS",
                data: Data::LargeObjects(vec![
                    (16_401, vec![7; 5000]),
                    (16_402, Vec::new()),
                    (3_000_000_000, b"large".to_vec()),
                ]),
            },
        ];
        let with_data = entries.iter().filter(|entry| !matches!(entry.data, Data::None));
        let blocks = with_data.map(|entry| entry.id).collect();
        Self { minor, compression, is_streamed: false, entries, blocks }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let head = self.header();
        let len = head.len() + self.contents(&[]).len();
        let mut data = Vec::new();
        let mut offsets = Vec::new();
        for id in &self.blocks {
            offsets.push((*id, (len + data.len()) as u64));
            match self.entries.iter().find(|entry| entry.id == *id) {
                Some(entry) => self.block(entry, &mut data),
                None => self.block(&Entry { id: *id, ..self.entries[1].clone() }, &mut data),
            }
        }
        [head, self.contents(&offsets), data].concat()
    }

    fn header(&self) -> Vec<u8> {
        let mut out = b"PGDMP".to_vec();
        out.extend([1, self.minor, 0, 4, 8, 1]);
        match (self.minor, self.compression) {
            (14, Compression::None) => integer(&mut out, 0),
            (14, _) => integer(&mut out, -1),
            (_, compression) => out.push(compression as u8),
        }
        for part in [59, 58, 23, 31, 11, 125, 0] {
            integer(&mut out, part);
        }
        for text in ["site", "17.2", "18.4 (Debian)"] {
            string(&mut out, Some(text));
        }
        out
    }

    fn contents(&self, offsets: &[(i32, u64)]) -> Vec<u8> {
        let mut out = Vec::new();
        integer(&mut out, self.entries.len().try_into().unwrap());
        for entry in &self.entries {
            let (has_data, copy, description) = match entry.data {
                Data::None => (false, None, "ENCODING"),
                Data::Copy(_) => (true, Some("COPY t FROM stdin;\n"), "TABLE DATA"),
                Data::Inserts(_) => (true, None, "TABLE DATA"),
                Data::LargeObjects(_) => (true, None, "BLOBS"),
            };
            let schema = (description == "TABLE DATA").then_some("public");
            integer(&mut out, entry.id);
            integer(&mut out, has_data.into());
            for text in ["1259", "16385", entry.tag, description] {
                string(&mut out, Some(text));
            }
            integer(&mut out, 3);
            string(&mut out, Some(""));
            string(&mut out, Some(""));
            for text in [copy, schema, None, None] {
                string(&mut out, text);
            }
            if self.minor >= 16 {
                integer(&mut out, i32::from(b'r'));
            }
            for text in [Some("admin"), Some("false"), Some("199"), None] {
                string(&mut out, text);
            }
            let offset = offsets.iter().find(|(id, _)| *id == entry.id).map_or(0, |found| found.1);
            let (state, offset) = match (has_data, self.is_streamed) {
                (false, _) => (3, 0),
                (true, true) => (1, 0),
                (true, false) => (2, offset),
            };
            out.push(state);
            out.extend(offset.to_le_bytes());
        }
        out
    }

    fn block(&self, entry: &Entry, out: &mut Vec<u8>) {
        let is_objects = matches!(entry.data, Data::LargeObjects(_));
        out.push(if is_objects { 3 } else { 1 });
        integer(out, entry.id);
        match &entry.data {
            Data::None => integer(out, 0),
            Data::Copy(text) | Data::Inserts(text) => self.stream(text, out),
            Data::LargeObjects(objects) => {
                for (oid, bytes) in objects {
                    integer(out, oid.cast_signed());
                    self.stream(bytes, out);
                }
                integer(out, 0);
            }
        }
    }

    fn stream(&self, data: &[u8], out: &mut Vec<u8>) {
        let stored = match self.compression {
            Compression::None => {
                // A chunk for each row.
                for row in data.split_inclusive(|byte| *byte == b'\n') {
                    integer(out, row.len().try_into().unwrap());
                    out.extend(row);
                }
                return integer(out, 0);
            }
            // Some versions begin no stream when nothing is written.
            Compression::Gzip if data.is_empty() && self.minor > 14 => Vec::new(),
            Compression::Gzip => {
                let mut encoder = ZlibEncoder::new(Vec::new(), flate2::Compression::default());
                encoder.write_all(data).unwrap();
                encoder.finish().unwrap()
            }
            Compression::Lz4 => {
                let info = FrameInfo::new().block_mode(BlockMode::Linked);
                let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
                encoder.write_all(data).unwrap();
                encoder.finish().unwrap()
            }
            Compression::Zstd => zstd::encode_all(data, 3).unwrap(),
        };
        for chunk in stored.chunks(1000) {
            integer(out, chunk.len().try_into().unwrap());
            out.extend(chunk);
        }
        integer(out, 0);
    }
}

pub(crate) fn integer(out: &mut Vec<u8>, value: i32) {
    out.push(u8::from(value < 0));
    out.extend(value.unsigned_abs().to_le_bytes());
}

fn string(out: &mut Vec<u8>, text: Option<&str>) {
    match text {
        Some(text) => {
            integer(out, text.len().try_into().unwrap());
            out.extend(text.as_bytes());
        }
        None => integer(out, -1),
    }
}
