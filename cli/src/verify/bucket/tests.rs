use lifeboat_catalogue::testing::{Failure as Broken, MemoryBucket};
use lifeboat_core::backup::{Choice, Depth, Kind, Outcome};

use super::*;

const MANIFEST: &str = "manifests/queue/config/20261124T120000Z-full.json";
const CONFIG: &str = "artifacts/queue/config/20261124T120000Z-full/a/config.json";
const GONE: &str = "artifacts/queue/config/20261124T120000Z-full/a/gone.json";

/// `{}` as the only content of a backup, as far as the manifest is right.
fn backup(names: &[&str]) -> Arc<MemoryBucket> {
    let bucket = MemoryBucket::default();
    // SHA-256 of the two bytes `{}`.
    let sha256 = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
    let artifact =
        |name: &&str| json!({ "name": format!("a/{name}"), "size_bytes": 2, "sha256": sha256 });
    let manifest = json!({
        "app": "queue", "kind": "config", "id": "20261124T120000Z-full", "site": "a",
        "region": "us-east-1", "source": "a test", "versions": {},
        "started_at": "2026-11-24T12:00:00Z", "ended_at": "2026-11-24T12:00:01Z",
        "artifacts": names.iter().map(artifact).collect::<Vec<_>>(),
    });
    bucket.force(MANIFEST, manifest.to_string());
    bucket.force(CONFIG, "{}");
    Arc::new(bucket)
}

async fn verdicts(bucket: &Arc<MemoryBucket>, key: &str) -> Result<Vec<Verdict>, Failure> {
    let options = Options::default();
    let backups = Backups::over(Arc::clone(bucket), "us-east-1".parse().unwrap());
    let wanted = named(&backups, "bucket", key).await?;
    let mut verdicts = Vec::new();
    for object in wanted {
        let key = object.key.clone();
        verdicts.push(read(bucket, &key, object, &options, true).await?.0);
    }
    Ok(verdicts)
}

#[test]
fn only_one_object_is_a_name() {
    assert_eq!(read_url("bucket/a/b").ok(), Some(("bucket", "a/b")));
    for wrong in ["", "bucket", "bucket/", "/key", "bucket/artifacts/"] {
        let failure = read_url(wrong).unwrap_err();
        assert_eq!(failure.code, COULD_NOT_TELL, "{wrong}");
        assert!(failure.lines[0].contains("name one object"), "{failure:?}");
    }
}

#[tokio::test]
async fn a_manifest_stands_for_all_of_its_objects() {
    let bucket = backup(&["config.json", "gone.json"]);
    let told = verdicts(&bucket, MANIFEST).await.unwrap();
    assert_eq!(told, [Verdict::Sound, Verdict::Damaged], "the second one is missing");
    assert_eq!(verdicts(&bucket, CONFIG).await.unwrap(), [Verdict::Sound]);
    bucket.force(CONFIG, "{\n");
    assert_eq!(verdicts(&bucket, CONFIG).await.unwrap(), [Verdict::Damaged]);
    // Of no format that can be read, and of no manifest that says what it must be.
    bucket.force("elsewhere", "{}");
    assert_eq!(verdicts(&bucket, "elsewhere").await.unwrap(), [Verdict::CouldNotTell]);
}

#[tokio::test]
async fn what_is_not_there_or_not_to_be_had_is_not_damaged() {
    let bucket = backup(&["config.json"]);
    for missing in [GONE, "elsewhere", "manifests/queue/code/20261124T120000Z-full.json"] {
        let failure = verdicts(&bucket, missing).await.unwrap_err();
        assert_eq!(failure.code, COULD_NOT_TELL);
        assert!(failure.lines[0].contains("there is no"), "{failure:?}");
    }
    let asked = "manifests/queue/code/20261124T120000Z-full.json";
    let failure = verdicts(&bucket, asked).await.unwrap_err();
    assert!(failure.lines[0].starts_with(&format!("s3://bucket/{asked}: ")), "{failure:?}");
    for call in 0..4 {
        bucket.heal();
        bucket.fail(call, Broken::Before);
        match verdicts(&bucket, CONFIG).await {
            Ok(told) => assert_eq!((call, told), (3, vec![Verdict::Sound])),
            Err(failure) => assert_eq!(failure.code, COULD_NOT_TELL, "call {call}"),
        }
    }
}

fn now() -> jiff::Timestamp {
    "2026-11-24T20:00:00Z".parse().unwrap()
}

const BUCKET: &str = "lifeboat-backups-000000000000-us-east-1";

async fn record(bucket: &Arc<MemoryBucket>) -> Result<record::Recorded, Fault> {
    let region = "us-east-1".parse().unwrap();
    let point = record::point(BUCKET, MANIFEST, &region).unwrap();
    let backups = Backups::over(Arc::clone(bucket), region);
    record::record(&point, &backups, std::num::NonZero::<usize>::MIN, now).await
}

fn evidence(bucket: &MemoryBucket) -> Vec<String> {
    bucket.keys().into_iter().filter(|key| key.starts_with("evidence/")).collect()
}

#[tokio::test]
async fn a_point_that_is_found_sound_by_hand_can_be_restored_at_once() {
    let bucket = backup(&["config.json"]);
    let backups = Backups::over(Arc::clone(&bucket), "us-east-1".parse().unwrap());
    let (app, id) = ("queue".parse().unwrap(), "20261124T120000Z-full".parse().unwrap());
    let choose = || backups.choose(&app, Kind::Config, Some(&id), None);
    assert!(matches!(choose().await.unwrap(), Choice::Unreliable { .. }), "nobody has read it");
    let recorded = record(&bucket).await.unwrap();
    assert_eq!(recorded.evidence.outcome, Outcome::Sound);
    assert_eq!(recorded.evidence.depth, Depth::Read, "no more than what was done");
    assert!(recorded.evidence.facts.iter().any(|fact| fact.starts_with("read by hand")));
    assert!(matches!(recorded.choice, Choice::Reliable { .. }));
    assert!(matches!(choose().await.unwrap(), Choice::Reliable { .. }));
    let key = "evidence/queue/config/20261124T120000Z-full/read-sound.json";
    assert_eq!(evidence(&bucket), [key]);

    // A byte goes wrong, and somebody looks again.
    bucket.force(CONFIG, "[]");
    let recorded = record(&bucket).await.unwrap();
    assert_eq!(recorded.evidence.outcome, Outcome::Damaged);
    assert!(matches!(choose().await.unwrap(), Choice::Unreliable { .. }));
}

#[tokio::test]
async fn what_could_not_be_read_is_not_recorded() {
    for call in 0..3 {
        let bucket = backup(&["config.json"]);
        bucket.fail(call, Broken::Before);
        assert!(record(&bucket).await.is_err(), "call {call}");
        assert_eq!(evidence(&bucket), [""; 0], "call {call}");
    }
}

#[test]
fn only_a_point_of_a_regions_catalogue_is_recorded() {
    let region = "us-east-1".parse().unwrap();
    let snapshot = "manifests/queue/database-snapshot/20261124T120000Z-full.json";
    for (bucket, key, said) in [
        (BUCKET, CONFIG, "is no recovery point"),
        (BUCKET, "elsewhere", "is no recovery point"),
        ("somewhere", MANIFEST, "is not the backup bucket of us-east-1"),
        ("lifeboat-backups-000000000000-us-west-2", MANIFEST, "is not the backup bucket"),
        (BUCKET, snapshot, "its restore into scratch proves it"),
    ] {
        let failure = record::point(bucket, key, &region).unwrap_err();
        assert_eq!(failure.code, 2);
        assert!(failure.lines[0].contains(said), "{failure:?}");
    }
    assert!(record::point(BUCKET, MANIFEST, &region).is_ok());
}
