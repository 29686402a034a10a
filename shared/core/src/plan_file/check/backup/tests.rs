use crate::plan_file::{self, locate, notes, read};

const GOOD: &str = include_str!("../../../../../../events/plan/postgres.toml");
const RDS: &str = include_str!("../../../../../../events/plan/queue.toml");

fn with(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "the example no longer contains {from:?}");
    text.replace(from, to)
}

fn without(section: &str) -> String {
    let start = GOOD.find(section).unwrap_or_else(|| panic!("no {section}"));
    let end = GOOD[start + 1..].find("\n[").map_or(GOOD.len(), |end| start + 1 + end + 1);
    format!("{}{}", &GOOD[..start], &GOOD[end..])
}

/// The one mistake of a plan, which has a place.
#[track_caller]
fn one(text: &str, path: &str, says: &str) {
    let found = read(text).expect_err(says);
    let [mistake] = found.as_slice() else { panic!("{found:#?}") };
    assert!(mistake.line.is_some(), "{mistake:?}");
    assert_eq!(mistake.path, path, "{mistake}");
    assert!(mistake.message.contains(says), "{mistake}");
}

#[test]
fn the_alternatives_that_the_example_comments_out_are_good_too() {
    let uncommented = |line: &str| match line.strip_prefix('#') {
        Some(rest) if rest.starts_with(|c: char| c.is_ascii_lowercase() || c == '[') => {
            rest.to_owned()
        }
        _ => line.to_owned(),
    };
    let text: Vec<String> = GOOD.lines().map(uncommented).collect();
    let plan = read(&text.join("\n")).unwrap_or_else(|mistakes| panic!("{mistakes:#?}"));
    assert!(plan.sites.values().all(|site| site.cache.is_some()));
    assert!(plan.notifications.slack_webhook_secret.is_some());
}

#[test]
fn a_kind_is_scheduled_only_with_what_it_takes() {
    for kind in ["config", "code", "logs"] {
        let text = without(&format!("[backup.files.{kind}]"));
        one(&text, &format!("backup.schedule.{kind}"), &format!("add [backup.files.{kind}]"));
    }
    one(&without("[backup.images]"), "backup.schedule.images", "add [backup.images]");
    let base = "cache = { every = \"4h\" }\ndatabase-base = { every = \"4h\" }";
    let text = with(RDS, "cache = { every = \"4h\" }", base);
    one(&text, "backup.schedule.database-base", "schedule database-snapshot or database-dump");
    let snapshot = "logs = { every = \"4h\" }\ndatabase-snapshot = { every = \"24h\" }";
    let text = with(GOOD, "logs = { every = \"4h\" }", snapshot);
    one(&text, "backup.schedule.database-snapshot", "snapshots are RDS's");
    let wal = "logs = { every = \"4h\" }\ndatabase-wal = { every = \"1h\" }";
    let text = with(GOOD, "logs = { every = \"4h\" }", wal);
    one(&text, "backup.schedule.database-wal.every", "lifeboat host wal receive");
}

#[test]
fn a_cache_needs_a_redis_at_each_site_or_elasticache() {
    let text = with(GOOD, "redis = \"10.1.1.30:6379\"\n", "");
    one(&text, "sites.b.health.redis", "[sites.b.cache] where ElastiCache");
    let cache = "[sites.b.cache]\nengine = \"elasticache\"\nreplication_group = \"shop-b\"\n";
    let text = with(&text, "[sites.b.health]", &format!("{cache}\n[sites.b.health]"));
    assert_eq!(read(&text).map(drop), Ok(()));
    let text = with(GOOD, "redis = \"10.1.1.30:6379\"\n", "");
    assert_eq!(read(&with(&text, "cache = { every = \"4h\" }\n", "")).map(drop), Ok(()));
}

#[test]
fn both_sites_need_hosts_for_what_hosts_take() {
    let hosts = "[sites.b.hosts]\ntag = \"lifeboat-site\"\nvalue = \"shop-b\"\n";
    one(&with(GOOD, hosts, ""), "sites.b.hosts", "database-dump, database-base, config, code");
    // What RDS does needs none.
    let start = RDS.find("[backup.schedule]").unwrap();
    let snapshots = "[backup.schedule]\ndatabase-snapshot = { every = \"24h\" }\n";
    let text = format!("{}{snapshots}", &RDS[..start]);
    let hosts = "[sites.b.hosts]\ntag = \"lifeboat-site\"\nvalue = \"queue-b\"\n";
    assert_eq!(read(&with(&text, hosts, "")).map(drop), Ok(()));
}

#[test]
fn paths_are_absolute_and_what_is_excluded_lies_below_them() {
    let place = "backup.files.code.paths";
    for path in ["opt/shop", "/opt/../etc", "/opt/./shop", "/opt//shop", "/", "", "~/shop"] {
        let text = with(GOOD, "paths = [\"/var/log/shop\"]", &format!("paths = [\"{path}\"]"));
        one(&text, "backup.files.logs.paths", "absolute path");
    }
    let text = with(GOOD, "paths = [\"/var/log/shop\"]", "paths = [\"/var/log/shop/\"]");
    assert_eq!(read(&text).map(drop), Ok(()));
    one(
        &with(
            GOOD,
            "paths = [\"/opt/shop\"]\nexclude = [\"/opt/shop/cache\", \"/opt/shop/tmp\"]",
            "paths = []",
        ),
        place,
        "at least one",
    );
    let exclude = |path: &str| with(GOOD, "\"/opt/shop/tmp\"]", &format!("\"{path}\"]"));
    let place = "backup.files.code.exclude";
    one(&exclude("tmp"), place, "absolute path");
    one(&exclude("/opt/shop/../tmp"), place, "absolute path");
    one(&exclude("/opt/shopping"), place, "none of the paths");
    one(&exclude("/srv/shop/tmp"), place, "none of the paths");
    one(&exclude("/opt/shop"), place, "leaves out all of `/opt/shop`");
    one(&exclude("/opt"), place, "leaves out all of `/opt/shop`");
    let section = "[backup.files.images]\npaths = [\"/images\"]\n\n[backup.base]";
    let text = with(GOOD, "[backup.base]", section);
    one(&text, "backup.files.images", "no kind of files; use config, code or logs");
}

#[test]
fn images_have_names_and_commands() {
    let names =
        "names = [\"registry.example.com/shop-api:1.4\", \"registry.example.com/shop-worker:1.4\"]";
    let named = |to: &str| with(GOOD, names, to);
    one(&named("names = []"), "backup.images.names", "at least one image");
    for name in ["", "--output=/etc/passwd", "two words"] {
        one(&named(&format!("names = [\"{name}\"]")), "backup.images.names", "not the name");
    }
    one(&named("names = [\"a:1\", \"a:1\"]"), "backup.images.names", "twice");
    let save = "save = [\"podman\", \"save\", \"--format\", \"docker-archive\", \"{image}\"]";
    one(&with(GOOD, save, "save = [\"podman\", \"save\"]"), "backup.images.save", "put {image}");
    one(&with(GOOD, save, "save = []"), "backup.images.save", "program and its arguments");
    let text = with(GOOD, "load = [\"podman\", \"load\"]", "load = [\"\"]");
    one(&text, "backup.images.load", "program and its arguments");
}

#[test]
fn times_between_checks_and_the_checks_themselves_make_sense() {
    for hours in ["0", "8761"] {
        let text = with(GOOD, "read_every_hours = 24", &format!("read_every_hours = {hours}"));
        one(&text, "backup.verify.read_every_hours", "1 to 8760 hours");
        let to = format!("restore_every_hours = {hours}");
        let text = with(GOOD, "restore_every_hours = 168", &to);
        one(&text, "backup.verify.restore_every_hours", "1 to 8760 hours");
    }
    for (key, most) in [("read_up_to_gib", 1024), ("count_up_to_mib", 1 << 20)] {
        let set = |number: u32| {
            with(
                GOOD,
                "restore_every_hours = 168",
                &format!("restore_every_hours = 168\n{key} = {number}"),
            )
        };
        for good in [0, most] {
            assert_eq!(read(&set(good)).map(drop), Ok(()), "{key} = {good}");
        }
        one(&set(most + 1), &format!("backup.verify.{key}"), &format!("use 0 to {most}"));
    }
    let text = with(GOOD, "name = \"every order has a customer\"", "name = \"\"");
    one(&text, "backup.checks", "one boolean");
}

#[test]
fn what_is_configured_and_never_taken_is_said_where_it_stands() {
    let said = |text: &str| -> Vec<String> {
        let plan = read(text).unwrap_or_else(|mistakes| panic!("{mistakes:#?}"));
        let found = locate(text, notes(&plan));
        assert!(found.iter().all(|note| note.line.is_some()), "{found:?}");
        found.into_iter().map(|note| note.path).collect()
    };
    for good in [GOOD, RDS] {
        assert!(said(good).is_empty(), "{:?}", said(good));
    }
    for (line, path) in [
        ("logs = { every = \"4h\" }\n", "backup.files.logs"),
        ("images = { every = \"24h\", at = \"03:30\" }\n", "backup.images"),
        (
            "database-base = { every = \"4h\", at = \"01:00\", full_every = \"24h\" }\n",
            "backup.base",
        ),
    ] {
        assert_eq!(said(&with(GOOD, line, "")), [path]);
    }
    assert_eq!(said(&without("[backup.base]")), ["backup.schedule.database-base"]);
    let start = GOOD.find("[backup.schedule]").unwrap();
    let start_of_files = GOOD.find("[backup.files.config]").unwrap();
    let text = format!("{}{}", &GOOD[..start], &GOOD[start_of_files..]);
    assert_eq!(said(&text), ["backup"]);
    let start = GOOD.find("[backup.schedule]").unwrap();
    let logs = "[backup.schedule]\nlogs = { every = \"4h\" }\n[backup.files.logs]\npaths = [\"/var/log\"]\n[[backup.checks]]\nname = \"a\"\nquery = \"SELECT true\"\n";
    assert_eq!(said(&format!("{}{logs}", &GOOD[..start])), ["backup.checks"]);
    let plan: plan_file::AppPlan = read(&GOOD[..start]).unwrap();
    assert!(notes(&plan).iter().all(|note| note.path.is_empty()), "of what is not there");
}

#[test]
fn a_schedule_slower_than_an_rpo_that_it_could_keep_is_noted() {
    let base = "database-base = { every = \"4h\", at = \"01:00\", full_every = \"24h\" }\n";
    let dumps = without("[backup.base]").replace(base, "");
    let place = "backup.schedule.database-dump.every";
    for (rpo, noted) in [("30", false), ("3600", true), ("86400", false)] {
        let text = with(&dumps, "rpo_seconds = 30", &format!("rpo_seconds = {rpo}"));
        let found = notes(&read(&text).unwrap_or_else(|found| panic!("{found:#?}")));
        assert_eq!(found.iter().any(|note| note.path.join(".") == place), noted, "{found:#?}");
    }
    // Archived WAL reaches further than the next slot.
    let text = with(GOOD, "rpo_seconds = 30", "rpo_seconds = 3600");
    assert_eq!(notes(&read(&text).unwrap()), []);
}

#[test]
fn an_app_that_is_not_backed_up_at_all_is_noted() {
    let start = RDS.find("# When backups are taken").unwrap();
    let end = RDS.find("[notifications]").unwrap();
    let text = format!("{}{}", &RDS[..start], &RDS[end..]);
    let found = notes(&read(&text).unwrap());
    let [one] = found.as_slice() else { panic!("{found:#?}") };
    assert!(one.message.starts_with("nothing is backed up"), "{one:?}");
}
