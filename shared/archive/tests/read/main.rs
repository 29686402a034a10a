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
mod source;
mod support;
