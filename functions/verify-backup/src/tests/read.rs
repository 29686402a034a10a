//! Depth `read`: bytes, formats, counts and time.

use jiff::SignedDuration;
use lifeboat_archive::Source as _;
use lifeboat_catalogue::{
    Content as _,
    source::{ObjectSource, RANGE},
    testing::Failure,
};
use lifeboat_core::{
    ErrorName,
    backup::{Depth, Kind, Outcome, Standing, TableCount, verification::Verify},
    contract::verify_backup::Response,
};

use super::{
    check, due, evidence,
    world::{Act, World, id},
};

/// Bytes that no two ranges share.
fn bytes(len: usize) -> Vec<u8> {
    let mut state = 1_u64;
    (0..len)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        })
        .collect()
}

#[tokio::test]
async fn a_flipped_byte_anywhere_in_an_object_of_many_ranges_is_found() {
    let len = usize::try_from(RANGE).unwrap() * 2 + 17;
    let bytes = bytes(len);
    for place in [0, len / 2, len - 1] {
        let world = World::new();
        world.backup(Kind::Config, &id(1), &bytes, Act::Flip(place));
        let found = evidence(world.ask(check(Kind::Config, &id(1), Depth::Read)).await.unwrap());
        assert_eq!(found.outcome, Outcome::Damaged);
        assert!(found.findings[0].message.contains("SHA-256"), "{:?}", found.findings);
    }
    let world = World::new();
    world.backup(Kind::Config, &id(1), &bytes, Act::None);
    let found = evidence(world.ask(check(Kind::Config, &id(1), Depth::Read)).await.unwrap());
    assert_eq!(found.outcome, Outcome::Sound, "{:?}", found.findings);
    assert_eq!(world.bucket.calls().iter().filter(|call| **call == "range").count(), 3);
}

#[tokio::test]
async fn a_source_gives_the_bytes_in_order_from_any_offset() {
    let len = usize::try_from(RANGE).unwrap() * 6 + 5;
    let bytes = bytes(len);
    let world = World::new();
    world.bucket.force("object", bytes.clone());
    for offset in [0, 1, len / 3, len - 1, len] {
        let head = world.bucket.head("object").await.unwrap().unwrap();
        let source = ObjectSource::new(world.bucket.clone(), "object".into(), head);
        let read = tokio::task::spawn_blocking(move || {
            let mut all = Vec::new();
            std::io::Read::read_to_end(&mut source.open(offset as u64).unwrap(), &mut all).unwrap();
            all
        });
        assert!(read.await.unwrap() == bytes[offset..], "{offset}");
    }
}

#[tokio::test]
async fn a_range_that_fails_is_a_fault_and_never_the_end_of_the_bytes() {
    let bytes = bytes(usize::try_from(RANGE).unwrap() * 3);
    for range in 0..3 {
        let world = World::new();
        world.backup(Kind::Config, &id(1), &bytes, Act::None);
        // The manifest, and a look at the object, come first.
        world.bucket.fail(2 + range, Failure::Before);
        let fault = world.ask(check(Kind::Config, &id(1), Depth::Read)).await.unwrap_err();
        assert_eq!(fault.name, ErrorName::Transient);
        assert!(!world.bucket.keys().iter().any(|key| key.starts_with("evidence/")));
    }
}

#[tokio::test]
async fn what_takes_too_long_goes_on_to_its_restore_and_pages_nobody() {
    let world = World::new();
    world.backup(Kind::Config, &id(1), &bytes(1 << 20), Act::None);
    world.ask(check(Kind::Config, &id(1), Depth::Present)).await.unwrap();
    let request = check(Kind::Config, &id(1), Depth::Read);
    let response = world.ask_within(request, SignedDuration::from_secs(1)).await.unwrap();
    let Response::Skipped { record } = response else { panic!("{response:?}") };
    assert!(record.why.contains("cannot be read in the time"), "{}", record.why);
    assert_eq!(due(&world).await, [format!("restored config {}", id(1))]);
}

#[tokio::test]
async fn what_is_larger_than_the_plan_lets_it_read_is_not_touched() {
    let world = World::new();
    let mut manifest = World::manifest(Kind::Config, &id(1), "files.tar.zst", b"");
    // A byte more than the default; the object itself is empty, which reading it would find.
    manifest.artifacts[0].size_bytes = Verify::default().read_up_to_bytes() + 1;
    world.put(&manifest, b"", Act::None);
    let response = world.ask(check(Kind::Config, &id(1), Depth::Read)).await.unwrap();
    let Response::Skipped { record } = response else { panic!("{response:?}") };
    for said in ["17179869185 bytes", "backup.verify.read_up_to_gib = 16", "its restore proves it"]
    {
        assert!(record.why.contains(said), "{said}: {}", record.why);
    }
    assert!(!world.bucket.calls().contains(&"range"));
    let left: Vec<_> =
        world.bucket.keys().into_iter().filter(|key| key.starts_with("evidence/")).collect();
    assert_eq!(left, [format!("evidence/queue/config/{}/read-skipped.json", id(1))]);
    // It does not count, and nothing more is asked of this function but a look.
    assert_eq!(due(&world).await, [format!("present config {}", id(1))]);
    let restored = world.restored(Kind::Config, &id(1), Outcome::Sound);
    assert_eq!(evidence(world.ask(restored).await.unwrap()).depth, Depth::Restored);
    let point = world.backups().point(&"queue".parse().unwrap(), Kind::Config, &id(1)).await;
    let checks = point.unwrap().unwrap().checks;
    assert!(matches!(checks.standing(), Standing::Verified { .. }), "{checks:?}");
}

#[tokio::test]
async fn something_that_is_no_dump_is_damage() {
    let world = World::new();
    let mut manifest =
        World::manifest(Kind::DatabaseDump, &id(1), "database.dump.zst", b"not a dump");
    manifest.tables = vec![TableCount { table: "public.tickets".into(), rows: Some(7) }];
    world.put(&manifest, b"not a dump", Act::None);
    let found = evidence(world.ask(check(Kind::DatabaseDump, &id(1), Depth::Read)).await.unwrap());
    assert_eq!(found.outcome, Outcome::Damaged);
    assert_eq!(found.findings[0].file, "database.dump.zst");
}
