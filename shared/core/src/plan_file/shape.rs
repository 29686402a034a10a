//! From a table to a value, with everything in it that does not fit: all at once, in words for people.
//!
//! A deserializer stops at the first thing that does not fit. So what did not fit is noted, taken out or
//! replaced by something that does, and the rest is read again, until nothing is left to note. What was
//! put in serves to read on and is never used: a document with a problem gives no value.

use serde::de::DeserializeOwned;
use serde_path_to_error::Segment;
use toml::{Table, Value};

use super::check::Problem;
use crate::alike::instead;

/// The most that is noted; a document with more has another problem.
const MOST: usize = 100;

/// Reads a value. `check` knows what numbers may stand where.
///
/// # Errors
/// Everything that does not fit, with the keys that lead to it.
pub(super) fn read<T: DeserializeOwned>(
    table: Table,
    check: impl Fn(&T) -> Vec<Problem>,
) -> Result<T, Vec<Problem>> {
    let mut reading = Reading {
        value: Value::Table(table),
        mended: Vec::new(),
        problems: Vec::new(),
        numbers: Vec::new(),
    };
    // Each round mends one thing, and what was put in may need a few more.
    for _ in 0..MOST * 4 {
        match serde_path_to_error::deserialize::<_, T>(reading.value.clone()) {
            Ok(value) if reading.problems.is_empty() => return Ok(value),
            Ok(_) => break,
            Err(error) => {
                let message = error.inner().message().to_owned();
                let path = resolve::<T>(&reading.value, error.path(), &message);
                if !reading.note(path, &message) || reading.problems.len() >= MOST {
                    break;
                }
            }
        }
    }
    reading.bound(check);
    Err(reading.problems)
}

/// A number that its type cannot hold.
struct Number {
    /// Its problem's place among the problems.
    problem: usize,
    /// The largest one of its type; the smallest is 0.
    largest: u64,
}

struct Reading {
    value: Value,
    /// The places that hold something else by now than the document has.
    mended: Vec<Vec<String>>,
    problems: Vec<Problem>,
    numbers: Vec<Number>,
}

impl Reading {
    /// Notes what the deserializer says, and mends it. Whether there is more to find out.
    fn note(&mut self, mut path: Vec<String>, message: &str) -> bool {
        let mut names = message.split('`').skip(1).step_by(2).map(str::to_owned);
        if message.starts_with("unknown field") {
            let Some(name) = names.next() else { return false };
            if path.last() != Some(&name) {
                path.push(name.clone());
            }
            let known: Vec<String> = names.collect();
            self.add(&path, unknown("key", &name, &known));
            self.remove(&path)
        } else if message.starts_with("missing field") {
            let Some(name) = names.next() else { return false };
            path.push(name.clone());
            self.add(&path, format!("`{name}` is missing; add it"));
            let Some(value) = placeholder(&name) else { return false };
            self.insert(&path, value)
        } else if message.starts_with("unknown variant") {
            let Some(name) = names.next() else { return false };
            let known: Vec<String> = names.collect();
            self.add(&path, unknown("value", &name, &known));
            match (self.at(&path), known.first()) {
                (Some(Value::String(_)), Some(known)) => {
                    let known = Value::String(known.clone());
                    self.insert(&path, known)
                }
                _ => self.remove(&path),
            }
        } else if let Some((wrong, largest)) = number(message) {
            let problem = self.problems.len();
            self.add(&path, wrong.to_owned());
            if self.problems.len() > problem {
                self.numbers.push(Number { problem, largest });
            }
            self.insert(&path, Value::Integer(0)) || self.remove(&path)
        } else {
            self.add(&path, words(message));
            self.remove(&path)
        }
    }

    /// Says of each number that does not fit what would: what the checks say of the least and of the most
    /// that can stand in its place.
    fn bound<T: DeserializeOwned>(&mut self, check: impl Fn(&T) -> Vec<Problem>) {
        for Number { problem, largest } in std::mem::take(&mut self.numbers) {
            let Some(Problem { path, .. }) = self.problems.get(problem).cloned() else { continue };
            let largest = i64::try_from(largest).unwrap_or(i64::MAX);
            let found = [0, largest].into_iter().find_map(|edge| {
                let mut value = self.value.clone();
                *at(&mut value, &path)? = Value::Integer(edge);
                let problems = check(&T::deserialize(value).ok()?);
                problems
                    .into_iter()
                    .find(|found| found.path == path && found.message.starts_with("use "))
            });
            let wanted = found.map_or_else(
                || format!("use a whole number from 0 to {largest}"),
                |found| found.message,
            );
            if let Some(problem) = self.problems.get_mut(problem) {
                problem.message = format!("{}; {wanted}", problem.message);
            }
        }
    }

    /// Notes a problem, unless it is one with what was put in here.
    fn add(&mut self, path: &[String], message: String) {
        if !self.mended.iter().any(|mended| path.starts_with(mended)) {
            self.problems.push(Problem { path: path.to_vec(), message });
        }
    }

    fn at(&mut self, path: &[String]) -> Option<&mut Value> {
        at(&mut self.value, path)
    }

    /// Takes out what is at this place; whether there was something.
    fn remove(&mut self, path: &[String]) -> bool {
        let Some((last, parent)) = path.split_last() else { return false };
        match self.at(parent) {
            Some(Value::Table(table)) => {
                let removed = table.remove(last).is_some();
                self.mended.push(path.to_vec());
                removed
            }
            Some(Value::Array(items)) => {
                let place = last.parse().ok().filter(|place| *place < items.len());
                if let Some(place) = place {
                    items.remove(place);
                }
                // Those behind it have other places now.
                self.mended.push(parent.to_vec());
                place.is_some()
            }
            _ => false,
        }
    }

    fn insert(&mut self, path: &[String], value: Value) -> bool {
        let Some((last, parent)) = path.split_last() else { return false };
        let Some(Value::Table(table)) = self.at(parent) else { return false };
        table.insert(last.clone(), value);
        self.mended.push(path.to_vec());
        true
    }
}

/// Something to read on with where a key is missing: an empty table, whose own keys are missing then, or
/// a value that fits most keys of the name.
fn placeholder(name: &str) -> Option<Value> {
    let text = |text: &str| Some(Value::String(text.to_owned()));
    match name {
        "sites" | "witness" | "database" | "dns" | "scenarios" | "health" => {
            Some(Value::Table(Table::new()))
        }
        "paths" | "names" => Some(Value::Array(Vec::new())),
        "ttl_seconds" | "rto_seconds" | "rpo_seconds" => Some(Value::Integer(60)),
        "region" => text("us-east-1"),
        "address" => text("192.0.2.1"),
        "every" => text("24h"),
        "app" | "initially_active" | "identifier" | "host" | "engine" | "user" | "name" | "tag"
        | "value" | "replication_group" | "password_secret" | "data_directory" | "query" => {
            text("placeholder")
        }
        _ => None,
    }
}

fn at<'a>(value: &'a mut Value, path: &[String]) -> Option<&'a mut Value> {
    path.iter().try_fold(value, |value, key| match value {
        Value::Table(table) => table.get_mut(key),
        Value::Array(items) => items.get_mut(key.parse::<usize>().ok()?),
        Value::String(_)
        | Value::Integer(_)
        | Value::Float(_)
        | Value::Boolean(_)
        | Value::Datetime(_) => None,
    })
}

/// The keys that lead to what was read last. Those of a table by kinds or scenarios are not told: each is
/// tried alone, and the one that gives the same error is the one.
fn resolve<T: DeserializeOwned>(
    value: &Value,
    path: &serde_path_to_error::Path,
    message: &str,
) -> Vec<String> {
    let mut keys: Vec<String> = Vec::new();
    for segment in path.iter() {
        match segment {
            Segment::Map { key } => keys.push(key.clone()),
            Segment::Seq { index } => keys.push(index.to_string()),
            Segment::Enum { .. } => {}
            Segment::Unknown => {
                let mut probe = value.clone();
                let Some(Value::Table(table)) = at(&mut probe, &keys) else { continue };
                let candidates: Vec<String> = table.keys().cloned().collect();
                let guilty = candidates.into_iter().find(|candidate| {
                    let mut alone = value.clone();
                    if let Some(Value::Table(table)) = at(&mut alone, &keys) {
                        table.retain(|key, _| key == candidate);
                    }
                    serde_path_to_error::deserialize::<_, T>(alone).err().is_some_and(|error| {
                        error.path().to_string() == path.to_string()
                            && error.inner().message() == message
                    })
                });
                keys.extend(guilty);
            }
        }
    }
    keys
}

/// That a name is none of these, and which one may be meant.
fn unknown(what: &str, name: &str, known: &[String]) -> String {
    if known.is_empty() {
        return format!("unknown {what} `{name}`; take it out");
    }
    format!("unknown {what} `{name}`; {}", instead(name, known.iter().map(String::as_str)))
}

/// What the deserializer says of types, in the words of the file. A value is not repeated: it may be a
/// secret in the wrong place.
fn words(message: &str) -> String {
    let message = message.split_whitespace().collect::<Vec<_>>().join(" ");
    if message == "invalid IPv4 address syntax" {
        return "no IPv4 address, such as 192.0.2.1, stands here; of a load balancer, write target = \
                { alias = { dns_name = \"...\", zone_id = \"...\" } }"
            .to_owned();
    }
    if message == "invalid IPv6 address syntax" {
        return "no IPv6 address, such as 2001:db8::1, stands here".to_owned();
    }
    let told = message
        .strip_prefix("invalid type: ")
        .or_else(|| message.strip_prefix("invalid value: "))
        .and_then(|rest| rest.rsplit_once(", expected "));
    let Some((found, expected)) = told else { return message };
    format!("{} stands here; use {}", thing(found), wanted(expected))
}

/// What is wrong with a whole number that its type cannot hold, and the largest one that it can; none of
/// anything else. Those of the largest type are as large as TOML has them.
fn number(message: &str) -> Option<(&'static str, u64)> {
    let (found, expected) =
        message.strip_prefix("invalid value: integer `")?.rsplit_once(", expected ")?;
    let largest = match expected.trim() {
        "u8" => u8::MAX.into(),
        "u16" => u16::MAX.into(),
        "u32" => u32::MAX.into(),
        "u64" | "usize" => i64::MAX.unsigned_abs(),
        _ => return None,
    };
    let wrong =
        if found.starts_with('-') { "the number is negative" } else { "the number is too large" };
    Some((wrong, largest))
}

fn thing(found: &str) -> &'static str {
    let kinds = [
        ("string", "a text"),
        ("integer", "a whole number"),
        ("floating point", "a number with a fraction"),
        ("boolean", "true or false"),
        ("map", "a table"),
        ("sequence", "a list"),
    ];
    let known = kinds.iter().find(|(word, _)| found.starts_with(word));
    known.map_or("something else", |(_, words)| words)
}

fn wanted(expected: &str) -> String {
    let known = match expected {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number, 0 or more",
        "i8" | "i16" | "i32" | "i64" => "a whole number",
        "f32" | "f64" => "a number",
        "a string" | "string" => "a text in quotes",
        "a boolean" => "true or false",
        "a map" => "a table",
        "a sequence" => "a list in [ ]",
        "struct Slots" => "a table such as { every = \"24h\", at = \"02:00\" }",
        "struct HostTag" => "a table such as { tag = \"lifeboat-site\", value = \"queue-a\" }",
        other if other.starts_with("struct ") => "a table with keys of its own",
        other => other,
    };
    known.to_owned()
}

#[cfg(test)]
mod tests {
    use crate::plan_file::read;

    const GOOD: &str = include_str!("../../../../events/plan/queue.toml");

    fn found(changes: &[(&str, &str)]) -> Vec<String> {
        let text = changes.iter().fold(GOOD.to_owned(), |text, (from, to)| {
            assert!(text.contains(from), "the example no longer contains {from:?}");
            text.replace(from, to)
        });
        read(&text).expect_err("a mistake").iter().map(ToString::to_string).collect()
    }

    #[test]
    fn all_that_does_not_fit_is_told_at_once_each_in_its_place() {
        let found = found(&[
            ("ttl_seconds = 5", "ttl_second = 5"),
            ("rto_seconds = 60", "rto_seconds = \"60\""),
            ("quorum = 2", "quorum = -2"),
            ("engine = \"rds\"", "engine = \"rsd\""),
            ("logs = { every = \"4h\" }", "logs = \"4h\""),
            ("cache = { every = \"4h\" }", "cache = { every = \"4 hours\" }"),
            ("[sites.b]\nregion = \"us-west-2\"\n", "[sites.b]\n"),
            ("[sites.b.database]\nidentifier = \"queue-b\"\n", "[sites.b.database]\n"),
            ("paths = [\"/opt/queue/logs\"]", "paths = \"/opt/queue/logs\""),
            ("[[backup.checks]]\nname = ", "[[backup.checks]]\nnam = "),
        ]);
        let says = [
            "sites.b.region: `region` is missing; add it",
            "sites.b.database.identifier: `identifier` is missing; add it",
            "database.engine: unknown value `rsd`; did you mean `rds`?",
            "dns.ttl_second: unknown key `ttl_second`; did you mean `ttl_seconds`?",
            "dns.ttl_seconds: `ttl_seconds` is missing; add it",
            "detection.quorum: the number is negative; use at least 1 vote",
            "rto_seconds: a text stands here; use a whole number",
            "logs: a text stands here; use a table such as { every = \"24h\", at = \"02:00\" }",
            "cache.every: `4 hours` is not a length of time",
            "backup.files.logs.paths: a text stands here; use a list in [ ]",
            "backup.checks.0.nam: unknown key `nam`; did you mean `name`?",
            "backup.checks.0.name: `name` is missing; add it",
        ];
        for says in says {
            let times = found.iter().filter(|line| line.contains(says)).count();
            assert_eq!(times, 1, "{says} in {found:#?}");
        }
        assert_eq!(found.len(), says.len(), "{found:#?}");
        for line in &found {
            assert!(line.starts_with(|c: char| c.is_ascii_digit()), "{line} has no place");
            assert!(!line.contains("struct") && !line.contains("u32"), "{line}");
        }
    }

    #[test]
    fn a_number_that_does_not_fit_is_told_with_the_range_that_does() {
        for (from, to, says) in [
            (
                "ttl_seconds = 5",
                "ttl_seconds = -5",
                "negative; use a whole number from 0 to 4294967295",
            ),
            (
                "ttl_seconds = 5",
                "ttl_seconds = 5000000000",
                "too large; use a whole number from 0 to",
            ),
            ("quorum = 2", "quorum = -2", "negative; use at least 1 vote"),
            ("interval_seconds = 2", "interval_seconds = -2", "negative; use 1 to 10 seconds"),
            ("hold_seconds = 4", "hold_seconds = -1", "negative; use 0 to "),
            ("deadline_ms = 1800", "deadline_ms = 99999999999", "too large; use 1 to 1999 ms"),
            (
                "identifier = \"queue-a\"",
                "identifier = \"queue-a\"\nport = 70000",
                "too large; use 1 to 65535",
            ),
            (
                "identifier = \"queue-a\"",
                "identifier = \"queue-a\"\nport = -1",
                "negative; use 1 to 65535",
            ),
            (
                "value = \"queue-a\"",
                "value = \"queue-a\"\nhook_seconds = -1",
                "negative; use 10 to 180 s",
            ),
        ] {
            let found = found(&[(from, to)]);
            assert!(
                !found.is_empty() && found.iter().all(|line| line.contains(says)),
                "{to}: {found:?}"
            );
        }
    }

    #[test]
    fn a_name_where_an_address_belongs_is_told_of_alias_records() {
        let found = found(&[("address = \"127.0.2.10\"", "address = \"b.elb.amazonaws.com\"")]);
        assert!(found.len() == 1 && found[0].contains("target = { alias = {"), "{found:?}");
    }

    #[test]
    fn a_value_that_does_not_fit_is_not_repeated() {
        let found = found(&[("ttl_seconds = 5", "ttl_seconds = \"hunter2\"")]);
        assert!(found.len() == 1 && !found[0].contains("hunter2"), "{found:?}");
    }

    #[test]
    fn an_empty_document_lacks_everything_and_a_table_of_another_kind_is_told_as_such() {
        let lacks: Vec<_> = read("").unwrap_err().into_iter().map(|m| m.path).collect();
        assert_eq!(
            lacks,
            ["app", "initially_active", "sites", "witness", "database", "dns", "scenarios"]
        );
        let text = GOOD.replace("[scenarios.region-outage]", "[scenarios.region-outrage]");
        let found = read(&text).unwrap_err();
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].message.contains("did you mean `region-outage`?"), "{found:?}");
    }
}
