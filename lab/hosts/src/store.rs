//! The documents of every region, with their versions.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::clock::wire;
use crate::document::{Document, parse, parse_value};
use crate::error::ApiError;

/// AWS keeps at most this many versions of a document (service quotas of Systems Manager).
const MAX_VERSIONS: usize = 1000;

/// One version of a document.
#[derive(Debug, Clone)]
pub(crate) struct Version {
    pub(crate) number: u64,
    pub(crate) name: Option<String>,
    pub(crate) created: Timestamp,
    pub(crate) format: String,
    pub(crate) content: String,
    pub(crate) document: Document,
}

impl Version {
    /// SHA-256 of the content, in hexadecimal.
    pub(crate) fn hash(&self) -> String {
        use std::fmt::Write as _;
        Sha256::digest(self.content.as_bytes()).iter().fold(String::new(), |mut text, byte| {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
    }
}

/// A document and its versions, oldest first.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) name: String,
    pub(crate) versions: Vec<Version>,
    pub(crate) default: u64,
    pub(crate) tags: Value,
}

/// All documents, by region and name.
#[derive(Debug, Default)]
pub(crate) struct DocumentStore {
    documents: BTreeMap<(String, String), Stored>,
}

/// What a document is created or updated from.
#[derive(Debug)]
pub(crate) struct NewVersion<'a> {
    pub(crate) content: &'a str,
    pub(crate) format: &'a str,
    pub(crate) version_name: Option<&'a str>,
    pub(crate) now: Timestamp,
}

impl NewVersion<'_> {
    fn build(&self, number: u64) -> Result<Version, ApiError> {
        Ok(Version {
            number,
            name: self.version_name.map(str::to_owned),
            created: self.now,
            format: self.format.to_owned(),
            content: self.content.to_owned(),
            document: parse(self.content, self.format)?,
        })
    }
}

fn missing(name: &str) -> ApiError {
    ApiError::new("InvalidDocument", format!("document {name} does not exist in this region"))
}

/// The name in a document's name or ARN (`arn:aws:ssm:<region>:<account>:document/<name>`).
pub(crate) fn plain_name(name_or_arn: &str) -> &str {
    match name_or_arn.strip_prefix("arn:") {
        Some(_) => name_or_arn.split_once(":document/").map_or(name_or_arn, |(_, name)| name),
        None => name_or_arn,
    }
}

impl Stored {
    fn latest(&self) -> Result<&Version, ApiError> {
        self.versions.last().ok_or_else(|| missing(&self.name))
    }

    /// The version that a request names: a number, `$LATEST`, `$DEFAULT` or nothing (the default).
    pub(crate) fn version(&self, wanted: Option<&str>) -> Result<&Version, ApiError> {
        let number = match wanted {
            None | Some("$DEFAULT" | "") => self.default,
            Some("$LATEST") => return self.latest(),
            Some(text) => text.parse().unwrap_or(0),
        };
        self.versions.iter().find(|version| version.number == number).ok_or_else(|| {
            ApiError::new(
                "InvalidDocumentVersion",
                format!("document {} has no version {}", self.name, wanted.unwrap_or("$DEFAULT")),
            )
        })
    }

    /// The `DocumentDescription` of the API for one version.
    pub(crate) fn describe(&self, version: &Version, status: &str, account: &str) -> Value {
        let parameters: Vec<Value> = version
            .document
            .parameters
            .iter()
            .map(|(name, spec)| {
                let mut parameter = json!({
                    "Name": name,
                    "Type": if spec.kind == crate::parameters::ParameterType::StringList { "StringList" } else { "String" },
                    "Description": spec.description,
                });
                if let (Some(object), Some(default)) = (parameter.as_object_mut(), &spec.default) {
                    let text = default.as_str().map_or_else(|| default.to_string(), str::to_owned);
                    object.insert("DefaultValue".to_owned(), Value::from(text));
                }
                parameter
            })
            .collect();
        let mut description = json!({
            "Hash": version.hash(),
            "HashType": "Sha256",
            "Name": self.name,
            "Owner": account,
            "CreatedDate": wire(version.created),
            "Status": status,
            "DocumentVersion": version.number.to_string(),
            "Description": version.document.description,
            "Parameters": parameters,
            "PlatformTypes": ["Linux", "MacOS"],
            "DocumentType": "Command",
            "SchemaVersion": version.document.schema_version,
            "LatestVersion": self.versions.last().map_or(version.number, |latest| latest.number).to_string(),
            "DefaultVersion": self.default.to_string(),
            "DocumentFormat": version.format,
            "Tags": self.tags,
        });
        if let (Some(object), Some(name)) = (description.as_object_mut(), &version.name) {
            object.insert("VersionName".to_owned(), Value::from(name.as_str()));
        }
        description
    }
}

impl DocumentStore {
    /// The document of this name or ARN in this region.
    pub(crate) fn get(&self, region: &str, name_or_arn: &str) -> Result<&Stored, ApiError> {
        let name = plain_name(name_or_arn);
        self.documents
            .get(&(region.to_owned(), name.to_owned()))
            .ok_or_else(|| missing(name_or_arn))
    }

    /// Every document of a region, by name.
    pub(crate) fn list(&self, region: &str) -> Vec<&Stored> {
        self.documents
            .iter()
            .filter(|((of, _), _)| of == region)
            .map(|(_, stored)| stored)
            .collect()
    }

    /// Adds a document as version 1.
    pub(crate) fn create(
        &mut self,
        region: &str,
        name: &str,
        new: &NewVersion<'_>,
        tags: Value,
    ) -> Result<&Stored, ApiError> {
        check_name(name)?;
        let key = (region.to_owned(), name.to_owned());
        if self.documents.contains_key(&key) {
            return Err(ApiError::new(
                "DocumentAlreadyExists",
                format!("document {name} exists already"),
            ));
        }
        let stored =
            Stored { name: name.to_owned(), versions: vec![new.build(1)?], default: 1, tags };
        Ok(self.documents.entry(key).or_insert(stored))
    }

    /// Adds a version, which is not the default until a request says so.
    pub(crate) fn update(
        &mut self,
        region: &str,
        name: &str,
        based_on: Option<&str>,
        new: &NewVersion<'_>,
    ) -> Result<&Stored, ApiError> {
        let key = (region.to_owned(), plain_name(name).to_owned());
        let stored = self.documents.get_mut(&key).ok_or_else(|| missing(name))?;
        let latest = stored.latest()?;
        let number = latest.number;
        if based_on.is_some_and(|wanted| wanted != "$LATEST" && wanted != number.to_string()) {
            return Err(ApiError::new(
                "InvalidDocumentVersion",
                format!("only the latest version, {number}, can be updated: use $LATEST"),
            ));
        }
        if latest.content == new.content && latest.format == new.format {
            return Err(ApiError::new(
                "DuplicateDocumentContent",
                format!("the content is the same as that of version {number}"),
            ));
        }
        if new
            .version_name
            .is_some_and(|name| stored.versions.iter().any(|v| v.name.as_deref() == Some(name)))
        {
            return Err(ApiError::new(
                "DuplicateDocumentVersionName",
                "the version name is used already",
            ));
        }
        if stored.versions.len() >= MAX_VERSIONS {
            return Err(ApiError::new(
                "DocumentVersionLimitExceeded",
                "the document has 1000 versions: delete some",
            ));
        }
        let version = new.build(number + 1)?;
        stored.versions.push(version);
        Ok(stored)
    }

    /// Makes a version the default.
    pub(crate) fn set_default(
        &mut self,
        region: &str,
        name: &str,
        version: &str,
    ) -> Result<u64, ApiError> {
        let key = (region.to_owned(), plain_name(name).to_owned());
        let stored = self.documents.get_mut(&key).ok_or_else(|| missing(name))?;
        let number = stored.version(Some(version))?.number;
        stored.default = number;
        Ok(number)
    }

    /// Deletes a document, or one version of it that is not the default.
    pub(crate) fn delete(
        &mut self,
        region: &str,
        name: &str,
        version: Option<&str>,
    ) -> Result<(), ApiError> {
        let key = (region.to_owned(), plain_name(name).to_owned());
        let stored = self.documents.get_mut(&key).ok_or_else(|| missing(name))?;
        match version {
            None => {
                self.documents.remove(&key);
            }
            Some(version) => {
                let number = stored.version(Some(version))?.number;
                if number == stored.default {
                    return Err(ApiError::new(
                        "InvalidDocumentOperation",
                        "the default version cannot be deleted: make another version the default first",
                    ));
                }
                stored.versions.retain(|version| version.number != number);
            }
        }
        Ok(())
    }
}

/// A document's content in the format that the caller asks for. YAML is returned as it came, or as JSON, which is YAML too.
pub(crate) fn content_as(
    version: &Version,
    format: Option<&str>,
) -> Result<(String, String), ApiError> {
    match format {
        Some("JSON") if version.format == "YAML" => {
            let value = parse_value(&version.content, "YAML")?;
            Ok((format!("{value:#}"), "JSON".to_owned()))
        }
        Some(other @ ("JSON" | "YAML")) => Ok((version.content.clone(), other.to_owned())),
        Some(other) => Err(ApiError::new(
            "ValidationException",
            format!("DocumentFormat {other} is not one of JSON, YAML"),
        )),
        None => Ok((version.content.clone(), version.format.clone())),
    }
}

/// Names as AWS allows them: 3 to 128 of `a-zA-Z0-9_-.`, and none of AWS's own prefixes.
fn check_name(name: &str) -> Result<(), ApiError> {
    let fits = (3..=128).contains(&name.len())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'));
    if !fits {
        return Err(ApiError::new(
            "ValidationException",
            format!("document name {name:?} does not match ^[a-zA-Z0-9_\\-.]{{3,128}}$"),
        ));
    }
    let lower = name.to_ascii_lowercase();
    if ["aws", "amazon", "amzn"].iter().any(|prefix| lower.starts_with(prefix)) {
        return Err(ApiError::new(
            "ValidationException",
            format!("document name {name}: the prefix is reserved by AWS"),
        ));
    }
    Ok(())
}
