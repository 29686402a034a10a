//! Reads backup artifacts to their last byte, without the tools that wrote them, and says what is
//! damaged and where.
//!
//! Every reader streams: memory stays flat whatever the size of the artifact, and every length that
//! a file claims is checked against a limit before anything is allocated for it. A hostile file (a
//! decompression bomb, absurd lengths, a cut anywhere) gives a finding, never a panic.
//!
//! What is wrong with the artifact is a [`Finding`] in the [`Report`]; that the artifact could not
//! be obtained at all (the network failed, the file cannot be opened) is a [`SourceError`], because
//! *could not tell* must never read as *damaged*, nor as *sound*.

mod aof;
mod base;
mod digest;
mod directory;
mod files;
#[cfg(test)]
mod harm;
mod input;
mod layers;
mod pg_dump;
mod rdb;
mod read;
mod report;
mod source;
mod stored;
mod tar;
#[cfg(test)]
mod testing;
mod text;
mod wal;
mod zeros;

pub use aof::{AofSet, read_aof_directory};
pub use base::{BaseCheck, BaseManifest, BaseReport, ManifestError, WalRange, read_base_backup};
pub use directory::read_directory;
pub use files::{Packed, Problem, ProblemKind, UnpackError, UnpackOptions, Unpacked, pack, unpack};
pub use read::{Options, read};
pub use report::{Details, Finding, Format, FormatError, Place, Report, TableRows};
pub use source::{FileSource, Source, SourceError};
pub use wal::{Gap, NotASegment, SegmentName, WalReader, WalReport, gaps};
