//! The exit codes of the command, in one place: scripts rely on them.
//!
//! A command that has a code of its own for another thing says so in its own help.

/// What was asked for failed.
pub(crate) const FAILED: u8 = 1;
/// What was given is wrong; nothing was touched.
pub(crate) const INPUT: u8 = 2;
/// A guard refused, or nobody confirmed.
pub(crate) const REFUSED: u8 = 3;
/// It was done as far as it could be, and the rest is owed: a region did not answer. The same command
/// does the rest when it is given again.
pub(crate) const PARTLY: u8 = 4;
/// Ctrl-C stopped looking at what goes on: 128 and the number of SIGINT, as shells say it.
pub(crate) const INTERRUPTED: u8 = 130;

/// The same for the help.
pub(crate) const HELP: &str = "\
Exit codes: 0 done; 1 it failed; 2 what was given is wrong, and nothing was touched; 3 a guard
refused, or it was not confirmed; 4 done in part: a region did not answer, and the same command does
the rest when it is given again; 130 Ctrl-C stopped following what goes on.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_names_every_code() {
        for code in [0, FAILED, INPUT, REFUSED, PARTLY, INTERRUPTED] {
            let named = HELP.split(['\n', ' ', ';']).any(|word| word == code.to_string());
            assert!(named, "{code} is not in the help");
        }
    }
}
