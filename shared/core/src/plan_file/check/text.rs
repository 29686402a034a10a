//! Texts of a plan that other programs read: URLs, paths, SQL; and its size as it is stored.

use super::Report;
use crate::{backup::Kind, plan_file::AppPlan};

/// The most bytes of a parameter of the advanced tier, and of the standard one, which costs nothing
/// (Systems Manager user guide, "Managing parameter tiers").
const MOST_BYTES: usize = 8_192;
const STANDARD_BYTES: usize = 4_096;

/// What is wrong.
pub(super) fn check(plan: &AppPlan, report: &mut Report) {
    for (name, site) in &plan.sites {
        let own = [(None, site.health.http.as_ref())].into_iter();
        let seen = site.health.seen_from.iter();
        let all = own.chain(seen.map(|(region, of)| (Some(region.as_str()), of.http.as_ref())));
        for (region, url) in all {
            if url.is_some_and(|url| has_credentials(url)) {
                let mut path = vec!["sites", name.as_str(), "health"];
                path.extend(region.into_iter().flat_map(|region| ["seen_from", region]));
                path.push("http");
                report.add(
                    &path,
                    "the URL has a user or a password in it, and a plan is readable by all of \
                     Lifeboat; let the health check answer without one, from the network alone"
                        .to_owned(),
                );
            }
        }
    }
    let Some(backup) = &plan.backup else { return size(plan, report) };
    for (kind, files) in &backup.files {
        for (key, paths) in [("paths", &files.paths), ("exclude", &files.exclude)] {
            patterns(*kind, key, paths, report);
        }
    }
    for (place, check) in backup.checks.iter().enumerate() {
        if let Some(why) = writes(&check.query) {
            report.add(
                &["backup", "checks", &place.to_string(), "query"],
                format!("{why}: give one SELECT of one row with one boolean, which runs read-only"),
            );
        }
    }
    size(plan, report);
}

/// What costs money and need not.
pub(super) fn notes(plan: &AppPlan, report: &mut Report) {
    let bytes = stored(plan);
    if (STANDARD_BYTES + 1..=MOST_BYTES).contains(&bytes) {
        report.add(
            &[],
            format!(
                "the plan has {bytes} bytes as it is stored, more than the {STANDARD_BYTES} of a \
                 standard parameter; the advanced one that holds it is charged by the month"
            ),
        );
    }
}

fn size(plan: &AppPlan, report: &mut Report) {
    let bytes = stored(plan);
    if bytes > MOST_BYTES {
        report.add(
            &[],
            format!(
                "the plan has {bytes} bytes as it is stored, and a parameter holds {MOST_BYTES}; name \
                 folders instead of the files in them, and ask less in backup.checks"
            ),
        );
    }
}

/// The bytes of the plan in Parameter Store. One that could not be written has none.
fn stored(plan: &AppPlan) -> usize {
    serde_json::to_vec(plan).map_or(0, |json| json.len())
}

/// Whether a URL has a user, or more, before its host (RFC 3986, section 3.2.1).
fn has_credentials(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', '?', '#']).next().is_some_and(|authority| authority.contains('@'))
}

fn patterns(kind: Kind, key: &str, paths: &[String], report: &mut Report) {
    for path in paths.iter().filter(|path| path.contains(['*', '?', '['])) {
        report.add(
            &["backup", "files", kind.as_str(), key],
            format!(
                "`{path}` looks like a pattern, and a path is taken as it stands; name the folder, \
                 and leave out what lies below it with exclude"
            ),
        );
    }
}

/// Why a query is not one that only reads; none when it is. Comments and quoted texts say nothing.
fn writes(query: &str) -> Option<String> {
    let bare = bare(query);
    let text = bare.trim().trim_end_matches(';');
    if text.contains(';') {
        return Some("this is more than one statement".to_owned());
    }
    let words: Vec<String> = text
        .split(|c: char| !c.is_alphanumeric() && c != '_')
        .filter(|word| !word.is_empty())
        .map(str::to_ascii_lowercase)
        .collect();
    let first = words.first()?;
    if !["select", "with", "values", "table"].contains(&first.as_str()) {
        return Some(format!("`{}` does not only read", first.to_uppercase()));
    }
    let pair = |one: &str, other: &str| {
        words.windows(2).any(|pair| matches!(pair, [a, b] if a == one && b == other))
    };
    // What writes within a SELECT: a common table expression, a target table, a lock.
    let found = [
        ("insert", "into"),
        ("delete", "from"),
        ("merge", "into"),
        ("for", "update"),
        ("for", "share"),
    ];
    let found = found.into_iter().find(|(one, other)| pair(one, other));
    let update = first == "with"
        && words.windows(3).any(|w| matches!(w, [a, _, c] if a == "update" && c == "set"));
    match found {
        Some((one, other)) => {
            Some(format!("{} {} writes", one.to_uppercase(), other.to_uppercase()))
        }
        None if update => Some("UPDATE writes".to_owned()),
        None => None,
    }
}

/// SQL without its comments and without what is in quotes.
fn bare(sql: &str) -> String {
    let mut out = String::new();
    let mut rest = sql;
    while let Some(c) = rest.chars().next() {
        let skipped = if rest.starts_with("--") {
            rest.find('\n')
        } else if rest.starts_with("/*") {
            rest.find("*/").map(|end| end + 2)
        } else if c == '\'' || c == '"' {
            rest.get(1..).and_then(|after| after.find(c)).map(|end| end + 2)
        } else {
            out.push(c);
            Some(c.len_utf8())
        };
        if matches!(c, '\'' | '"' | '/' | '-') && skipped != Some(1) {
            out.push(' ');
        }
        rest = skipped.and_then(|skipped| rest.get(skipped..)).unwrap_or_default();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan_file::{self, read};

    const GOOD: &str = include_str!("../../../../../events/plan/queue.toml");

    #[track_caller]
    fn one(from: &str, to: &str, path: &str, says: &str) {
        assert!(GOOD.contains(from), "the example no longer contains {from:?}");
        let found = read(&GOOD.replacen(from, to, 1)).expect_err(says);
        let [mistake] = found.as_slice() else { panic!("{found:#?}") };
        assert_eq!(mistake.path, path);
        assert!(mistake.message.contains(says), "{mistake}");
    }

    #[test]
    fn a_url_with_a_password_is_refused_without_showing_it() {
        let (from, to) = ("http://127.0.21.10", "http://probe:hunter2@127.0.21.10");
        one(from, to, "sites.a.health.seen_from.us-west-2.http", "password");
        let found = read(&GOOD.replace(from, to)).unwrap_err();
        assert!(!found[0].to_string().contains("hunter2"));
        let query = GOOD.replace("127.0.21.10:8080/health", "127.0.21.10:8080/health?as=a@b");
        assert!(read(&query).is_ok());
    }

    #[test]
    fn a_pattern_is_no_path() {
        one("\"/opt/queue/logs\"", "\"/opt/queue/*.log\"", "backup.files.logs.paths", "pattern");
        let from = "exclude = [\"/opt/queue/code/releases/1.3\"]";
        let to = "exclude = [\"/opt/queue/code/**/node_modules\"]";
        one(from, to, "backup.files.code.exclude", "pattern");
    }

    #[test]
    fn a_check_that_writes_is_refused() {
        for (query, says) in [
            ("DELETE FROM tickets", "`DELETE` does not only read"),
            ("SELECT true; DROP TABLE tickets", "more than one statement"),
            ("WITH gone AS (DELETE FROM tickets RETURNING 1) SELECT true", "DELETE FROM writes"),
            ("WITH x AS (UPDATE tickets SET epoch = 1 RETURNING 1) SELECT true", "UPDATE writes"),
            ("SELECT true FROM tickets FOR UPDATE", "FOR UPDATE writes"),
            ("/* SELECT */ CALL sweep()", "`CALL` does not only read"),
        ] {
            assert!(
                writes(query).is_some_and(|why| why.contains(says)),
                "{query}: {:?}",
                writes(query)
            );
        }
        for query in [
            "SELECT count(*) = 0 FROM tickets WHERE note = 'delete from; x'",
            "select updated > set_at from \"insert into\" -- ; drop\n;",
            "WITH new AS (SELECT 1 AS update) SELECT count(*) = 1 FROM new",
            "SELECT 1/2 < 3-1",
        ] {
            assert_eq!(writes(query), None, "{query}");
        }
        let from = "SELECT count(*) FILTER";
        one(from, "TRUNCATE tickets -- ", "backup.checks.0.query", "`TRUNCATE` does not only read");
    }

    #[test]
    fn a_plan_that_no_parameter_holds_is_refused_and_one_that_costs_is_noted() {
        let with = |count: usize| {
            let more: Vec<String> =
                (0..count).map(|n| format!("\"/opt/queue/logs/{n:050}\"")).collect();
            GOOD.replace("\"/opt/queue/logs\"", &more.join(", "))
        };
        let plan = read(&with(30)).unwrap();
        let found = plan_file::notes(&plan);
        assert!(found.len() == 1 && found[0].message.contains("4096"), "{found:?}");
        let found = read(&with(150)).unwrap_err();
        assert!(
            found.len() == 1 && found[0].message.contains("a parameter holds 8192"),
            "{found:?}"
        );
    }
}
