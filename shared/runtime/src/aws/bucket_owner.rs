//! The owner that a bucket must have before anything is read from it or written into it.
//!
//! A bucket's name can be guessed and taken by another account before it is created, or after it was
//! deleted. Every request to S3 therefore says whose bucket it means, and S3 answers 403 when it is
//! another's (S3 user guide, "Verifying bucket ownership with bucket owner condition").

use aws_smithy_runtime_api::{
    box_error::BoxError,
    client::{
        interceptors::{
            Intercept,
            context::{
                BeforeSerializationInterceptorContextRef, BeforeTransmitInterceptorContextMut,
            },
        },
        runtime_components::RuntimeComponents,
    },
};
use aws_smithy_types::config_bag::ConfigBag;
use lifeboat_core::bucket;

/// The header of the condition, which every operation on a bucket or an object takes but
/// `CreateBucket`, which is never called here.
const HEADER: &str = "x-amz-expected-bucket-owner";

/// Puts the expected owner into every request of an S3 client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpectedBucketOwner(Expected);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Expected {
    Account(String),
    Anyone,
    /// The name of a bucket that tells no account.
    Unknown(String),
}

impl ExpectedBucketOwner {
    /// For the bucket of this name: the account in it. With a name that has none, which no bucket of
    /// Lifeboat's has, every request fails before it is sent.
    #[must_use]
    pub fn of(bucket: &str) -> Self {
        Self(bucket::owner(bucket).map_or_else(
            || Expected::Unknown(bucket.to_owned()),
            |account| Expected::Account(account.to_owned()),
        ))
    }

    /// For a bucket that an operator names to look at: the account in its name, and anyone when
    /// there is none.
    #[must_use]
    pub fn if_told(bucket: &str) -> Self {
        match Self::of(bucket) {
            Self(Expected::Unknown(_)) => Self(Expected::Anyone),
            known => known,
        }
    }
}

impl Intercept for ExpectedBucketOwner {
    fn name(&self) -> &'static str {
        "ExpectedBucketOwner"
    }

    // Here, because a failure of the hook below counts as one of the way to S3, which passes by itself.
    fn read_before_execution(
        &self,
        _: &BeforeSerializationInterceptorContextRef<'_>,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        match &self.0 {
            Expected::Account(_) | Expected::Anyone => Ok(()),
            Expected::Unknown(bucket) => Err(format!(
                "bucket {bucket} has no account in its name, so that its owner cannot be checked; \
                 Lifeboat's are called lifeboat-KIND-ACCOUNT-REGION"
            )
            .into()),
        }
    }

    fn modify_before_signing(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Expected::Account(account) = &self.0 {
            context.request_mut().headers_mut().try_insert(HEADER, account.clone())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whoever_is_told_to_look_reads_a_bucket_without_an_account_in_its_name() {
        let ours = "lifeboat-backups-123456789012-us-east-1";
        let account = ExpectedBucketOwner(Expected::Account("123456789012".into()));
        assert_eq!(ExpectedBucketOwner::of(ours), account);
        assert_eq!(ExpectedBucketOwner::if_told(ours), account);
        let other = "archive-of-2026";
        assert_eq!(ExpectedBucketOwner::of(other).0, Expected::Unknown(other.into()));
        assert_eq!(ExpectedBucketOwner::if_told(other).0, Expected::Anyone);
    }
}
