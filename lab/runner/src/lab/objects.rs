//! Objects in S3, as the account's root sees them: to look at what is there, and to do the harm that
//! a drill is about.

use reqwest::Method;

use super::{Aws, LabError, aws::between};

/// The account of the lab.
const ACCOUNT: &str = "000000000000";

/// The bucket that holds a region's backups.
#[must_use]
pub fn backup_bucket(region: &str) -> String {
    format!("lifeboat-backups-{ACCOUNT}-{region}")
}

impl Aws {
    /// The keys under a prefix, in order.
    ///
    /// # Errors
    /// What S3 answered.
    pub async fn keys(
        &self,
        region: &str,
        bucket: &str,
        prefix: &str,
    ) -> Result<Vec<String>, LabError> {
        let mut keys: Vec<String> = Vec::new();
        loop {
            let after = keys.last().map(|key| format!("&start-after={key}")).unwrap_or_default();
            let path = format!("/{bucket}?list-type=2&prefix={prefix}{after}");
            let page = self.rest(Method::GET, region, "s3", &path, String::new()).await?;
            keys.extend(all_between(&page, "<Key>", "</Key>"));
            if between(&page, "<IsTruncated>", "<").as_deref() != Some("true") {
                return Ok(keys);
            }
        }
    }

    /// An object's bytes.
    ///
    /// # Errors
    /// What S3 answered.
    pub async fn object(&self, region: &str, bucket: &str, key: &str) -> Result<Vec<u8>, LabError> {
        let path = format!("/{bucket}/{key}");
        let answer = self.bytes(Method::GET, region, &path, &[], Vec::new()).await?;
        Ok(answer.to_vec())
    }

    /// Writes an object, over the one that is there: as a new version of it.
    ///
    /// # Errors
    /// What S3 answered.
    pub async fn put_object(
        &self,
        region: &str,
        bucket: &str,
        key: &str,
        bytes: Vec<u8>,
        headers: &[(&str, &str)],
    ) -> Result<(), LabError> {
        let path = format!("/{bucket}/{key}");
        self.bytes(Method::PUT, region, &path, headers, bytes).await.map(|_| ())
    }

    /// The versions under a prefix: key and version id.
    ///
    /// # Errors
    /// What S3 answered.
    pub async fn versions(
        &self,
        region: &str,
        bucket: &str,
        prefix: &str,
    ) -> Result<Vec<(String, String)>, LabError> {
        let path = format!("/{bucket}?versions&prefix={prefix}");
        let page = self.rest(Method::GET, region, "s3", &path, String::new()).await?;
        let keys = all_between(&page, "<Key>", "</Key>");
        Ok(keys.into_iter().zip(all_between(&page, "<VersionId>", "</VersionId>")).collect())
    }
}

fn all_between(text: &str, start: &str, end: &str) -> Vec<String> {
    let parts = text.split(start).skip(1);
    parts.filter_map(|part| Some(part.split_once(end)?.0.to_owned())).collect()
}
