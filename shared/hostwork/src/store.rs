//! The bucket, as the host uses it.

use std::ops::Range;

use bytes::Bytes;
use lifeboat_core::Fault;

/// How a conditional write ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// The object is there, and it is ours.
    Written,
    /// Somebody else's object is there; it was left alone.
    Exists,
}

/// A part of a multipart upload that the bucket has taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// 1 to 10,000.
    pub number: i32,
    /// What the bucket called it.
    pub etag: String,
    /// SHA-256 of its bytes.
    pub sha256: [u8; 32],
}

/// A bucket whose objects are written once.
///
/// `run` names the run that writes: a write whose answer was lost and that is made again finds its
/// own object by it, and says [`Put::Written`].
pub trait ObjectStore: Send + Sync + 'static {
    /// An object's bytes, or those of a range of it; none when there is no such object.
    fn get(
        &self,
        key: &str,
        range: Option<Range<u64>>,
    ) -> impl Future<Output = Result<Option<Bytes>, Fault>> + Send;

    /// An object's size in bytes; none when there is no such object.
    fn size(&self, key: &str) -> impl Future<Output = Result<Option<u64>, Fault>> + Send;

    /// Whether an object's key begins with `prefix`.
    fn any_below(&self, prefix: &str) -> impl Future<Output = Result<bool, Fault>> + Send;

    /// The keys that begin with `prefix` and come after `after`, in order.
    fn keys(
        &self,
        prefix: &str,
        after: &str,
    ) -> impl Future<Output = Result<Vec<String>, Fault>> + Send;

    /// Writes an object in one call, unless one is there.
    fn put(
        &self,
        key: &str,
        body: Bytes,
        run: &str,
    ) -> impl Future<Output = Result<Put, Fault>> + Send;

    /// Begins an upload in parts and gives its name. Nothing is visible before it is completed.
    fn begin(&self, key: &str, run: &str) -> impl Future<Output = Result<String, Fault>> + Send;

    /// Uploads a part, with the SHA-256 that the bucket holds its bytes against.
    fn part(
        &self,
        key: &str,
        upload: &str,
        number: i32,
        body: Bytes,
        sha256: [u8; 32],
    ) -> impl Future<Output = Result<Part, Fault>> + Send;

    /// Makes the object out of its parts, unless one is there.
    fn complete(
        &self,
        key: &str,
        upload: &str,
        parts: &[Part],
        run: &str,
    ) -> impl Future<Output = Result<Put, Fault>> + Send;

    /// Gives an upload up; its parts are removed.
    fn abort(&self, key: &str, upload: &str) -> impl Future<Output = Result<(), Fault>> + Send;
}
