//! The plan file: one TOML document per app that describes the system to protect.
//!
//! [`read`] is the only way in for a document that a person wrote: it parses, checks, and says of
//! every mistake where it stands and what to do. `lifeboat plan apply` then stores the same plan as
//! JSON in each region, because a recovery may read only the region that it runs in.

mod backup;
mod check;
mod locate;
mod model;
mod shape;
mod syntax;
mod target;

pub use backup::{Backup, Base, Files, Images, SqlCheck};
pub use check::{HOOK_SECONDS, Problem, check, notes};
pub use locate::{Located, locate, read, read_with};
pub use model::*;
pub use target::{ALIAS_TTL_SECONDS, Alias, Destination, RecordKind, Target, leads_to};
