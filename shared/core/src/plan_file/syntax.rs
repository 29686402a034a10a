//! What is wrong with a text that is no TOML, in words for people, with what to do. A value is not
//! repeated: it may be a secret in the wrong place.

use std::ops::Range;

/// What the parser says, as a phrase of it, and what that is for people. The first that is met counts.
const SAYINGS: [(&str, &str); 31] = [
    (
        "invalid multi-line basic string",
        "a text that begins with \"\"\" does not end: close it with \"\"\"",
    ),
    (
        "invalid multi-line literal string",
        "a text that begins with ''' does not end: close it with '''",
    ),
    (
        "invalid basic string",
        "a text in this line does not end, or has a control character in it: close it with \"",
    ),
    (
        "invalid literal string",
        "a text in this line does not end, or has a control character in it: close it with '",
    ),
    (
        "missing escaped value",
        "\\ is followed by no letter that it goes with: write \\\\ for a \\ itself, or put the text in ' '",
    ),
    ("too few unicode value digits", "\\u takes 4 hexadecimal digits, \\U 8 and \\x 2"),
    ("invalid escape", "\\ and its digits stand for no character"),
    (
        "key with no value",
        "a key has no value: write key = value; a key of several words goes in quotes",
    ),
    (
        "unquoted keys cannot be empty",
        "a key is missing: of letters, digits, - and _, or in quotes",
    ),
    ("invalid unquoted key", "a key takes letters, digits, - and _ alone, unless it is in quotes"),
    ("keys cannot be multi-line", "a key is in one line: take single quotes or double ones"),
    ("extra `=`", "there is an = too many: write key = value"),
    ("extra assignment", "there is an = too many: write key = value"),
    (
        "missing comma between array elements",
        "a list goes on without a comma, or does not end: put , between its values and ] behind them",
    ),
    (
        "missing comma",
        "two keys stand without a comma between them: put one, or give each its own line",
    ),
    ("extra comma", "there is a comma too many: take it out"),
    ("unclosed inline table", "a table that begins with { does not end: close it with }"),
    ("unclosed array table", "the name of a table of a list is [[name]]: close it with ]]"),
    ("unclosed table", "the name of a table is [name]: close it with ]"),
    ("unclosed array", "a list that begins with [ does not end: close it with ]"),
    (
        "unexpected key or value",
        "something follows that belongs to no key: give each key its own line, and text its quotes",
    ),
    ("unexpected leading zero", "a number begins with no 0: take it out, or put a text in quotes"),
    ("`_` may only go between digits", "_ stands between two digits of a number alone"),
    ("invalid boolean", "write true or false, in small letters"),
    ("invalid date", "this is no date: write it as 2026-11-24, or put a text in quotes"),
    ("invalid time", "this is no time: write it as 12:00:00, or put a text in quotes"),
    ("invalid comment character", "a comment has a control character in it: take it out"),
    ("max recursion depth", "tables and lists are nested too deep"),
    ("carriage return", "a carriage return stands alone: end lines with a newline"),
    // Of integers alone: a whole document has no types yet.
    ("as i128", "a number is too large"),
    ("integer number overflowed", "a number is too large"),
];

/// The phrase for a text, found at this place.
pub(super) fn words(said: &str, text: &str, place: Option<Range<usize>>) -> String {
    let place = place.unwrap_or_default();
    let (before, rest) = text.split_at_checked(place.start).unwrap_or((text, ""));
    if said.starts_with("duplicate key") {
        let key = text.get(place).unwrap_or_default();
        let first = first_line(before, rest, key);
        let first = first.map(|line| format!(" (first in line {line})")).unwrap_or_default();
        return format!("`{key}` is there already{first}: keep one of the two");
    }
    if said.starts_with("string values must be quoted") {
        return match rest.chars().next() {
            Some('\u{201c}' | '\u{201d}' | '\u{201e}' | '\u{2018}' | '\u{2019}') => {
                "a text stands in typographic quotes: use straight ones, \" or '"
            }
            None | Some('\n' | '\r' | '#') => "a key has no value: write key = value",
            Some(_) => "a text needs quotes; a number, true and false have none; a list has commas between its values",
        }
        .to_owned();
    }
    if [
        "invalid hexadecimal",
        "invalid octal",
        "invalid binary",
        "invalid float",
        "invalid fraction",
        "invalid exponent",
        "invalid integer",
        "floating-point",
        "integers with a radix",
        "radix must",
        "redundant",
        "unexpected sign",
    ]
    .iter()
    .any(|phrase| said.starts_with(phrase))
    {
        return "this is no number: write digits alone, or put a text in quotes".to_owned();
    }
    let known = SAYINGS.iter().find(|(phrase, _)| said.contains(phrase));
    known
        .map_or(
            "this is no TOML: look at the quotes, the brackets and the = of this line",
            |(_, words)| words,
        )
        .to_owned()
}

/// The line of the key or table that a second one repeats, where it is written in the same way.
fn first_line(before: &str, rest: &str, key: &str) -> Option<usize> {
    let start = before.rfind('\n').map_or(0, |at| at + 1);
    let (above, head) = before.split_at(start);
    let is_table = head.trim_start().starts_with('[');
    let line = format!("{head}{}", rest.lines().next().unwrap_or_default());
    let mut found = None;
    for (number, other) in (1..).zip(above.lines()) {
        let other = other.trim();
        if is_table {
            let name = |line: &str| line.split(']').next().map(str::trim).map(str::to_owned);
            if name(other) == name(&line) {
                found = found.or(Some(number));
            }
        } else if other.starts_with('[') {
            // Another table begins, whose keys are others.
            found = None;
        } else if other
            .strip_prefix(key)
            .is_some_and(|rest| rest.trim_start().starts_with(['=', '.']))
        {
            found = found.or(Some(number));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use crate::plan_file::{Located, read};

    const GOOD: &str = include_str!("../../../../events/plan/queue.toml");

    fn mistake(text: &str) -> Located {
        let mut found = read(text).unwrap_err();
        assert_eq!(found.len(), 1, "{text:?}: {found:?}");
        found.remove(0)
    }

    #[test]
    fn a_key_or_a_table_that_is_repeated_is_found_with_the_first_one() {
        let line =
            |text: &str, of: &str| text.lines().position(|line| line.starts_with(of)).unwrap() + 1;
        let text = GOOD.replace("ttl_seconds = 5", "ttl_seconds = 5\nttl_seconds = 6");
        let found = mistake(&text);
        let first = line(&text, "ttl_seconds = 5");
        assert_eq!((found.line, found.column), (Some(first + 1), Some(1)));
        assert_eq!(
            found.message,
            format!("`ttl_seconds` is there already (first in line {first}): keep one of the two")
        );
        let text = format!("{GOOD}\n[sites.b]\nregion = \"us-west-2\"\n");
        let found = mistake(&text);
        let first = line(&text, "[sites.b]");
        assert_eq!(found.line, Some(GOOD.lines().count() + 2));
        assert_eq!(
            found.message,
            format!("`b` is there already (first in line {first}): keep one of the two")
        );
        // The first one is written in another way.
        let found = mistake("[sites.a]\nx = 1\n[sites]\na = 2\n");
        assert_eq!(found.message, "`a` is there already: keep one of the two");
        // Of another table.
        let found = mistake("[s]\nx = 1\n[t]\nx = 1\nx = 2\n");
        assert!(found.message.contains("first in line 4"), "{found:?}");
    }

    #[test]
    fn what_is_no_toml_is_told_in_its_place_with_what_to_do() {
        for (text, line, says) in [
            ("a = \"x\nb = 1\n", 1, "close it with \""),
            ("a = 'x\n", 1, "close it with '"),
            ("a = \"\"\"x\n", 2, "close it with \"\"\""),
            ("\na = x\n", 2, "needs quotes"),
            ("a = \u{201c}x\u{201d}", 1, "straight ones"),
            ("a =\nb = 1", 1, "a key has no value"),
            ("a\n", 1, "a key has no value"),
            ("a b = 1", 1, "a key has no value"),
            ("= 1", 1, "a key is missing"),
            ("a..b = 1", 1, "a key is missing"),
            ("a = [1, 2\nb = 1", 2, "] behind them"),
            ("a = { x = 1\n", 1, "close it with }"),
            ("[t\n", 1, "close it with ]"),
            ("[[t]\n", 1, "close it with ]]"),
            ("a = \"\\q\"", 1, "write \\\\"),
            ("a = \"\\u12\"", 1, "4 hexadecimal digits"),
            ("a = 01", 1, "begins with no 0"),
            ("a = 1__2", 1, "between two digits"),
            ("a = 0xZZ", 1, "no number"),
            ("a = 1.e5", 1, "no number"),
            ("a = +0x1", 1, "no number"),
            ("a = 99999999999999999999", 1, "too large"),
            ("a = True", 1, "small letters"),
            ("a = 1 b = 2", 1, "its own line"),
            ("a = {,}", 1, "a comma too many"),
            ("a = 2026-13-01", 1, "no date"),
            ("a == 1", 1, "an = too many"),
            ("# \u{7f}\n", 1, "control character"),
        ] {
            let found = mistake(text);
            assert_eq!(found.line, Some(line), "{text:?}: {found:?}");
            assert!(found.column.is_some() && found.message.contains(says), "{text:?}: {found:?}");
            // The parser's own.
            for word in ["expected", "invalid", "literal", "basic", "i128", "unclosed"] {
                assert!(!found.message.contains(word), "{text:?}: {found:?}");
            }
        }
    }

    #[test]
    fn a_value_that_is_no_toml_is_not_repeated() {
        for text in ["password = hunter2", "password = \"hunter2", "password = 'a' hunter2"] {
            assert!(!mistake(text).message.contains("hunter2"), "{text}");
        }
    }
}
