//! Work in every region of a plan, when one of them may be dark.
//!
//! A region that does not answer keeps the operator from nothing in the others. What could not be done
//! there is owed, and said; the same command does it when it is given again.

use lifeboat_core::{ErrorName, Fault, Region};
use serde::Serialize;

use crate::output::Failure;

/// What failed in the region that was asked first. One that does not answer cannot name the others: the
/// caller does.
pub(crate) fn elsewhere(fault: Fault, region: &str) -> Failure {
    dark(fault, region, "give --region with that of the other site, which knows the same")
}

/// What failed in the region that was asked for; `next` is what to do when it does not answer.
pub(crate) fn dark(fault: Fault, region: &str, next: &str) -> Failure {
    let is_dark = fault.name == ErrorName::Transient;
    let mut failure = Failure::from(fault);
    if is_dark {
        failure.lines.push(format!("{region} does not answer: {next}"));
    }
    failure
}

/// What became of the work in the regions.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// Where it was done.
    pub(crate) done: Vec<Region>,
    /// Where it was not, because nobody answered.
    pub(crate) owed: Vec<Owed>,
    /// Where it failed for another reason; giving the command again helps nothing.
    failed: Vec<String>,
}

/// What is still to be done in a region that did not answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Owed {
    /// The region.
    pub(crate) region: Region,
    /// What is to be done there.
    pub(crate) what: String,
    /// How the region did not answer.
    pub(crate) why: String,
}

impl Outcome {
    /// Notes how the work ended in a region; `what` names the work, such as "the secret database".
    /// What it gave, if it was done.
    pub(crate) fn note<T>(
        &mut self,
        region: &Region,
        what: &str,
        result: Result<T, Fault>,
    ) -> Option<T> {
        match result {
            Ok(value) => {
                self.done.push(region.clone());
                Some(value)
            }
            Err(Fault { name: ErrorName::Transient, message }) => {
                self.owe(region, what, message);
                None
            }
            Err(fault) => {
                self.failed.push(format!("{region}: {}", fault.message));
                None
            }
        }
    }

    /// Notes that this is still to be done.
    pub(crate) fn owe(&mut self, region: &Region, what: &str, why: String) {
        self.owed.push(Owed { region: region.clone(), what: what.to_owned(), why });
    }

    /// Success, or what to do next.
    pub(crate) fn settled(self) -> Result<(), Failure> {
        let mut lines = self.failed.clone();
        lines.extend(self.owed.iter().map(|owed| {
            format!("{} does not answer; owed there: {} ({})", owed.region, owed.what, owed.why)
        }));
        if !self.owed.is_empty() {
            lines.push("give the same command again when the region answers".to_owned());
        }
        match (self.failed.is_empty(), self.owed.is_empty(), self.done.is_empty()) {
            (true, true, _) => Ok(()),
            (true, false, false) => Err(Failure::partly(lines)),
            (false, ..) | (true, false, true) => Err(Failure::failed(lines)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit;

    fn code(results: [Result<(), Fault>; 2]) -> (u8, Vec<String>) {
        let mut outcome = Outcome::default();
        for (region, result) in ["us-east-1", "us-west-2"].iter().zip(results) {
            let _ = outcome.note(&region.parse().unwrap(), "the plan", result);
        }
        match outcome.settled() {
            Ok(()) => (0, Vec::new()),
            Err(failure) => (failure.code, failure.lines),
        }
    }

    #[test]
    fn a_dark_region_is_owed_and_has_a_code_of_its_own() {
        let dark = || Err(Fault::transient("no answer in time"));
        let forbidden = || Err(Fault::needs_human("AccessDenied"));
        assert_eq!(code([Ok(()), Ok(())]).0, 0);
        let (partly, lines) = code([dark(), Ok(())]);
        assert_eq!(partly, exit::PARTLY);
        assert!(lines[0].contains("us-east-1") && lines[0].contains("the plan"), "{lines:?}");
        // Nothing was done, or it will never be done like this: that is a failure.
        assert_eq!(code([dark(), dark()]).0, exit::FAILED);
        let (failed, lines) = code([dark(), forbidden()]);
        assert_eq!((failed, lines.len()), (exit::FAILED, 3), "{lines:?}");
        assert_eq!(code([Ok(()), forbidden()]).0, exit::FAILED);
    }
}
