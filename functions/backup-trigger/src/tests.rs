//! The handler with fakes: run twice, failed at each call.

mod caches;
mod fake;
mod hosts;
mod schedule;
mod snapshots;
