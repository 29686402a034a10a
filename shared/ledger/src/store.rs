//! The port: what the ledger needs of an object store.

use std::future::Future;

use lifeboat_core::{Fault, Region};

/// A bucket and the region that it is in.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Bucket {
    /// The region.
    pub region: Region,
    /// The bucket's name.
    pub name: String,
}

/// What identifies one version of an object's content.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ETag(pub String);

/// An object as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// The content.
    pub body: Vec<u8>,
    /// Its version.
    pub etag: ETag,
}

/// What must hold for a write to take effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// There is no such object.
    Absent,
    /// The object is still the one that was read.
    Unchanged(ETag),
}

/// What became of a conditional write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Put {
    /// It took effect; the object's new version.
    Written(ETag),
    /// The condition did not hold. After a retry inside the client it may be the own earlier
    /// attempt that broke it.
    Refused,
}

/// An object store with conditional writes.
pub trait Store: Send + Sync + 'static {
    /// The object, or none when there is none.
    fn get(
        &self,
        bucket: &Bucket,
        key: &str,
    ) -> impl Future<Output = Result<Option<Object>, Fault>> + Send;

    /// Writes the object when the condition holds.
    fn put(
        &self,
        bucket: &Bucket,
        key: &str,
        body: Vec<u8>,
        condition: &Condition,
    ) -> impl Future<Output = Result<Put, Fault>> + Send;

    /// The keys that begin with `prefix`, in order.
    fn list(
        &self,
        bucket: &Bucket,
        prefix: &str,
    ) -> impl Future<Output = Result<Vec<String>, Fault>> + Send;
}
