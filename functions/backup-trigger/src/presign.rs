//! The signed request that lets RDS of another region read a snapshot of this one.
//!
//! A copy of an encrypted snapshot is asked for in the region that it goes to, with a second request
//! inside it, signed for the region that it comes from (API reference, `CopyDBSnapshot`,
//! `PreSignedUrl`). Other SDKs make it from `SourceRegion`; the Rust one leaves it to the caller.

use std::time::{Duration, UNIX_EPOCH};

use aws_credential_types::Credentials;
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign},
    sign::v4,
};
use jiff::Timestamp;
use lifeboat_core::Fault;

/// How long RDS may take to use it: what the other SDKs give it.
const VALID: Duration = Duration::from_secs(3600);
/// The version of RDS's API.
const VERSION: &str = "2014-10-31";

/// A copy to ask for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Copy<'a> {
    pub(crate) source_arn: &'a str,
    pub(crate) name: &'a str,
    pub(crate) kms_key: &'a str,
    pub(crate) from: &'a str,
    pub(crate) to: &'a str,
    /// Where RDS is, when not at its own address.
    pub(crate) endpoint: Option<&'a str>,
}

/// The signed URL.
pub(crate) fn url(
    copy: &Copy<'_>,
    credentials: Credentials,
    now: Timestamp,
) -> Result<String, Fault> {
    let fail = |error: &dyn std::fmt::Display| {
        Fault::needs_human(format!("the request for the snapshot's copy cannot be signed: {error}"))
    };
    let since = Duration::try_from(now.duration_since(Timestamp::UNIX_EPOCH))
        .map_err(|error| fail(&error))?;
    let host = copy
        .endpoint
        .map_or_else(|| format!("https://rds.{}.{}", copy.from, domain(copy.from)), str::to_owned);
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("Action", "CopyDBSnapshot")
        .append_pair("DestinationRegion", copy.to)
        .append_pair("KmsKeyId", copy.kms_key)
        .append_pair("SourceDBSnapshotIdentifier", copy.source_arn)
        .append_pair("TargetDBSnapshotIdentifier", copy.name)
        .append_pair("Version", VERSION)
        .finish();
    let base = format!("{}/?{query}", host.trim_end_matches('/'));
    let identity = credentials.into();
    let mut settings = SigningSettings::default();
    settings.signature_location = SignatureLocation::QueryParams;
    settings.expires_in = Some(VALID);
    let parameters = v4::SigningParams::builder()
        .identity(&identity)
        .region(copy.from)
        .name("rds")
        .time(UNIX_EPOCH + since)
        .settings(settings)
        .build()
        .map_err(|error| fail(&error))?
        .into();
    let request =
        SignableRequest::new("GET", base.as_str(), std::iter::empty(), SignableBody::Bytes(&[]))
            .map_err(|error| fail(&error))?;
    let (instructions, _) = sign(request, &parameters).map_err(|error| fail(&error))?.into_parts();
    let mut signature = form_urlencoded::Serializer::new(String::new());
    for (name, value) in instructions.params() {
        signature.append_pair(name, value);
    }
    Ok(format!("{base}&{}", signature.finish()))
}

/// The domain of a region's partition.
fn domain(region: &str) -> &'static str {
    if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_inside_is_for_the_region_that_the_snapshot_is_in() {
        let copy = Copy {
            source_arn: "arn:aws:rds:us-east-1:000000000000:snapshot:lifeboat-queue-1",
            name: "lifeboat-queue-1",
            kms_key: "alias/lifeboat-backups",
            from: "us-east-1",
            to: "us-west-2",
            endpoint: None,
        };
        let credentials = Credentials::new("key", "hunter2", Some("token".into()), None, "test");
        let now = "2026-11-24T12:00:00Z".parse().unwrap();
        let signed = url(&copy, credentials, now).unwrap();
        let (host, query) = signed.split_once("/?").unwrap();
        assert_eq!(host, "https://rds.us-east-1.amazonaws.com");
        let pairs: std::collections::BTreeMap<String, String> =
            form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        assert_eq!(pairs["DestinationRegion"], "us-west-2");
        assert_eq!(pairs["SourceDBSnapshotIdentifier"], copy.source_arn);
        assert_eq!(pairs["X-Amz-Credential"], "key/20261124/us-east-1/rds/aws4_request");
        assert_eq!(pairs["X-Amz-Expires"], "3600");
        assert_eq!(pairs["X-Amz-Security-Token"], "token");
        assert_eq!(pairs["X-Amz-Signature"].len(), 64);
        assert!(!signed.contains("hunter2"));
    }
}
