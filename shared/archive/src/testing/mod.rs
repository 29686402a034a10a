//! What the tests of several readers need.

pub(crate) mod damage;
pub(crate) mod server;

use crate::{
    input::{Input, Stop},
    report::{Details, Finding, Findings, Format},
};

/// A reader of one format.
pub(crate) type Reader = fn(&mut Input<'_>, &mut Findings, &mut Details) -> Result<Format, Stop>;

/// What a reader makes of these bytes.
pub(crate) struct Outcome {
    pub(crate) findings: Vec<Finding>,
    pub(crate) total: u64,
    pub(crate) details: Details,
    pub(crate) stop: Option<Stop>,
}

impl Outcome {
    pub(crate) fn is_sound(&self) -> bool {
        self.total == 0 && self.stop.is_none()
    }

    pub(crate) fn messages(&self) -> Vec<String> {
        self.findings.iter().map(|finding| finding.message.clone()).collect()
    }
}

pub(crate) fn outcome(reader: Reader, bytes: &[u8]) -> Outcome {
    let (mut findings, mut details) = (Findings::default(), Details::default());
    let mut input = Input::new(bytes, 0, false);
    let stop = reader(&mut input, &mut findings, &mut details).err();
    Outcome { findings: findings.kept, total: findings.total, details, stop }
}

#[track_caller]
pub(crate) fn assert_sound(reader: Reader, bytes: &[u8]) -> Details {
    let outcome = outcome(reader, bytes);
    assert!(outcome.is_sound(), "{:?} {:?}", outcome.findings, outcome.stop);
    outcome.details
}
