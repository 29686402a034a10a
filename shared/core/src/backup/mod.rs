//! Backups: what is taken, how it is named, what proves it, and what may be deleted.
//!
//! An artifact becomes a recovery point when its [`Manifest`] is written, which happens last: no
//! manifest, no backup. A recovery point counts when [`Evidence`] says that it was read or restored
//! and found sound; what was never checked, or was found damaged, is never counted on. The names of
//! objects ([`keys`]) carry what the catalogue needs, so that listing them is enough to know what
//! there is: time, parent, and how each check ended.

mod catalogue;
mod choice;
pub mod elasticache;
mod evidence;
pub mod freshness;
pub mod keys;
mod kind;
mod manifest;
mod moment;
mod point;
pub mod question;
pub mod quota;
pub mod rds;
mod reach;
pub mod retention;
pub mod sample;
pub mod schedule;
mod schema;
mod unproven;
pub mod verification;
mod window;

pub use catalogue::{Catalogue, Check, Checks, Listed, RecoveryPoint, Standing};
pub use choice::{Choice, choose};
pub use evidence::{Depth, Evidence, EvidenceFinding, Outcome};
pub use kind::{Kind, KindError};
pub use manifest::{Artifact, Manifest, TableCount, WalSpan};
pub use moment::{Base, Look, archived_until, choose_base, whole_moment};
pub use point::{PointId, PointIdError, stamp};
pub use reach::{Reach, can_recover_to};
pub use unproven::{ATTEMPTS, Attempts, Mark, Marks, Undecided, Unproven};
pub use window::{Automated, Window, choose_window};
