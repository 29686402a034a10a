//! What a restored database says to the plan's questions (`backup.checks`).
//!
//! The invariant: a question that the server cannot make sense of says nothing of the backup. A
//! mistyped query, or one that names a table newer than the backup, must never brand a sound backup
//! as damaged.

/// What came of a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It ran, and answered true.
    Holds,
    /// It ran, and the data is not as it should be; how, for people.
    Fails(String),
    /// It could not be put to this database; why, for people.
    Unasked(String),
}

/// The answer that rows of text are (a null is none): one row with one boolean column is expected.
/// No row, and a null, are answers of the data.
#[must_use]
pub fn answer(rows: &[Vec<Option<String>>]) -> Answer {
    match rows {
        [] => Answer::Fails("answered no row".to_owned()),
        [row] => match row.as_slice() {
            [Some(value)] if value == "t" => Answer::Holds,
            [Some(value)] if value == "f" => Answer::Fails("answered false".to_owned()),
            [None] => Answer::Fails("answered null".to_owned()),
            [Some(value)] => Answer::Unasked(format!("it answers `{value}`, and no boolean")),
            columns => Answer::Unasked(format!("it answers {} columns, not one", columns.len())),
        },
        rows => Answer::Unasked(format!("it answers {} rows, not one", rows.len())),
    }
}

/// The answer that an error of the server is.
#[must_use]
pub fn refusal(code: &str, message: &str) -> Answer {
    let why = format!("{message} (SQLSTATE {code})");
    if is_of_the_data(code) {
        Answer::Fails(format!("cannot be answered: {why}"))
    } else {
        Answer::Unasked(why)
    }
}

/// Classes of SQLSTATE (PostgreSQL manual, appendix A) that tell of the statement, of the session or
/// of what the server has to work with: unsupported, transaction state (a question that writes),
/// statement, cursor, database and schema names, syntax and access rules, resources, limits, states
/// of objects, and an operator's intervention (`statement_timeout`).
const NOT_OF_THE_DATA: [&str; 11] =
    ["0A", "25", "26", "34", "3D", "3F", "42", "53", "54", "55", "57"];

/// Whether an error of the server tells of the data that was read. Everything else, a corrupted page
/// (class XX) and a value that cannot be computed with (class 22) above all, does.
#[must_use]
pub fn is_of_the_data(code: &str) -> bool {
    code.len() == 5 && !NOT_OF_THE_DATA.iter().any(|class| code.starts_with(class))
}

/// What a person has to know of a question that could not be put: which (`place` counts from 0 in
/// the plan's list), why, and what to do.
#[must_use]
pub fn unasked(place: usize, name: &str, why: &str) -> String {
    format!(
        "check `{name}` (backup.checks[{place}] of the plan) cannot be asked of the restored \
         database: {why}; mend its query and run `lifeboat plan apply`, or, if it names something \
         newer than this backup, wait for the next one"
    )
}

/// The message for a restore that found nothing wrong and could not put every question.
#[must_use]
pub fn undecided(unasked: &[String]) -> String {
    format!("it was restored, and whether it is sound cannot be told: {}", unasked.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_true_holds_and_only_the_data_fails() {
        let row = |values: &[Option<&str>]| -> Vec<Option<String>> {
            values.iter().map(|value| value.map(str::to_owned)).collect()
        };
        assert_eq!(answer(&[row(&[Some("t")])]), Answer::Holds);
        for of_the_data in [vec![], vec![row(&[Some("f")])], vec![row(&[None])]] {
            assert!(matches!(answer(&of_the_data), Answer::Fails(_)), "{of_the_data:?}");
        }
        let t = Some("t");
        for odd in [vec![row(&[Some("5")])], vec![row(&[t, t])], vec![row(&[t]), row(&[t])]] {
            assert!(matches!(answer(&odd), Answer::Unasked(_)), "{odd:?}");
        }
    }

    #[test]
    fn a_question_that_makes_no_sense_says_nothing_of_the_data() {
        // A syntax error; an undefined table, column, function and schema; a privilege; a write;
        // a statement that took too long; memory.
        for code in [
            "42601", "42P01", "42703", "42883", "3F000", "42501", "25006", "57014", "53200", "none",
        ] {
            let Answer::Unasked(why) = refusal(code, "no") else { panic!("{code}") };
            assert!(why.contains(code), "{why}");
        }
        // A corrupted page and index, a division by zero, an exception that the query raises.
        for code in ["XX001", "XX002", "22012", "P0001"] {
            assert!(matches!(refusal(code, "no"), Answer::Fails(_)), "{code}");
        }
    }
}
