//! The store on S3.

use std::{ops::RangeInclusive, time::Duration};

use aws_config::SdkConfig;
use aws_sdk_s3::{
    Client,
    config::Builder,
    error::{ProvideErrorMetadata, SdkError},
    primitives::ByteStream,
    types::{
        ChecksumMode, ChecksumType, Delete, Error as KeyError, ObjectIdentifier,
        ObjectLockLegalHold, ObjectLockLegalHoldStatus,
    },
};
use bytes::Bytes;
use jiff::Timestamp;
use lifeboat_core::{Fault, Region};
use lifeboat_runtime::aws::{self, ExpectedBucketOwner};

use crate::store::{
    Content, Head, LegalHolds, Marker, Object, Objects, Obstacle, Page, Shared, Undeleted, Version,
    VersionPage, Versions,
};

/// How long the content of a small object may take after its head has arrived.
const BODY_DEADLINE: Duration = Duration::from_secs(3);
/// How long the content of a range may take: 8 MiB at 0.5 MB/s.
const RANGE_DEADLINE: Duration = Duration::from_secs(16);
/// Limits of a call that S3 may take long over: a page of versions, a batch of deletions.
const LONG_ATTEMPT: Duration = Duration::from_secs(15);
const LONG_CALL: Duration = Duration::from_secs(40);
/// Times that the content of a range is asked for again when it breaks off.
const RANGE_ATTEMPTS: RangeInclusive<u32> = 1..=3;

/// One bucket.
#[derive(Debug, Clone)]
pub struct S3Bucket {
    client: Client,
    name: String,
}

impl S3Bucket {
    /// The bucket of this name, in this region, which the account in its name has to own.
    #[must_use]
    pub fn new(config: &SdkConfig, name: String, region: &Region) -> Self {
        let owner = ExpectedBucketOwner::of(&name);
        Self::owned_by(owner, config, name, region)
    }

    /// The bucket of this name, in this region, with this owner.
    #[must_use]
    pub fn owned_by(
        owner: ExpectedBucketOwner,
        config: &SdkConfig,
        name: String,
        region: &Region,
    ) -> Self {
        let config = aws::in_region(config, region.as_str());
        let config = aws::with_limits(&config, LONG_ATTEMPT, LONG_CALL, 3);
        let config = Builder::from(&config).interceptor(owner).build();
        Self { client: Client::from_conf(config), name }
    }

    fn doing(&self, verb: &str, key: &str) -> String {
        format!("{verb} s3://{}/{key}", self.name)
    }
}

impl Objects for S3Bucket {
    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Page, Fault> {
        let answer = self
            .client
            .list_objects_v2()
            .bucket(&self.name)
            .prefix(prefix)
            .set_start_after(after.map(str::to_owned))
            .send()
            .await
            .map_err(|error| aws::fault(&self.doing("list", prefix), error))?;
        let more = answer.is_truncated == Some(true);
        let objects = answer.contents.into_iter().flatten().map(|object| {
            let modified = object.last_modified.and_then(|at| {
                Timestamp::new(at.secs(), i32::try_from(at.subsec_nanos()).ok()?).ok()
            });
            let size_bytes = object.size.and_then(|size| u64::try_from(size).ok());
            match (object.key, modified, size_bytes) {
                (Some(key), Some(modified), Some(size_bytes)) => {
                    Ok(Object { key, modified, size_bytes })
                }
                _ => Err(Fault::transient(format!(
                    "{} failed: the answer cannot be read",
                    self.doing("list", prefix)
                ))),
            }
        });
        Ok(Page { objects: objects.collect::<Result<_, _>>()?, more })
    }

    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Fault> {
        Ok(self.look(key).await?.map(|(body, _)| body))
    }

    async fn put(&self, key: &str, body: Vec<u8>) -> Result<(), Fault> {
        self.client
            .put_object()
            .bucket(&self.name)
            .key(key)
            .content_type("application/json")
            .body(ByteStream::from(body))
            .send()
            .await
            .map(|_| ())
            .map_err(|error| aws::fault(&self.doing("write", key), error))
    }
}

impl Shared for S3Bucket {
    async fn look(&self, key: &str) -> Result<Option<(Vec<u8>, String)>, Fault> {
        let doing = || self.doing("read", key);
        let answer = self.client.get_object().bucket(&self.name).key(key).send().await;
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) if error.as_service_error().is_some_and(|e| e.is_no_such_key()) => {
                return Ok(None);
            }
            Err(error) => return Err(aws::fault(&doing(), error)),
        };
        let etag = answer.e_tag.unwrap_or_default();
        let body = tokio::time::timeout(BODY_DEADLINE, answer.body.collect())
            .await
            .map_err(|_| Fault::transient(format!("{} failed: no content in time", doing())))?
            .map_err(|error| Fault::transient(format!("{} failed: {error}", doing())))?;
        Ok(Some((body.to_vec(), etag)))
    }

    async fn replace(
        &self,
        key: &str,
        etag: Option<&str>,
        body: Vec<u8>,
    ) -> Result<Option<String>, Fault> {
        let request = self
            .client
            .put_object()
            .bucket(&self.name)
            .key(key)
            .content_type("application/json")
            .body(ByteStream::from(body));
        let request = match etag {
            Some(etag) => request.if_match(etag),
            None => request.if_none_match("*"),
        };
        match request.send().await {
            Ok(answer) => Ok(Some(answer.e_tag.unwrap_or_default())),
            Err(error) if changed(&error) => Ok(None),
            Err(error) => Err(aws::fault(&self.doing("write", key), error)),
        }
    }
}

impl Content for S3Bucket {
    async fn head(&self, key: &str) -> Result<Option<Head>, Fault> {
        let answer = self
            .client
            .head_object()
            .bucket(&self.name)
            .key(key)
            .checksum_mode(ChecksumMode::Enabled)
            .send()
            .await;
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) if error.as_service_error().is_some_and(|e| e.is_not_found()) => {
                return Ok(None);
            }
            Err(error) => return Err(aws::fault(&self.doing("look at", key), error)),
        };
        let whole = answer.checksum_type != Some(ChecksumType::Composite);
        let sha256 = answer.checksum_sha256.as_deref().filter(|_| whole).and_then(hex_of_base64);
        let size_bytes = answer.content_length.and_then(|len| u64::try_from(len).ok());
        match (size_bytes, answer.e_tag) {
            (Some(size_bytes), Some(etag)) => Ok(Some(Head { size_bytes, etag, sha256 })),
            _ => Err(Fault::transient(format!(
                "{} failed: the answer has no length",
                self.doing("look at", key)
            ))),
        }
    }

    async fn range(&self, key: &str, etag: &str, offset: u64, len: u64) -> Result<Bytes, Fault> {
        let doing = || self.doing("read", key);
        if len == 0 {
            return Ok(Bytes::new());
        }
        let Some(last) = offset.checked_add(len).and_then(|end| end.checked_sub(1)) else {
            return Err(Fault::invalid(format!("{}: {len} bytes at {offset}", doing())));
        };
        let mut failure = Fault::transient(format!("{} failed", doing()));
        for _ in RANGE_ATTEMPTS {
            let answer = self
                .client
                .get_object()
                .bucket(&self.name)
                .key(key)
                .if_match(etag)
                .range(format!("bytes={offset}-{last}"))
                .send()
                .await;
            let answer = match answer {
                Ok(answer) => answer,
                // It was there a moment ago: whoever looks again sees what became of it.
                Err(error) if changed(&error) => {
                    return Err(Fault::transient(format!(
                        "{} failed: the object changed while it was read",
                        doing()
                    )));
                }
                Err(error) => return Err(aws::fault(&doing(), error)),
            };
            match tokio::time::timeout(RANGE_DEADLINE, answer.body.collect()).await {
                Ok(Ok(body)) => {
                    let bytes = body.into_bytes();
                    if u64::try_from(bytes.len()).is_ok_and(|got| got == len) {
                        return Ok(bytes);
                    }
                    failure.message =
                        format!("{} failed: {} bytes instead of {len}", doing(), bytes.len());
                }
                Ok(Err(error)) => failure.message = format!("{} failed: {error}", doing()),
                Err(_) => failure.message = format!("{} failed: no content in time", doing()),
            }
        }
        Err(failure)
    }
}

impl Versions for S3Bucket {
    async fn versions(&self, prefix: &str, after: Option<&Marker>) -> Result<VersionPage, Fault> {
        let answer = self
            .client
            .list_object_versions()
            .bucket(&self.name)
            .prefix(prefix)
            .set_key_marker(after.map(|marker| marker.key.clone()))
            .set_version_id_marker(after.and_then(|marker| marker.version.clone()))
            .send()
            .await
            .map_err(|error| aws::fault(&self.doing("list the versions of", prefix), error))?;
        let held = answer.versions.into_iter().flatten().map(|version| Version {
            key: version.key.unwrap_or_default(),
            id: version.version_id.unwrap_or_default(),
            size_bytes: version.size.and_then(|size| u64::try_from(size).ok()).unwrap_or_default(),
            is_delete_marker: false,
        });
        let marks = answer.delete_markers.into_iter().flatten().map(|mark| Version {
            key: mark.key.unwrap_or_default(),
            id: mark.version_id.unwrap_or_default(),
            size_bytes: 0,
            is_delete_marker: true,
        });
        let mut versions: Vec<Version> = held.chain(marks).collect();
        versions.sort_by(|a, b| a.key.cmp(&b.key));
        let next = match (answer.is_truncated, answer.next_key_marker) {
            (Some(true), Some(key)) => Some(Marker { key, version: answer.next_version_id_marker }),
            (Some(true), None) => {
                return Err(Fault::transient(format!(
                    "{} failed: the answer has no end",
                    self.doing("list the versions of", prefix)
                )));
            }
            _ => None,
        };
        Ok(VersionPage { versions, next })
    }

    async fn delete(&self, versions: &[Version]) -> Result<Vec<Undeleted>, Fault> {
        let doing = || format!("delete {} versions in s3://{}", versions.len(), self.name);
        let broken = |error: aws_sdk_s3::error::BuildError| {
            Fault::needs_human(format!("{} failed: {error}", doing()))
        };
        let mut delete = Delete::builder().quiet(true);
        for version in versions {
            let object = ObjectIdentifier::builder().key(&version.key).version_id(&version.id);
            delete = delete.objects(object.build().map_err(broken)?);
        }
        let answer = self
            .client
            .delete_objects()
            .bucket(&self.name)
            .delete(delete.build().map_err(broken)?)
            .send()
            .await
            .map_err(|error| aws::fault(&doing(), error))?;
        Ok(answer.errors.into_iter().flatten().filter_map(undeleted).collect())
    }
}

impl LegalHolds for S3Bucket {
    async fn hold(&self, key: &str, on: bool) -> Result<(), Fault> {
        let status =
            if on { ObjectLockLegalHoldStatus::On } else { ObjectLockLegalHoldStatus::Off };
        let answer = self
            .client
            .put_object_legal_hold()
            .bucket(&self.name)
            .key(key)
            .legal_hold(ObjectLockLegalHold::builder().status(status).build())
            .send()
            .await;
        match answer {
            Ok(_) => Ok(()),
            Err(error) if error.code() == Some("NoSuchKey") && !on => Ok(()),
            Err(error) if error.code() == Some("NoSuchKey") => {
                Err(Fault::invalid(format!("{}: there is no such object", self.doing("hold", key))))
            }
            Err(error) => Err(aws::fault(&self.doing("hold", key), error)),
        }
    }
}

/// What a key's error means; none when it is gone, which is what was asked.
fn undeleted(error: KeyError) -> Option<Undeleted> {
    let code = error.code.unwrap_or_default();
    let obstacle = match code.as_str() {
        "NoSuchKey" | "NoSuchVersion" => return None,
        "AccessDenied" => Obstacle::Locked,
        _ => Obstacle::Other,
    };
    Some(Undeleted {
        key: error.key.unwrap_or_default(),
        id: error.version_id.unwrap_or_default(),
        obstacle,
        message: format!("{code}: {}", error.message.unwrap_or_default()),
    })
}

/// Whether S3 says that the object is not the one that was looked at.
fn changed<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> bool {
    let code = error.as_service_error().and_then(ProvideErrorMetadata::code);
    matches!(code, Some("PreconditionFailed" | "NoSuchKey" | "InvalidRange"))
}

/// A checksum as S3 writes it, in hexadecimal; none when it is not 32 bytes.
fn hex_of_base64(text: &str) -> Option<String> {
    use std::fmt::Write as _;
    let bytes = aws_smithy_types::base64::decode(text).ok()?;
    let mut hex = String::with_capacity(64);
    for byte in bytes {
        write!(hex, "{byte:02x}").ok()?;
    }
    (hex.len() == 64).then_some(hex)
}

#[cfg(test)]
mod tests;
