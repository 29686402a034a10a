//! From a person's text to a plan, or to a list of mistakes with their places.

use std::fmt;

use serde::{Serialize, de::DeserializeOwned};
use toml_edit::{Document, Item};

use super::{
    check::{Problem, check},
    model::AppPlan,
    shape, syntax,
};

/// A mistake with its place in the text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Located {
    /// Line, from 1. None when the mistake has no place (something is absent altogether).
    pub line: Option<usize>,
    /// Column, from 1.
    pub column: Option<usize>,
    /// The keys that lead to it, joined by dots; empty when the text does not parse.
    pub path: String,
    /// What is wrong and how to mend it.
    pub message: String,
}

impl fmt::Display for Located {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let (Some(line), Some(column)) = (self.line, self.column) {
            write!(f, "{line}:{column}: ")?;
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}

/// The plan that `text` (TOML) describes.
///
/// # Errors
/// Every mistake, located; nothing has been touched. The caller shows them all.
pub fn read(text: &str) -> Result<AppPlan, Vec<Located>> {
    read_with(text, check)
}

/// What `text` (TOML) describes, when `check` finds nothing wrong with it.
///
/// # Errors
/// Every mistake, located.
pub fn read_with<T: DeserializeOwned>(
    text: &str,
    check: impl Fn(&T) -> Vec<Problem>,
) -> Result<T, Vec<Located>> {
    let table: toml::Table = toml::from_str(text).map_err(|error| {
        let (line, column) = match error.span() {
            Some(span) => position(text, span.start),
            None => (None, None),
        };
        let message = syntax::words(error.message(), text, error.span());
        vec![Located { line, column, path: String::new(), message }]
    })?;
    let value: T = shape::read(table, &check).map_err(|problems| locate(text, problems))?;
    let problems = check(&value);
    if problems.is_empty() {
        return Ok(value);
    }
    Err(locate(text, problems))
}

/// These problems with their places in `text` (TOML), in the order of the text. What cannot be found
/// has no place.
#[must_use]
pub fn locate(text: &str, problems: Vec<Problem>) -> Vec<Located> {
    let document = Document::parse(text).ok();
    let mut located: Vec<Located> = problems
        .into_iter()
        .map(|Problem { path, message }| {
            let at = document.as_ref().and_then(|document| start_of(document.as_item(), &path));
            let (line, column) = at.map_or((None, None), |at| position(text, at));
            Located { line, column, path: path.join("."), message }
        })
        .collect();
    located.sort_by_key(|mistake| (mistake.line, mistake.column));
    located
}

/// The offset of the deepest item on the path that exists.
fn start_of(root: &Item, path: &[String]) -> Option<usize> {
    let mut item = root;
    let mut start = None;
    let mut rest = path.iter();
    while let Some(key) = rest.next() {
        // An item of a list is found by its number; of a list of tables, the table's own keys follow.
        if let Some(tables) = item.as_array_of_tables() {
            let Some(table) = key.parse().ok().and_then(|place| tables.get(place)) else { break };
            start = table.span().map(|span| span.start).or(start);
            let Some(key) = rest.next() else { break };
            let Some((key, next)) = table.get_key_value(key) else { break };
            start = key.span().map(|span| span.start).or(start);
            item = next;
            continue;
        }
        if let Some(items) = item.as_array() {
            let value = key.parse().ok().and_then(|place: usize| items.get(place));
            return value.and_then(|value| value.span()).map(|span| span.start).or(start);
        }
        let Some(next) = item.get(key.as_str()) else { break };
        let key_span = item
            .as_table_like()
            .and_then(|table| table.get_key_value(key))
            .and_then(|(key, _)| key.span());
        start = key_span.or_else(|| next.span()).map(|span| span.start).or(start);
        item = next;
    }
    start
}

fn position(text: &str, offset: usize) -> (Option<usize>, Option<usize>) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |tail| tail.chars().count()) + 1;
    (Some(line), Some(column))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = include_str!("../../../../events/plan/queue.toml");

    fn mistakes(from: &str, to: &str) -> Vec<String> {
        assert!(GOOD.contains(from), "the example no longer contains {from:?}");
        let text = GOOD.replace(from, to);
        read(&text).expect_err(to).iter().map(ToString::to_string).collect()
    }

    fn only(from: &str, to: &str, place: &str, says: &str) {
        let found = mistakes(from, to);
        assert!(
            found.iter().any(|m| m.contains(place) && m.contains(says)),
            "{to:?} gave {found:#?}"
        );
    }

    #[test]
    fn the_example_is_a_good_plan() {
        let plan = read(GOOD).unwrap_or_else(|mistakes| panic!("{mistakes:?}"));
        let json = serde_json::to_string(&plan).unwrap();
        assert_eq!(serde_json::from_str::<AppPlan>(&json).unwrap(), plan);
        // A standard parameter of Parameter Store holds 4 KB.
        assert!(json.len() < 4096, "{} bytes", json.len());
    }

    #[test]
    fn every_mistake_is_located_and_says_what_to_do() {
        only("app = \"queue\"", "app = \"queue\"\ncolour = 1", ":", "unknown key `colour`");
        only("region = \"us-west-2\"", "region = \"us-east-1\"", "sites.b.region", "own");
        only("ttl_seconds = 5", "ttl_seconds = 500", "dns.ttl_seconds", "lower the TTL");
        only("rpo_seconds = 30", "rpo_seconds = 0", "scenarios.region-outage.rpo_seconds", "raise");
        only("deadline_ms = 1800", "deadline_ms = 2000", "detection.deadline_ms", "1999");
        only("quorum = 2", "quorum = 4", "sites.a.health", "quorum");
        only("rounds_to_alarm = 3", "rounds_to_alarm = 6", "detection.rounds_to_alarm", "1 to 5");
        only("initially_active = \"a\"", "initially_active = \"c\"", "1", "no site `c`");
        only("switch = \"health-check\"", "switch = \"record\"", "dns.switch", "hosted_zone_id");
        only("engine = \"rds\"", "engine = \"oracle\"", ":", "unknown value");
        let base = "[backup.base]\ndata_directory = \"/data/../etc\"\n\n[backup.schedule]";
        let place = "backup.base.data_directory";
        only("[backup.schedule]", base, place, "RDS keeps its files");
        only("[backup.schedule]", base, place, "absolute path");
        only("address = \"127.0.2.10\"", "address = \"127.0.1.10\"", "sites.b.target", "site `a`");
        only("host = \"127.0.2.20\"", "host = \"127.0.1.20\"", "sites.b.database.host", "two");
        only("tag = \"lifeboat-site\"", "tag = \"role\"", "sites.a.hosts.tag", "lifeboat-site");
        only("seen_from.us-east-1", "seen_from.us-east-9", "seen_from.us-east-9", "no site");
    }

    #[test]
    fn a_site_without_a_database_is_found_where_it_stands() {
        let start = GOOD.find("[sites.b.database]").unwrap();
        let end = start + GOOD[start..].find("\n[").unwrap();
        let text = format!("{}{}", &GOOD[..start], &GOOD[end + 1..]);
        let found = read(&text).unwrap_err();
        assert!(found[0].message.contains("`database` is missing"), "{found:?}");
        assert!(found[0].line.is_some());
    }

    #[test]
    fn a_synchronous_rds_replica_does_not_exist() {
        only(
            "replication = \"asynchronous\"",
            "replication = \"synchronous\"",
            "database.replication",
            "always asynchronous",
        );
    }

    #[test]
    fn a_cache_in_elasticache_is_checked_with_its_schedule_and_its_hosts() {
        let hosts = "[sites.a.hosts]\ntag = \"lifeboat-site\"\nvalue = \"queue-a\"\n";
        let cache = |engine: &str, group: &str| {
            let words = format!("engine = \"{engine}\"\nreplication_group = \"{group}\"\n");
            format!("[sites.a.cache]\n{words}\n{hosts}")
        };
        let good = GOOD.replace(hosts, &cache("elasticache", "queue-a"));
        let plan = read(&good).unwrap_or_else(|mistakes| panic!("{mistakes:?}"));
        let group =
            plan.sites.values().find_map(|site| Some(&site.cache.as_ref()?.replication_group));
        assert_eq!(group.map(String::as_str), Some("queue-a"));
        for group in ["Queue", "1queue", "queue-", "queue--a", "", &"q".repeat(41)] {
            let place = "sites.a.cache.replication_group";
            only(hosts, &cache("elasticache", group), place, "small letter");
        }
        only(hosts, &cache("memcached", "queue-a"), ":", "unknown value `memcached`");
        let without = cache("elasticache", "queue-a").replace(hosts, "");
        only(hosts, &without, "sites.a.cache", "[sites.a.hosts]");
        // RDS and ElastiCache take no two - in a row in the names that are made of it.
        let named = read(&good.replace("app = \"queue\"", "app = \"queue--b\"")).unwrap_err();
        let told = |m: &Located| m.line.is_some() && m.message.contains("single -");
        assert!(named.iter().any(told), "{named:?}");
        let found =
            read(&good.replace("cache = { every = \"4h\" }", "cache = { every = \"30m\" }"));
        let found: Vec<_> = found.unwrap_err().iter().map(ToString::to_string).collect();
        let [one] = found.as_slice() else { panic!("{found:?}") };
        assert!(
            one.contains("backup.schedule.cache.every: ElastiCache") && one.contains("1h"),
            "{one}"
        );
    }

    #[test]
    fn hooks_get_as_long_as_a_recovery_waits_for_them() {
        let value = "value = \"queue-a\"\n";
        let with =
            |seconds: u32| GOOD.replacen(value, &format!("{value}hook_seconds = {seconds}\n"), 1);
        for seconds in [10, 180] {
            let plan = read(&with(seconds)).unwrap_or_else(|mistakes| panic!("{mistakes:?}"));
            let given = plan.sites.values().find_map(|site| site.hosts.as_ref()?.hook_seconds);
            assert_eq!(given, Some(seconds));
        }
        for seconds in [0, 9, 181] {
            let found = read(&with(seconds)).unwrap_err();
            assert_eq!(found.len(), 1, "{found:?}");
            assert_eq!(found[0].path, "sites.a.hosts.hook_seconds");
            assert!(found[0].line.is_some() && found[0].message.contains("use 10 to 180 s"));
        }
    }

    #[test]
    fn a_secret_in_place_of_its_name_is_refused_without_showing_it() {
        let found = mistakes("password_secret = \"database\"", "password_secret = \"p@ss w0rd!\"");
        assert!(found.iter().any(|m| m.contains("name")));
        assert!(found.iter().all(|m| !m.contains("p@ss")), "{found:?}");
    }
}
