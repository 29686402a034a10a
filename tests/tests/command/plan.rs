//! `plan`, `init` and `secret` against a cloud of two regions.

use serde_json::Value;

use super::cloud::{Cloud, example};

const PLAN: &str = "events/plan/queue.toml";

#[test]
fn a_dark_region_does_not_block_the_operator_and_is_owed() {
    let cloud = Cloud::new(&["us-east-1"]);
    let (code, out, err) = cloud.lifeboat(&["plan", "apply", PLAN, "--yes"]);
    assert_eq!(code, 4, "{out}{err}");
    assert!(out.contains("us-west-2: stores plan /lifeboat/plans/queue\n"), "{out}");
    assert!(out.contains("applied in us-west-2\n"), "{out}");
    assert!(err.contains("us-east-1 does not answer; owed there: plan, register"), "{err}");
    // It may hold a newer epoch: no register is begun beside it.
    assert!(err.contains("owed there: the first register of us-west-2"), "{err}");
    assert!(err.ends_with("give the same command again when the region answers\n"), "{err}");
    {
        let state = cloud.state.lock().unwrap();
        let stored: Vec<_> = state.parameters.keys().cloned().collect();
        assert_eq!(stored, [("us-west-2".to_owned(), "/lifeboat/plans/queue".to_owned())]);
        assert!(state.objects.is_empty(), "{:?}", state.objects.keys());
        assert!(state.alarms.is_empty());
    }

    let (code, out, err) = cloud.lifeboat_given("s3cret\n", &["secret", PLAN, "database"]);
    assert_eq!(code, 4, "{err}");
    assert_eq!(out, "us-west-2: stored /lifeboat/secrets/queue/database\n");
    assert!(err.contains("us-east-1 does not answer; owed there: the secret database"), "{err}");
    assert!(!format!("{out}{err}").contains("s3cret"));
    let (code, out, _) = cloud.lifeboat_given("s3cret", &["secret", PLAN, "database", "--json"]);
    let answer: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &answer["regions"][0]), (4, &Value::from("us-west-2")));
    assert_eq!(answer["owed"][0]["region"], "us-east-1");

    // Where nobody answers nothing was done, and that is a failure.
    let (code, _, err) = Cloud::new(&["us-east-1", "us-west-2"]).lifeboat(&["plan", "apply", PLAN]);
    assert_eq!(code, 1, "{err}");
}

#[test]
fn applying_shows_what_changes_asks_and_says_nothing_where_nothing_does() {
    let cloud = Cloud::new(&[]);
    // Nobody sits at this test.
    let (code, out, err) = cloud.lifeboat(&["plan", "apply", PLAN]);
    assert_eq!(code, 2, "{err}");
    assert!(out.contains("us-east-1: stores plan") && err.contains("give --yes"), "{out}{err}");
    assert!(cloud.state.lock().unwrap().parameters.is_empty());
    let (code, out, _) = cloud.lifeboat(&["plan", "apply", PLAN, "--dry-run"]);
    assert_eq!(code, 0);
    assert!(out.contains("us-west-2: writes the register: epoch 1, site a active"), "{out}");
    assert!(!out.contains("would"), "{out}");
    assert!(cloud.state.lock().unwrap().parameters.is_empty());

    let (code, out, err) = cloud.lifeboat(&["plan", "apply", PLAN, "--yes"]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("applied in us-east-1 and us-west-2\n"), "{out}");
    let (code, out, err) = cloud.lifeboat(&["plan", "apply", PLAN]);
    assert_eq!(code, 0, "{err}");
    assert!(out.starts_with("nothing changes\n"), "{out}");

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("other.toml");
    std::fs::write(&file, example().replace("ttl_seconds = 5", "ttl_seconds = 7")).unwrap();
    let file = file.to_str().unwrap();
    let (code, out, _) = cloud.lifeboat(&["plan", "apply", file, "--dry-run", "--json"]);
    let answer: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, answer["changes"].as_array().unwrap().len()), (0, 2));
    assert_eq!(answer["changes"][0]["details"][0], "~ dns.ttl_seconds: 5 -> 7");
}

#[test]
fn the_first_site_is_brought_up_once_its_plan_is_stored_and_alarms_follow() {
    let cloud = Cloud::new(&[]);
    let (code, _, err) = cloud.lifeboat(&["init", PLAN]);
    assert_eq!(code, 2, "{err}");
    assert!(err.contains("lifeboat plan apply events/plan/queue.toml"), "{err}");
    assert_eq!(cloud.lifeboat(&["plan", "apply", PLAN, "--yes"]).0, 0);
    assert!(cloud.state.lock().unwrap().alarms.is_empty(), "alarms before the first site serves");

    for _ in 0..2 {
        let (code, out, err) = cloud.lifeboat(&["init", PLAN]);
        assert_eq!(code, 0, "{err}");
        assert!(out.contains("activating site a of queue in us-east-1, epoch 1"), "{out}");
        assert!(out.ends_with("site a of queue serves under epoch 1\n"), "{out}");
    }
    {
        let state = cloud.state.lock().unwrap();
        let order = ("us-east-1".to_owned(), r#"{"app":"queue","site":"a"}"#.to_owned());
        assert_eq!(state.started, [order.clone(), order]);
        assert!(state.alarms.contains(&"us-west-2 lifeboat-site-down-queue--a".to_owned()));
    }
    // A recovery has moved the app since.
    {
        let mut state = cloud.state.lock().unwrap();
        for record in state.objects.values_mut() {
            let text = String::from_utf8(record.clone()).unwrap();
            let text = text.replace("\"epoch\":1", "\"epoch\":2");
            *record = text.replace("\"active_site\":\"a\"", "\"active_site\":\"b\"").into_bytes();
        }
        state.started.clear();
    }
    let (code, _, err) = cloud.lifeboat(&["init", PLAN]);
    assert_eq!(code, 3, "{err}");
    assert!(err.contains("site b of queue is the active one (epoch 2), not a"), "{err}");
    assert!(cloud.state.lock().unwrap().started.is_empty());
}

#[test]
fn the_first_site_is_not_brought_up_beside_a_region_that_cannot_be_read() {
    let cloud = Cloud::new(&[]);
    assert_eq!(cloud.lifeboat(&["plan", "apply", PLAN, "--yes"]).0, 0);
    cloud.state.lock().unwrap().dark.push("us-west-2".to_owned());
    let (code, _, err) = cloud.lifeboat(&["init", PLAN]);
    assert_eq!(code, 1, "{err}");
    assert!(cloud.state.lock().unwrap().started.is_empty());
    assert!(err.contains("us-west-2 may know that another one is active"), "{err}");
}

/// The queue keeps 32 snapshots in each region, and so do apps like it.
#[test]
fn a_plan_whose_snapshots_do_not_fit_is_refused_with_the_arithmetic_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let named = |app: &str| {
        let file = folder.path().join(format!("{app}.toml"));
        std::fs::write(
            &file,
            example().replacen("app = \"queue\"", &format!("app = \"{app}\""), 1),
        )
        .unwrap();
        file.to_str().unwrap().to_owned()
    };
    let cloud = Cloud::new(&[]);
    for app in ["first", "second", "third"] {
        let (code, _, err) = cloud.lifeboat(&["plan", "apply", &named(app), "--yes"]);
        assert_eq!(code, 0, "{err}");
        // 96 of 100: the third is told that little is left.
        assert_eq!(err.contains("warning: RDS allows 100"), app == "third", "{err}");
    }
    let (code, out, err) = cloud.lifeboat(&["plan", "apply", &named("fourth"), "--yes"]);
    assert_eq!(code, 3, "{out}{err}");
    for region in ["us-east-1", "us-west-2"] {
        let sum = "fourth 32 + first 32 + second 32 + third 32 = 128";
        let line = err.lines().find(|line| line.contains(region)).unwrap();
        assert!(line.contains(sum) && line.contains("128 in all, 28 too many"), "{line}");
    }
    let stored = |name: &str| {
        let key = ("us-west-2".to_owned(), format!("/lifeboat/plans/{name}"));
        cloud.state.lock().unwrap().parameters.contains_key(&key)
    };
    assert!(stored("third") && !stored("fourth"));

    // What makes nothing worse is not refused, however full the region is.
    cloud.state.lock().unwrap().snapshots = 100;
    let file = named("third");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("ttl_seconds = 5", "ttl_seconds = 7")).unwrap();
    let (code, _, err) = cloud.lifeboat(&["plan", "apply", &file, "--yes"]);
    assert_eq!(code, 0, "{err}");
    assert!(err.contains("96 too many"), "{err}");
}
