//! The ports: what the catalogue, and whoever checks or deletes backups, need of an object store.
//!
//! A role implements only what it may do: a function that never deletes has no [`Versions`].

use std::future::Future;

use bytes::Bytes;
use jiff::Timestamp;
use lifeboat_core::{Fault, backup::Listed};

/// An object as a listing gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Its key.
    pub key: String,
    /// When it was written.
    pub modified: Timestamp,
    /// Its bytes.
    pub size_bytes: u64,
}

impl From<Object> for Listed {
    fn from(object: Object) -> Self {
        Self { key: object.key, modified: object.modified }
    }
}

/// One answer of a listing: at most 1000 objects, in the order of their keys.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Page {
    /// The objects.
    pub objects: Vec<Object>,
    /// Whether there are more after the last of them.
    pub more: bool,
}

/// Objects that are listed, read and written whole.
pub trait Objects: Send + Sync + 'static {
    /// The first objects with this prefix whose keys come after `after`.
    fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
    ) -> impl Future<Output = Result<Page, Fault>> + Send;

    /// A small object's content; none when there is no such object.
    fn get(&self, key: &str) -> impl Future<Output = Result<Option<Vec<u8>>, Fault>> + Send;

    /// Writes a small object, over what is there.
    fn put(&self, key: &str, body: Vec<u8>) -> impl Future<Output = Result<(), Fault>> + Send;
}

/// Small objects that several may write at the same time.
pub trait Shared: Send + Sync + 'static {
    /// The content, and what identifies it; none when there is no such object.
    fn look(
        &self,
        key: &str,
    ) -> impl Future<Output = Result<Option<(Vec<u8>, String)>, Fault>> + Send;

    /// Writes the object while its content is still that of `etag` (none: while there is no such
    /// object), and gives what identifies the new content; none when somebody else was faster.
    /// After a lost answer it may be the own attempt that was.
    fn replace(
        &self,
        key: &str,
        etag: Option<&str>,
        body: Vec<u8>,
    ) -> impl Future<Output = Result<Option<String>, Fault>> + Send;
}

/// What is known of an object without its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Its bytes.
    pub size_bytes: u64,
    /// What identifies this content in [`Content::range`].
    pub etag: String,
    /// SHA-256 of the whole content, in lower-case hexadecimal, when the store keeps it. S3 keeps
    /// none for an object that was written in parts, only one over the parts' sums.
    pub sha256: Option<String>,
}

/// Large objects that are read by ranges.
pub trait Content: Send + Sync + 'static {
    /// What is known of an object; none when there is no such object.
    fn head(&self, key: &str) -> impl Future<Output = Result<Option<Head>, Fault>> + Send;

    /// These bytes of it, all of them, while its content is still that of `etag`.
    fn range(
        &self,
        key: &str,
        etag: &str,
        offset: u64,
        len: u64,
    ) -> impl Future<Output = Result<Bytes, Fault>> + Send;
}

/// One version of an object, or the mark of its deletion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// The key.
    pub key: String,
    /// The version's id; `null` from before the bucket was versioned.
    pub id: String,
    /// Its bytes; 0 of a mark.
    pub size_bytes: u64,
    /// Whether it is a mark of deletion and holds nothing.
    pub is_delete_marker: bool,
}

/// Where a listing of versions goes on: after this version of this key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marker {
    /// The key.
    pub key: String,
    /// The version; none: after all versions of the key.
    pub version: Option<String>,
}

/// One answer of a listing of versions: at most 1000, in the order of keys, the newest first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VersionPage {
    /// The versions.
    pub versions: Vec<Version>,
    /// Where it goes on; none at the end.
    pub next: Option<Marker>,
}

/// Why a version is still there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Obstacle {
    /// Access is denied: object lock or a legal hold keeps it. (S3 says the same of a missing
    /// permission; the message tells.)
    Locked,
    /// Something else, which may pass.
    Other,
}

/// A version that a deletion left there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undeleted {
    /// The key.
    pub key: String,
    /// The version's id.
    pub id: String,
    /// Why.
    pub obstacle: Obstacle,
    /// The same in the store's words.
    pub message: String,
}

/// The versions of objects, to delete them for good.
pub trait Versions: Send + Sync + 'static {
    /// The first versions of the keys with this prefix, after the marker.
    fn versions(
        &self,
        prefix: &str,
        after: Option<&Marker>,
    ) -> impl Future<Output = Result<VersionPage, Fault>> + Send;

    /// Deletes at most [`DELETE_BATCH`] versions for good, and gives those that are still there. A
    /// version that is gone already counts as deleted.
    fn delete(
        &self,
        versions: &[Version],
    ) -> impl Future<Output = Result<Vec<Undeleted>, Fault>> + Send;
}

/// Versions that one call can delete (S3 API reference, `DeleteObjects`).
pub const DELETE_BATCH: usize = 1000;

/// Objects that are kept from everyone.
pub trait LegalHolds: Send + Sync + 'static {
    /// Sets or lifts the legal hold on the newest version of an object. Doing it again is a success;
    /// of an object that is not there, a lift is one too, and a setting is `InvalidInput`.
    fn hold(&self, key: &str, on: bool) -> impl Future<Output = Result<(), Fault>> + Send;
}
