//! The store on S3.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use aws_config::SdkConfig;
use aws_sdk_s3::{
    Client,
    config::Builder,
    error::{ProvideErrorMetadata, SdkError},
    primitives::ByteStream,
};
use lifeboat_core::{Fault, Region, round_trip::RoundTrip};
use lifeboat_runtime::aws;

use crate::store::{Bucket, Condition, ETag, Object, Put, Store};

/// How long the content of an object, a few kilobytes, may take after its head has arrived.
const BODY_DEADLINE: Duration = Duration::from_secs(2);

/// The longest that a call to another region may ever take; the ledger's own limits are within it.
const LONGEST: Duration = RoundTrip::from_ms(RoundTrip::LONGEST_MS).cold_call();

/// The object store of every region, with short limits for all but the own.
#[derive(Debug)]
pub struct S3Store {
    config: SdkConfig,
    own: Region,
    clients: Mutex<BTreeMap<Bucket, Client>>,
}

impl S3Store {
    /// The store for a function that runs in `own`.
    #[must_use]
    pub fn new(config: &SdkConfig, own: Region) -> Self {
        Self { config: config.clone(), own, clients: Mutex::default() }
    }

    fn client(&self, bucket: &Bucket) -> Client {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        clients
            .entry(bucket.clone())
            .or_insert_with(|| {
                let config = aws::in_region(&self.config, bucket.region.as_str());
                let config = if bucket.region == self.own {
                    config
                } else {
                    aws::with_limits(&config, LONGEST, LONGEST, 1)
                };
                let owner = aws::ExpectedBucketOwner::of(&bucket.name);
                Client::from_conf(Builder::from(&config).interceptor(owner).build())
            })
            .clone()
    }
}

impl Store for S3Store {
    async fn get(&self, bucket: &Bucket, key: &str) -> Result<Option<Object>, Fault> {
        let doing = || format!("read s3://{}/{key}", bucket.name);
        let answer = self.client(bucket).get_object().bucket(&bucket.name).key(key).send().await;
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) if error.as_service_error().is_some_and(|e| e.is_no_such_key()) => {
                return Ok(None);
            }
            Err(error) => return Err(aws::fault(&doing(), error)),
        };
        let etag = ETag(answer.e_tag.unwrap_or_default());
        let body = tokio::time::timeout(BODY_DEADLINE, answer.body.collect())
            .await
            .map_err(|_| Fault::transient(format!("{} failed: no content in time", doing())))?
            .map_err(|error| Fault::transient(format!("{} failed: {error}", doing())))?;
        Ok(Some(Object { body: body.to_vec(), etag }))
    }

    async fn put(
        &self,
        bucket: &Bucket,
        key: &str,
        body: Vec<u8>,
        condition: &Condition,
    ) -> Result<Put, Fault> {
        let request = self
            .client(bucket)
            .put_object()
            .bucket(&bucket.name)
            .key(key)
            .content_type("application/json")
            .body(ByteStream::from(body));
        let request = match condition {
            Condition::Absent => request.if_none_match("*"),
            Condition::Unchanged(etag) => request.if_match(&etag.0),
        };
        match request.send().await {
            Ok(answer) => Ok(Put::Written(ETag(answer.e_tag.unwrap_or_default()))),
            Err(error) if refused(&error) => Ok(Put::Refused),
            Err(error) => Err(aws::fault(&format!("write s3://{}/{key}", bucket.name), error)),
        }
    }

    async fn list(&self, bucket: &Bucket, prefix: &str) -> Result<Vec<String>, Fault> {
        let mut pages = self
            .client(bucket)
            .list_objects_v2()
            .bucket(&bucket.name)
            .prefix(prefix)
            .into_paginator()
            .send();
        let mut keys = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| {
                aws::fault(&format!("list s3://{}/{prefix}", bucket.name), error)
            })?;
            keys.extend(page.contents.into_iter().flatten().filter_map(|object| object.key));
        }
        keys.sort_unstable();
        Ok(keys)
    }
}

/// Whether S3 says that the condition of a write does not hold: 412, and for `If-Match` on an
/// object that was deleted, 404 (S3 user guide, "How to prevent object overwrites").
fn refused<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> bool {
    let code = error.as_service_error().and_then(ProvideErrorMetadata::code);
    matches!(code, Some("PreconditionFailed" | "NoSuchKey"))
}

#[cfg(test)]
mod tests;
