//! Every command that is shown to be typed can be typed: in what the command prints, in the messages and
//! alarms of the stack, in the faults of the functions.

use std::{collections::BTreeSet, fs, path::Path};

use clap::{CommandFactory, Parser};

use crate::args::Args;

/// Where commands are shown, below the root of the checkout.
const PLACES: [&str; 5] = ["cli/src", "functions", "infra", "shared", "events"];
const ENDS: [char; 8] = ['.', ',', ';', ':', '`', '"', ')', '\''];

fn texts(folder: &Path, found: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let kind = path.extension().and_then(|kind| kind.to_str()).unwrap_or_default();
        // What tests hold against each other is not shown to anybody.
        let is_test =
            path.ends_with("tests") || path.ends_with("tests.rs") || path.ends_with("printed.rs");
        if is_test || path.ends_with("target") || path.ends_with("fuzz") {
            continue;
        }
        if path.is_dir() {
            texts(&path, found);
        } else if ["rs", "json", "yaml", "toml"].contains(&kind) {
            found.push((path.display().to_string(), joined(&fs::read_to_string(&path).unwrap())));
        }
    }
}

/// A text as its reader has it: continued lines and comments are one line, values are in their place.
fn joined(text: &str) -> String {
    let mut joined = String::new();
    for line in text.lines() {
        let line = line.trim();
        let comment = line.strip_prefix("/// ").or_else(|| line.strip_prefix("//! "));
        match comment {
            // An example that goes on in the next line.
            Some(more)
                if more.starts_with("--")
                    || more.trim().starts_with("s3://")
                    || ends_in_option(&joined) =>
            {
                joined.push(' ')
            }
            _ if joined.ends_with('\\') => drop(joined.pop()),
            _ => joined.push('\n'),
        }
        joined.push_str(comment.unwrap_or(line).trim_start());
    }
    // JSONata's concatenation: 'lifeboat backups --app ' & $app & ' --region ...'.
    let parts: Vec<&str> = joined.split("' & ").collect();
    let parts = parts.iter().map(|part| match part.split_once(" & '") {
        Some((value, rest)) if value.starts_with('$') => format!("{value}{rest}"),
        _ => (*part).to_owned(),
    });
    parts.collect::<Vec<_>>().join("").replace("{}{}", "{}")
}

fn ends_in_option(text: &str) -> bool {
    text.rsplit(' ').next().is_some_and(|word| word.starts_with("--") && word.len() > 2)
}

/// The words of each command of this program in a text. A word that is neither an option nor its value nor
/// the name of a part ends it.
fn commands(text: &str, program: &str) -> Vec<Vec<String>> {
    text.match_indices(&format!("{program} "))
        .filter(|(at, _)| {
            // Not a part of another word: target/debug/lifeboat, lifeboat-lab.
            !text[..*at].ends_with(|c: char| c.is_alphanumeric() || "-_/".contains(c))
        })
        .map(|(at, found)| words(&text[at + found.len()..]))
        .collect()
}

fn words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for raw in text.lines().next().unwrap_or_default().split(' ') {
        let word = raw.trim_end_matches(ENDS).trim_start_matches(['\'', '"']);
        let after_option = words.last().is_some_and(|last| last.starts_with("--"));
        let names = word.starts_with(|c: char| c.is_ascii_lowercase())
            && words.iter().all(|w| !w.starts_with('-'));
        let stands_for = word.len() > 1
            && (word.starts_with('%')
                || word.starts_with("s3://")
                || word.chars().all(|c| c.is_ascii_uppercase()));
        if !(after_option || names || stands_for || word.starts_with("--")) || word.is_empty() {
            break;
        }
        words.push(word.to_owned());
        if raw.len() != word.len() && !raw.starts_with(['\'', '"']) {
            break;
        }
    }
    words
}

/// The same with values in the places of those that stand for one.
fn filled(words: &[String]) -> Vec<String> {
    let mut option = "";
    let mut filled = vec!["lifeboat".to_owned()];
    for word in words {
        let value = match option {
            "--region" | "--peer" => "us-west-2",
            "--kind" => "database-dump",
            "--app" => "queue",
            "--to" | "--now" => "2026-11-24T12:00:00Z",
            "--incident" => "i-1",
            "--point" => "20261124T120000Z-full",
            _ => word,
        };
        filled.push(if option.is_empty() { word.clone() } else { value.to_owned() });
        option = if word.starts_with("--") { word } else { "" };
    }
    filled
}

#[test]
fn what_is_shown_to_be_typed_is_understood() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut found = Vec::new();
    PLACES.iter().for_each(|place| texts(&root.join(place), &mut found));
    let parts: BTreeSet<String> =
        Args::command().get_subcommands().map(|part| part.get_name().to_owned()).collect();
    let (mut whole, mut named) = (0, 0);
    let mut wrong = Vec::new();
    for (file, text) in &found {
        for words in commands(text, "lifeboat") {
            if !words.first().is_some_and(|part| parts.contains(part)) {
                continue;
            }
            // `lifeboat verify --record`: the name of a part and of what it does.
            let has_options = words.iter().any(|word| word.starts_with("--")) && words.len() > 2;
            let line = filled(&words);
            match Args::try_parse_from(&line) {
                Ok(_) => whole += 1,
                // Named in a sentence, not shown to be typed as it stands.
                Err(_) if !has_options => named += 1,
                Err(error) => wrong.push(format!("{file}: {}: {error}", line.join(" "))),
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(whole > 20 && named > 5, "{whole} and {named} were found");
}

#[test]
fn aws_commands_name_their_region() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut found = Vec::new();
    PLACES.iter().for_each(|place| texts(&root.join(place), &mut found));
    let mut seen = 0;
    for (file, text) in &found {
        for words in commands(text, "aws") {
            let is_api = ["stepfunctions", "rds", "s3", "s3api", "ssm"]
                .contains(&words.first().map_or("", String::as_str));
            // With an option it is shown to be typed; whoever types it may have no region of their own.
            if is_api && words.len() > 2 && words[2].starts_with("--") {
                assert!(
                    words.iter().any(|word| word == "--region"),
                    "{file}: aws {}",
                    words.join(" ")
                );
                seen += 1;
            }
        }
    }
    assert!(seen > 4, "{seen} were found");
}
