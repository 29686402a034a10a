//! The handler with fakes: run twice, failed at each call.

mod fake;
mod hosts;
mod moments;
mod snapshots;
