//! Backups of real servers and files into a bucket in memory, and back.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail their test")]

mod base;
mod cache;
mod dump;
mod files;
mod incremental;
mod recover;
mod support;
mod wal;
