//! The judgement of Lifeboat, as plain functions.
//!
//! Nothing in this crate does I/O, reads a clock, or waits: `now` is an argument and the outside
//! world arrives as a value. The functions, the operator's command and the drills all decide with
//! the same code, so a decision that a test has seen is the decision that a recovery will take.
//!
//! Data flows one way: [`vote`]s become an [`situation::Observation`], which [`recovery_plan`]
//! turns into an explicit plan that the state machine carries out; [`registers`] and [`ledger`] say who
//! may write and who may act, and [`guard`] says what may not be done even then.

pub mod alike;
pub mod backup;
pub mod bucket;
pub mod contract;
pub mod error;
pub mod guard;
pub mod hold;
pub mod hosts;
pub mod ids;
pub mod join;
pub mod ledger;
pub mod objective;
pub mod permit;
pub mod plan_file;
pub mod recovery_log;
pub mod recovery_plan;
pub mod regions;
pub mod registers;
pub mod round_trip;
pub mod situation;
pub mod vote;

pub use error::{ErrorName, Fault};
pub use ids::{AppName, Epoch, IncidentId, Region, SiteName};
