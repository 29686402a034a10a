//! The bucket on S3.

use std::{ops::Range, time::Duration};

use aws_config::SdkConfig;
use aws_sdk_s3::{
    Client,
    config::timeout::TimeoutConfig,
    error::ProvideErrorMetadata,
    primitives::ByteStream,
    types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart},
};
use aws_smithy_types::base64;
use bytes::Bytes;
use lifeboat_core::{ErrorName, Fault};
use lifeboat_runtime::aws;
use sha2::{Digest, Sha256};

use crate::store::{ObjectStore, Part, Put};

/// For an attempt of a call that carries little.
const ATTEMPT: Duration = Duration::from_secs(30);
/// For such a call with its retries.
const OPERATION: Duration = Duration::from_secs(120);
/// Attempts of a call. A backup of hours should not end with one bad minute.
const ATTEMPTS: u32 = 6;
/// For putting the parts of an upload together: S3 says that it "could take several minutes to
/// finalize" (API reference, `CompleteMultipartUpload`), during which it may send white space and no
/// answer.
const COMPLETE: Duration = Duration::from_secs(600);
/// The slowest transfer that is waited for, in bytes a second.
const SLOWEST: u64 = 256 << 10;
/// Where an object says which run has written it.
const RUN: &str = "lifeboat-run";

/// One bucket.
#[derive(Debug, Clone)]
pub struct S3 {
    client: Client,
    bucket: String,
}

impl S3 {
    /// The bucket of this name, in the region that `config` is for; the account in its name has to
    /// own it.
    #[must_use]
    pub fn new(config: &SdkConfig, bucket: impl Into<String>) -> Self {
        let bucket = bucket.into();
        let config = aws::with_limits(config, ATTEMPT, OPERATION, ATTEMPTS);
        let owner = aws::ExpectedBucketOwner::of(&bucket);
        let config = aws_sdk_s3::config::Builder::from(&config).interceptor(owner).build();
        Self { client: Client::from_conf(config), bucket }
    }

    /// Whether the object that is there was written by this run.
    async fn is_ours(&self, key: &str, run: &str) -> Result<bool, Fault> {
        let head = self.client.head_object().bucket(&self.bucket).key(key).send().await;
        match head {
            Ok(head) => Ok(head
                .metadata
                .is_some_and(|metadata| metadata.get(RUN).is_some_and(|r| r == run))),
            Err(error) if error.as_service_error().is_some_and(|e| e.is_not_found()) => Ok(false),
            Err(error) => Err(aws::fault(&self.doing("look at", key), error)),
        }
    }

    async fn existing(&self, key: &str, run: &str) -> Result<Put, Fault> {
        Ok(if self.is_ours(key, run).await? { Put::Written } else { Put::Exists })
    }

    fn doing(&self, verb: &str, key: &str) -> String {
        format!("{verb} s3://{}/{key}", self.bucket)
    }
}

/// Limits for a call that carries `len` bytes.
fn limits(len: u64) -> aws_sdk_s3::config::Builder {
    let attempt = ATTEMPT + Duration::from_secs(len / SLOWEST);
    within(attempt, attempt * ATTEMPTS)
}

/// For one attempt, and for the call with its retries.
fn within(attempt: Duration, total: Duration) -> aws_sdk_s3::config::Builder {
    let limits = TimeoutConfig::builder()
        .read_timeout(attempt)
        .operation_attempt_timeout(attempt)
        .operation_timeout(total)
        .build();
    aws_sdk_s3::config::Builder::new().timeout_config(limits)
}

impl ObjectStore for S3 {
    async fn get(&self, key: &str, range: Option<Range<u64>>) -> Result<Option<Bytes>, Fault> {
        let mut tries = 1;
        loop {
            let wanted = range.as_ref().map(|range| range.end - range.start);
            let request = self
                .client
                .get_object()
                .bucket(&self.bucket)
                .key(key)
                // The bytes end at `end`, the header names the last one.
                .set_range(range.as_ref().map(|r| format!("bytes={}-{}", r.start, r.end - 1)))
                .customize()
                .config_override(limits(wanted.unwrap_or(0)));
            let answer = match request.send().await {
                Ok(answer) => answer,
                Err(error) if error.as_service_error().is_some_and(|e| e.is_no_such_key()) => {
                    return Ok(None);
                }
                // The object is shorter than its manifest says: no bytes in this range.
                Err(error) if error.code() == Some("InvalidRange") => {
                    return Ok(Some(Bytes::new()));
                }
                Err(error) => return Err(aws::fault(&self.doing("read", key), error)),
            };
            // The SDK's retries end with the head of the answer.
            let limit = ATTEMPT + Duration::from_secs(wanted.unwrap_or(0) / SLOWEST);
            let why = match tokio::time::timeout(limit, answer.body.collect()).await {
                Ok(Ok(body)) => return Ok(Some(body.into_bytes())),
                Ok(Err(error)) => error.to_string(),
                Err(_) => "no content in time".to_owned(),
            };
            if tries == ATTEMPTS {
                return Err(Fault::transient(format!("{} failed: {why}", self.doing("read", key))));
            }
            tries += 1;
        }
    }

    async fn size(&self, key: &str) -> Result<Option<u64>, Fault> {
        let head = self.client.head_object().bucket(&self.bucket).key(key).send().await;
        match head {
            Ok(head) => Ok(head.content_length.and_then(|size| u64::try_from(size).ok())),
            Err(error) if error.as_service_error().is_some_and(|e| e.is_not_found()) => Ok(None),
            Err(error) => Err(aws::fault(&self.doing("look at", key), error)),
        }
    }

    async fn any_below(&self, prefix: &str) -> Result<bool, Fault> {
        let request = self.client.list_objects_v2().bucket(&self.bucket).prefix(prefix).max_keys(1);
        let answer = request.send().await;
        answer
            .map(|answer| answer.contents.is_some_and(|contents| !contents.is_empty()))
            .map_err(|error| aws::fault(&self.doing("list", prefix), error))
    }

    async fn keys(&self, prefix: &str, after: &str) -> Result<Vec<String>, Fault> {
        let request = self.client.list_objects_v2().bucket(&self.bucket).prefix(prefix);
        let mut pages = request.start_after(after).into_paginator().send();
        let mut keys = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| aws::fault(&self.doing("list", prefix), error))?;
            keys.extend(page.contents.into_iter().flatten().filter_map(|object| object.key));
        }
        Ok(keys)
    }

    async fn put(&self, key: &str, body: Bytes, run: &str) -> Result<Put, Fault> {
        let len = body.len() as u64;
        let request = self
            .client
            .put_object()
            .bucket(&self.bucket)
            .key(key)
            .metadata(RUN, run)
            .checksum_sha256(base64::encode(Sha256::digest(&body)))
            .if_none_match("*")
            .body(ByteStream::from(body))
            .customize()
            .config_override(limits(len));
        match request.send().await {
            Ok(_) => Ok(Put::Written),
            Err(error) if error.code() == Some("PreconditionFailed") => {
                self.existing(key, run).await
            }
            Err(error) => Err(aws::fault(&self.doing("write", key), error)),
        }
    }

    async fn begin(&self, key: &str, run: &str) -> Result<String, Fault> {
        let doing = self.doing("begin to write", key);
        let request = self
            .client
            .create_multipart_upload()
            .bucket(&self.bucket)
            .key(key)
            .metadata(RUN, run)
            .checksum_algorithm(ChecksumAlgorithm::Sha256);
        let answer = request.send().await.map_err(|error| aws::fault(&doing, error))?;
        let upload = answer.upload_id.filter(|upload| !upload.is_empty());
        upload.ok_or_else(|| Fault::transient(format!("{doing} failed: the upload has no name")))
    }

    async fn part(
        &self,
        key: &str,
        upload: &str,
        number: i32,
        body: Bytes,
        sha256: [u8; 32],
    ) -> Result<Part, Fault> {
        let doing = || format!("{} (part {number})", self.doing("write", key));
        let len = body.len() as u64;
        let request = self
            .client
            .upload_part()
            .bucket(&self.bucket)
            .key(key)
            .upload_id(upload)
            .part_number(number)
            .checksum_sha256(base64::encode(sha256))
            .body(ByteStream::from(body))
            .customize()
            // The checksum above covers the bytes: the signature need not hash them again.
            .disable_payload_signing()
            .config_override(limits(len));
        let answer = request.send().await.map_err(|error| aws::fault(&doing(), error))?;
        let etag = answer
            .e_tag
            .ok_or_else(|| Fault::transient(format!("{} failed: the part has no ETag", doing())))?;
        Ok(Part { number, etag, sha256 })
    }

    async fn complete(
        &self,
        key: &str,
        upload: &str,
        parts: &[Part],
        run: &str,
    ) -> Result<Put, Fault> {
        let completed = parts.iter().map(|part| {
            CompletedPart::builder()
                .part_number(part.number)
                .e_tag(&part.etag)
                .checksum_sha256(base64::encode(part.sha256))
                .build()
        });
        let completed =
            CompletedMultipartUpload::builder().set_parts(Some(completed.collect())).build();
        let request = self
            .client
            .complete_multipart_upload()
            .bucket(&self.bucket)
            .key(key)
            .upload_id(upload)
            .multipart_upload(completed)
            .if_none_match("*")
            .customize()
            // Whoever asks again after the longest wait finds the work done, or never will.
            .config_override(within(COMPLETE, COMPLETE + OPERATION));
        match request.send().await {
            Ok(_) => Ok(Put::Written),
            // The answer to an earlier attempt may have been lost: then the upload is gone and the
            // object is there.
            Err(error) if error.code() == Some("PreconditionFailed") => {
                self.existing(key, run).await
            }
            Err(error) if error.code() == Some("NoSuchUpload") => {
                match self.existing(key, run).await? {
                    Put::Written => Ok(Put::Written),
                    Put::Exists => Err(aws::fault(&self.doing("complete", key), error)),
                }
            }
            Err(error) => {
                let fault = aws::fault(&self.doing("complete", key), error);
                // No answer may be the answer to what was done.
                let may_be_done = fault.name == ErrorName::Transient;
                if may_be_done && self.is_ours(key, run).await? {
                    return Ok(Put::Written);
                }
                Err(fault)
            }
        }
    }

    async fn abort(&self, key: &str, upload: &str) -> Result<(), Fault> {
        let request =
            self.client.abort_multipart_upload().bucket(&self.bucket).key(key).upload_id(upload);
        match request.send().await {
            Ok(_) => Ok(()),
            Err(error) if error.code() == Some("NoSuchUpload") => Ok(()),
            Err(error) => Err(aws::fault(&self.doing("give up", key), error)),
        }
    }
}

#[cfg(test)]
mod tests;
