use super::{packed, read};
use crate::testing::{
    assert_sound,
    damage::{Numbers, flipped, mutated},
    outcome,
    server::Server,
};

/// Writes snapshots that the installed server does not.
struct Writer(Vec<u8>);

impl Writer {
    fn new(magic: &[u8]) -> Self {
        Self(magic.to_vec())
    }

    fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    fn string(self, bytes: &[u8]) -> Self {
        let length = u32::try_from(bytes.len()).unwrap();
        match length {
            0..64 => self.raw(&[u8::try_from(length).unwrap()]),
            64..16384 => self.raw(&(0x4000 | u16::try_from(length).unwrap()).to_be_bytes()),
            _ => self.raw(&[0x80]).raw(&length.to_be_bytes()),
        }
        .raw(bytes)
    }

    /// A key of this type, with its value's bytes.
    fn key(self, kind: u8, name: &str, value: &[u8]) -> Self {
        self.raw(&[kind]).string(name.as_bytes()).raw(value)
    }

    fn packed(self, kind: u8, name: &str, value: &[u8]) -> Self {
        self.raw(&[kind]).string(name.as_bytes()).string(value)
    }

    fn end(mut self) -> Vec<u8> {
        self.0.push(255);
        let sum = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc64Redis, &self.0);
        self.0.extend(sum.to_le_bytes());
        self.0
    }

    fn end_without_sum(self) -> Vec<u8> {
        self.raw(&[255]).0
    }
}

/// A listpack of short strings.
fn listpack(entries: &[&str]) -> Vec<u8> {
    let mut body = Vec::new();
    for entry in entries {
        let length = u8::try_from(entry.len()).unwrap();
        body.push(0x80 | length);
        body.extend(entry.bytes());
        body.push(length + 1);
    }
    let mut bytes = u32::try_from(body.len() + 7).unwrap().to_le_bytes().to_vec();
    bytes.extend(u16::try_from(entries.len()).unwrap().to_le_bytes());
    bytes.extend(body);
    bytes.push(255);
    bytes
}

/// A ziplist of short strings.
fn ziplist(entries: &[&str]) -> Vec<u8> {
    let (mut body, mut before, mut tail) = (Vec::new(), 0, 10);
    for entry in entries {
        tail = 10 + body.len();
        let length = u8::try_from(entry.len()).unwrap();
        body.extend([before, length]);
        body.extend(entry.bytes());
        before = length + 2;
    }
    let mut bytes = u32::try_from(body.len() + 11).unwrap().to_le_bytes().to_vec();
    bytes.extend(u32::try_from(tail).unwrap().to_le_bytes());
    bytes.extend(u16::try_from(entries.len()).unwrap().to_le_bytes());
    bytes.extend(body);
    bytes.push(255);
    bytes
}

/// What every version before Redis 7 has.
fn old(magic: &[u8]) -> Writer {
    Writer::new(magic)
        .raw(&[254, 0])
        .raw(&[253, 0, 0, 0, 90])
        .key(0, "number", &[0xc1, 0x10, 0x27])
        .key(1, "list", b"\x02\x01a\x01b")
        .key(2, "set", b"\x01\x01a")
        .key(3, "zset", b"\x03\x01a\x031.5\x01b\xff\x01c\xfe")
        .key(4, "hash", b"\x01\x01f\x01v")
        .packed(9, "zipmap", b"\x02\x03foo\x03\x00bar\x05hello\x05\x01world!\xff")
        .packed(10, "ziplist", &ziplist(&["2", "5"]))
        .packed(11, "intset", b"\x02\0\0\0\x02\0\0\0\xff\xff\x05\0")
        .packed(12, "zset ziplist", &ziplist(&["member", "1.5"]))
        .packed(13, "hash ziplist", &ziplist(&["field", "value", "g", "w"]))
}

#[test]
fn the_checksum_is_that_of_redis() {
    // The check value of `crc64.c` of Redis.
    let sum = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc64Redis, b"123456789");
    assert_eq!(sum, 0xe9c6_d914_c4b8_d9ca);
}

#[test]
fn versions_before_checksums_are_read() {
    for version in 1..5 {
        let magic = format!("REDIS000{version}");
        let details = assert_sound(read, &old(magic.as_bytes()).end_without_sum());
        assert_eq!((details.keys, details.keys_expiring), (Some(10), Some(1)));
        assert_eq!(
            details.notes,
            [format!("no checksum: snapshots of version {version} have none")]
        );
    }
}

#[test]
fn every_type_and_opcode_of_redis_is_read() {
    for version in 5..=15 {
        let magic = format!("REDIS{version:04}");
        let list = [b"\x01".as_slice(), &Writer(Vec::new()).string(&ziplist(&["a"])).0].concat();
        let lp = Writer(Vec::new()).string(&listpack(&["a", "b", "c"])).0;
        let node = [b"\x02\x01\x03big\x02".as_slice(), &lp].concat();
        let stream = |extra: &[u8], entries_read: &[u8], active: &[u8], nacks: &[u8]| {
            let id = [7; 16];
            [
                b"\x01\x10".as_slice(),
                &id,
                &lp,
                b"\x01\x05\x00",
                extra,
                b"\x01\x05group\x05\x00",
                entries_read,
                b"\x01",
                &id,
                &[9; 8],
                b"\x01",
                b"\x01\x08consumer",
                &[9; 8],
                active,
                b"\x01",
                &id,
                nacks,
            ]
            .concat()
        };
        let five = b"\x05\x00\x00\x00\x01";
        let idmp = b"\x3c\x20\x01\x08producer\x01\x03iid\x05\x00\x01\x00";
        let snapshot = old(magic.as_bytes())
            .raw(&[250])
            .string(b"redis-ver")
            .string(b"8.0.0")
            .raw(&[251, 9, 1])
            .raw(&[244, 1, 2, 3])
            .raw(&[245])
            .string(b"#!lua name=lib")
            .raw(&[246])
            .string(b"lib")
            .string(b"LUA")
            .raw(&[1])
            .string(b"text")
            .string(b"code")
            .raw(&[247])
            .raw(&[0x81, 1, 2, 3, 4, 5, 6, 7, 8, 2, 1])
            .raw(b"\x02\x05\x05\x03abc\x00")
            .raw(&[248, 20])
            .raw(&[249, 7])
            .raw(&[252, 1, 2, 3, 4, 5, 6, 7, 8])
            .raw(b"\xf3\x01ABCD\x01\x05\x00")
            .raw(b"\xf2\x01\x02\x01f\x01g")
            .key(5, "zset 2", &[b"\x01\x01a".as_slice(), &1.5_f64.to_le_bytes()].concat())
            .key(
                7,
                "module",
                b"\x81\0\0\0\0\0\0\0\x01\x01\x05\x03abcd\x04abcdefgh\x05\xc3\x02\x01\x00a\x00",
            )
            .key(14, "quicklist", &list)
            .key(15, "stream 1", &stream(b"", b"", b"", b""))
            .packed(16, "hash listpack", &listpack(&["f", "v"]))
            .packed(17, "zset listpack", &listpack(&["m", "1"]))
            .key(18, "quicklist 2", &node)
            .key(19, "stream 2", &stream(five, b"\x01", b"", b""))
            .packed(20, "set listpack", &listpack(&["a", "b", "c"]))
            .key(21, "stream 3", &stream(five, b"\x01", &[9; 8], b""))
            .key(22, "hash expiry", b"\x01\x05\x01f\x01v")
            .packed(23, "listpack expiry", &listpack(&["f", "v", "0"]))
            .key(24, "hash relative", b"12345678\x02\x00\x01f\x01v\x05\x01g\x01w")
            .key(25, "listpack relative", &[b"12345678".as_slice(), &lp].concat())
            .key(26, "stream 4", &[stream(five, b"\x01", &[9; 8], b""), idmp.to_vec()].concat())
            .key(
                27,
                "stream 5",
                &[stream(five, b"\x01", &[9; 8], &[1; 17]), idmp.to_vec()].concat(),
            )
            .key(28, "array", b"\x02\x01\x05\x00\x00\x01a\x01\x0112345678")
            .key(32, "template", b"\x01\x01v\x01w")
            .key(33, "rate limit", b"\x05")
            .end();
        let details = assert_sound(read, &snapshot);
        assert_eq!((details.keys, details.keys_expiring), (Some(29), Some(2)));
        let written = format!("Redis 8.0.0, snapshot version {version}");
        assert_eq!(details.written_by, Some(written));
        assert!(details.notes.is_empty(), "{:?}", details.notes);
    }
}

#[test]
fn what_valkey_writes_otherwise_is_read() {
    let snapshot = Writer::new(b"VALKEY080")
        .raw(&[250])
        .string(b"valkey-ver")
        .string(b"9.0.0")
        .raw(b"\xf3\x03job\x01\x01\x05")
        .raw(&[254, 2])
        .key(22, "hash", b"\x01\x01f\x01v\xff\xff\xff\xff\xff\xff\xff\xff")
        .end();
    let details = assert_sound(read, &snapshot);
    assert_eq!(details.written_by.as_deref(), Some("Valkey 9.0.0, snapshot version 80"));
    assert_eq!(details.databases.into_iter().collect::<Vec<_>>(), [(2, 1)]);
}

#[track_caller]
fn check_finding(bytes: &[u8], offset: u64, item: Option<&str>, message: &str) {
    let outcome = outcome(read, bytes);
    let finding = outcome.findings.first().expect("nothing was found");
    assert_eq!(finding.message, message);
    assert_eq!(finding.place.offset, Some(offset));
    assert_eq!(finding.place.item.as_deref(), item);
}

#[test]
fn a_finding_says_where() {
    let cut = &old(b"REDIS0009").end()[..60];
    check_finding(
        cut,
        60,
        Some(r#"db 0, key "zset""#),
        "the snapshot ends before its end mark and checksum",
    );
    let mut wrong = ziplist(&["a", "b"]);
    wrong[13] = 9;
    let snapshot = Writer::new(b"REDIS0009").raw(&[254, 7]).packed(10, "l\n", &wrong).end();
    check_finding(
        &snapshot,
        15,
        Some(r#"db 7, key "l\n""#),
        "a ziplist has an entry that says another length of the one before than it has",
    );
    let mut sum = old(b"REDIS0009").end();
    let last = sum.len() - 1;
    sum[last] ^= 1;
    let outcome = outcome(read, &sum);
    assert!(outcome.messages()[0].starts_with("the checksum is "), "{:?}", outcome.messages());
    let mut more = old(b"REDIS0009").end();
    let end = more.len() as u64;
    more.extend(b"abc");
    check_finding(&more, end, None, "3 bytes follow the snapshot's end");
    check_finding(b"REDIS00x9", 0, None, r#""00x9" is no version of a snapshot"#);
    check_finding(
        &Writer::new(b"REDIS0009").key(1, "k", b"\x01\xc4").end(),
        13,
        Some(r#"db 0, key "k""#),
        "no string is encoded in the way of number 4, although the checksum holds",
    );
}

#[test]
fn what_is_not_known_is_told_from_what_is_damaged() {
    let mut snapshot = Writer::new(b"REDIS0099").key(77, "k", b"\x01\x02\x03").end();
    let details = assert_sound(read, &snapshot);
    assert_eq!(details.keys, None);
    assert_eq!(
        details.notes,
        [
            "the checksum holds, but keys are not counted: at offset 9, neither an opcode nor a value \
          type is 77"
        ]
    );
    snapshot[12] ^= 1;
    check_finding(&snapshot, 9, Some("db 0"), "neither an opcode nor a value type is 77");
}

#[test]
fn a_snapshot_without_a_checksum_is_noted() {
    let mut snapshot = old(b"REDIS0009").end_without_sum();
    snapshot.extend([0; 8]);
    let details = assert_sound(read, &snapshot);
    assert_eq!(details.notes, ["no checksum: the server wrote the snapshot with `rdbchecksum no`"]);
}

#[test]
fn absurd_lengths_cost_no_memory() {
    let absurd = b"\x81\xff\xff\xff\xff\xff\xff\xff\xff";
    for kind in (0..=5).chain([7]).chain(9..=28).chain([30, 32, 33]) {
        for prefix in [b"".as_slice(), b"\x01", b"12345678", b"\x01\x02"] {
            let value = [prefix, absurd].concat();
            outcome(read, &Writer::new(b"REDIS0012").key(kind, "k", &value).end());
        }
    }
    for lzf in [
        [b"\xc3".as_slice(), absurd, absurd].concat(),
        [b"\xc3\x05".as_slice(), absurd, b"abcde"].concat(),
    ] {
        assert!(!outcome(read, &Writer::new(b"REDIS0012").key(0, "k", &lzf).end()).is_sound());
        assert!(!outcome(read, &Writer::new(b"REDIS0012").key(10, "k", &lzf).end()).is_sound());
    }
}

#[test]
fn packed_containers_are_held_to_their_rules() {
    assert_eq!(packed::listpack(&listpack(&["a", "bc"])), Ok(2));
    assert_eq!(packed::ziplist(&ziplist(&["a", "bc"])), Ok(2));
    assert_eq!(packed::intset(b"\x02\0\0\0\x01\0\0\0\x05\0"), Ok(1));
    assert!(packed::intset(b"\x02\0\0\0\x02\0\0\0\x05\0\x04\0").is_err());
    assert!(packed::intset(b"\x03\0\0\0\0\0\0\0").is_err());
    assert!(packed::zipmap(b"\x01\x01a\xff").is_err());
    for bytes in [listpack(&["a", "bc"]), ziplist(&["a", "bc"])] {
        for cut in 0..bytes.len() {
            assert!(packed::listpack(&bytes[..cut]).is_err());
            assert!(packed::ziplist(&bytes[..cut]).is_err());
            assert!(packed::zipmap(&bytes[..cut]).is_err() || cut < 9);
        }
    }
}

#[test]
fn a_servers_snapshot_is_read_and_counted() {
    for options in [
        &[][..],
        &["--rdbcompression", "no", "--maxmemory", "1gb", "--maxmemory-policy", "allkeys-lfu"],
        &[
            "--maxmemory",
            "1gb",
            "--maxmemory-policy",
            "allkeys-lru",
            "--list-max-listpack-size",
            "2",
        ],
        &["--hash-max-listpack-entries", "5000", "--hash-max-listpack-value", "5000"],
    ] {
        let mut server = Server::start(options);
        server.fill();
        let snapshot = server.snapshot();
        let details = assert_sound(read, &snapshot);
        let keys: Vec<_> = [0, 3, 15].map(|database| (database, server.keys(database))).into();
        assert_eq!(details.keys, Some(keys.iter().map(|(_, keys)| keys).sum()));
        assert_eq!(details.keys_expiring, Some(100));
        assert_eq!(details.databases.into_iter().collect::<Vec<_>>(), keys);
        assert!(details.written_by.is_some_and(|by| by.starts_with("Redis ")));
    }
}

#[test]
fn every_flipped_bit_and_every_cut_is_found() {
    let mut server = Server::start(&[]);
    server.fill();
    let snapshot = server.snapshot();
    let mut numbers = Numbers(20);
    for _ in 0..200 {
        let (at, bytes) = flipped(&snapshot, &mut numbers);
        assert!(!outcome(read, &bytes).is_sound(), "a bit flipped at {at}");
    }
    // The small parts: header, facts of the writer, end and checksum.
    for at in (0..100).chain(snapshot.len() - 20..snapshot.len()) {
        let mut bytes = snapshot.clone();
        bytes[at] ^= 1 << (at % 8);
        assert!(!outcome(read, &bytes).is_sound(), "a bit flipped at {at}");
    }
    for _ in 0..50 {
        let cut = numbers.below(snapshot.len());
        assert!(!outcome(read, &snapshot[..cut]).is_sound(), "cut at {cut}");
    }
}

#[test]
fn no_mutation_of_a_snapshot_makes_the_reader_panic() {
    let seed = old(b"REDIS0009").end();
    let mut numbers = Numbers(7);
    for _ in 0..20_000 {
        outcome(read, &mutated(&seed, &mut numbers));
    }
}
