//! WAL: once, in order, without gaps.

use jiff::SignedDuration;
use lifeboat_core::{
    ErrorName,
    backup::{Depth, Kind, Outcome, PointId, keys},
};

use super::{
    check, due, evidence,
    world::{NOW, World, at},
};

const SYSTEM: &str = "7421000000000000001";

fn segment(number: u32) -> PointId {
    PointId::new(format!("0000000100000000{number:08X}")).unwrap()
}

/// A segment of 1 MiB with page headers and nothing else that a reader would take for a record.
fn bytes(number: u32) -> Vec<u8> {
    const SIZE: u32 = 1 << 20;
    let mut bytes = vec![0; SIZE as usize];
    let address = u64::from(number) * u64::from(SIZE);
    let system: u64 = SYSTEM.parse().unwrap();
    let mut head = Vec::new();
    head.extend(0xD113_u16.to_le_bytes());
    head.extend(0x0002_u16.to_le_bytes());
    head.extend(1_u32.to_le_bytes());
    head.extend(address.to_le_bytes());
    head.extend(0_u32.to_le_bytes());
    head.extend([0; 4]);
    head.extend(system.to_le_bytes());
    head.extend(SIZE.to_le_bytes());
    head.extend(8192_u32.to_le_bytes());
    bytes[..head.len()].copy_from_slice(&head);
    bytes
}

fn archive(world: &World, number: u32) {
    archive_bytes(world, number, &bytes(number));
}

fn archive_bytes(world: &World, number: u32, bytes: &[u8]) {
    let key = keys::wal(&"queue".parse().unwrap(), SYSTEM, segment(number).as_str());
    world.bucket.force(&key, zstd::bulk::compress(bytes, 1).unwrap());
}

fn read(number: u32) -> lifeboat_core::contract::verify_backup::Request {
    check(Kind::DatabaseWal, &segment(number), Depth::Read)
}

#[tokio::test]
async fn a_segment_of_another_cluster_is_damage_of_its_own_and_the_rest_is_read() {
    let world = World::new();
    archive(&world, 1);
    let mut foreign = bytes(2);
    foreign[24] ^= 1;
    archive_bytes(&world, 2, &foreign);
    archive(&world, 3);
    let found = evidence(world.ask(read(3)).await.unwrap());
    assert_eq!((found.outcome, &found.id), (Outcome::Damaged, &segment(2)));
    assert_eq!(found.findings[0].file, segment(2).as_str());
    assert_eq!(found.facts[0].split(',').next(), Some("3 segments read"));
    assert!(due(&world).await.is_empty());
}

#[tokio::test]
async fn new_wal_is_read_once() {
    let world = World::new();
    for number in 1..4 {
        archive(&world, number);
    }
    assert_eq!(due(&world).await, [format!("read database-wal {}", segment(3))]);
    let found = evidence(world.ask(read(3)).await.unwrap());
    assert_eq!(found.facts[0].split(',').next(), Some("3 segments read"), "{found:?}");
    assert!(due(&world).await.is_empty());
    world.bucket.heal();
    let again = evidence(world.ask(read(3)).await.unwrap());
    assert_eq!(again.facts[0].split(',').next(), Some("0 segments read"));
    assert!(!world.bucket.calls().contains(&"range"));
    archive(&world, 4);
    let found = evidence(world.ask(read(4)).await.unwrap());
    assert_eq!(found.facts[0].split(',').next(), Some("1 segments read"));
}

#[tokio::test]
async fn a_gap_is_waited_for_and_then_damage() {
    let world = World::new();
    archive(&world, 1);
    world.ask(read(1)).await.unwrap();
    archive(&world, 3);
    let fault = world.ask(read(3)).await.unwrap_err();
    assert_eq!(fault.name, ErrorName::NotReady);
    assert!(fault.message.contains("1 segments are missing between"), "{fault}");
    // It comes, and everything is read.
    archive(&world, 2);
    assert_eq!(evidence(world.ask(read(3)).await.unwrap()).outcome, Outcome::Sound);
    // It does not come.
    world.bucket.at(at(NOW) - SignedDuration::from_hours(1));
    archive(&world, 6);
    let found = evidence(world.ask(read(6)).await.unwrap());
    assert_eq!((found.outcome, &found.id), (Outcome::Damaged, &segment(6)));
    assert!(found.findings[0].message.contains("2 segments are missing between"));
    // Those that come after all were not read, and the others were.
    let mark = world.backups().watermark(&"queue".parse().unwrap(), SYSTEM).await.unwrap();
    let read: Vec<bool> = (1..8).map(|n| mark.verified_at(&segment(n)).is_some()).collect();
    assert_eq!(read, [true, true, true, false, false, true, false]);
}

#[tokio::test]
async fn wal_that_is_not_there_is_refused() {
    let world = World::new();
    assert_eq!(world.ask(read(1)).await.unwrap_err().name, ErrorName::Refused);
}
