//! What a drill leaves behind: the measured result as JSON, the same as a page, and as lines on a
//! terminal.
//!
//! The JSON's top-level keys are a contract: [`DrillReport`] has exactly them.

mod labels;
mod layout;
mod model;
mod page;
mod terminal;
#[cfg(test)]
mod tests;
mod text;
mod timeline;
mod write;

pub use model::{
    BackupResult, DnsAnswer, DrillEvidence, DrillReport, InvariantResult, Mark, NotificationResult,
    Observation, Part, Parts, StepResult, Verdict, seconds_between,
};
pub use terminal::{Palette, live_line, summary};
pub use write::{ReportError, Written, write};
