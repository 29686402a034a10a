//! Whole artifacts through the one way in: sound, damaged, hostile, and from sources that fail.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test's helpers fail their test; how much structure alone finds is worth telling"
)]

mod layers;
mod pg_dump;
#[path = "../server/mod.rs"]
#[expect(dead_code, reason = "the tests of base backups need other parts of it")]
mod server;
mod source;
mod support;
