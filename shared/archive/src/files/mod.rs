//! Files of a host into a tar, and back into place.

mod header;
mod pack;
#[cfg(test)]
mod tests;
mod unpack;

#[cfg(test)]
pub(crate) use header::Header;
pub use pack::{Packed, Problem, ProblemKind, pack};
pub use unpack::{UnpackError, UnpackOptions, Unpacked, unpack};
