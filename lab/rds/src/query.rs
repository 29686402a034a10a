//! Reads a request of the query protocol, and answers its errors.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::xml::Element;

/// The namespace of every answer.
pub(crate) const NAMESPACE: &str = "http://rds.amazonaws.com/doc/2014-10-31/";
/// The only version that exists since 2014.
pub(crate) const VERSION: &str = "2014-10-31";

/// An error as the API answers it: a code of the RDS model, an HTTP status and a sentence.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[error("{code}: {message}")]
pub(crate) struct ApiError {
    pub(crate) code: &'static str,
    pub(crate) status: u16,
    pub(crate) message: String,
}

impl ApiError {
    pub(crate) fn new(code: &'static str, status: u16, message: impl Into<String>) -> Self {
        Self { code, status, message: message.into() }
    }

    pub(crate) fn value(message: impl Into<String>) -> Self {
        Self::new("InvalidParameterValue", 400, message)
    }

    pub(crate) fn combination(message: impl Into<String>) -> Self {
        Self::new("InvalidParameterCombination", 400, message)
    }

    pub(crate) fn state(message: impl Into<String>) -> Self {
        Self::new("InvalidDBInstanceState", 400, message)
    }

    pub(crate) fn no_instance(id: &str) -> Self {
        Self::new("DBInstanceNotFound", 404, format!("DBInstance {id} not found."))
    }

    pub(crate) fn element(&self, request_id: &str) -> Element {
        let kind = if self.status >= 500 { "Receiver" } else { "Sender" };
        let error = Element::new("Error")
            .text("Type", kind)
            .text("Code", self.code)
            .text("Message", &self.message);
        Element::new("ErrorResponse")
            .attribute("xmlns", NAMESPACE)
            .child(error)
            .text("RequestId", request_id)
    }
}

/// A tag: key and value.
pub(crate) type Tag = (String, String);

/// A filter of a Describe call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Filter {
    pub(crate) name: String,
    pub(crate) values: Vec<String>,
}

/// The parameters of one call.
#[derive(Debug, Clone, Default)]
pub(crate) struct Params(BTreeMap<String, String>);

impl Params {
    /// Decodes a form (the body, or the query string).
    pub(crate) fn decode(form: &[u8]) -> Self {
        Self(form_urlencoded::parse(form).into_owned().collect())
    }

    /// The value, if it is there and not empty.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The value of a parameter that must be there.
    pub(crate) fn need(&self, name: &str) -> Result<&str, ApiError> {
        self.get(name).ok_or_else(|| {
            ApiError::new(
                "MissingParameter",
                400,
                format!("The request must contain the parameter {name}."),
            )
        })
    }

    /// A number within bounds.
    pub(crate) fn number(&self, name: &str, low: u32, high: u32) -> Result<Option<u32>, ApiError> {
        let Some(text) = self.get(name) else { return Ok(None) };
        match text.parse() {
            Ok(number) if (low..=high).contains(&number) => Ok(Some(number)),
            Ok(_) | Err(_) => Err(ApiError::value(format!(
                "Invalid value {text} for {name}: it must be between {low} and {high}."
            ))),
        }
    }

    /// A boolean.
    pub(crate) fn flag(&self, name: &str) -> Result<Option<bool>, ApiError> {
        match self.get(name) {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(text) => Err(ApiError::new(
                "MalformedInput",
                400,
                format!("{name} must be true or false, not {text}."),
            )),
        }
    }

    /// A time.
    pub(crate) fn time(&self, name: &str) -> Result<Option<Timestamp>, ApiError> {
        let Some(text) = self.get(name) else { return Ok(None) };
        text.parse().map(Some).map_err(|_| {
            ApiError::value(format!(
                "Invalid value {text} for {name}: it must be an ISO 8601 time."
            ))
        })
    }

    /// The indices of a list's members in order. A member's key is `List.Member.N` (what the model
    /// says) or `List.member.N` (what generic clients of the protocol send).
    fn indices(&self, list: &str, member: &str) -> Vec<(u32, String)> {
        let mut found = BTreeMap::new();
        for key in self.0.keys() {
            let Some(rest) = key.strip_prefix(list).and_then(|rest| rest.strip_prefix('.')) else {
                continue;
            };
            let Some(rest) = rest.strip_prefix(member).or_else(|| rest.strip_prefix("member"))
            else {
                continue;
            };
            let Some(rest) = rest.strip_prefix('.') else { continue };
            let digits = rest.split('.').next().unwrap_or_default();
            if let (Ok(index), Some(prefix)) =
                (digits.parse::<u32>(), key.get(..key.len() - rest.len() + digits.len()))
            {
                found.entry(index).or_insert_with(|| prefix.to_owned());
            }
        }
        found.into_iter().collect()
    }

    /// The plain values of a list.
    pub(crate) fn list(&self, list: &str, member: &str) -> Vec<String> {
        self.indices(list, member).iter().filter_map(|(_, key)| self.0.get(key).cloned()).collect()
    }

    /// The members of a list of structures, each with the given fields where present.
    pub(crate) fn structures<const N: usize>(
        &self,
        list: &str,
        member: &str,
        fields: [&str; N],
    ) -> Vec<[Option<String>; N]> {
        let keys = self.indices(list, member);
        keys.iter()
            .map(|(_, key)| fields.map(|field| self.0.get(&format!("{key}.{field}")).cloned()))
            .collect()
    }

    /// The tags under `Tags`.
    pub(crate) fn tags(&self) -> Vec<Tag> {
        let tags = self.structures("Tags", "Tag", ["Key", "Value"]);
        tags.into_iter()
            .filter_map(|[key, value]| Some((key?, value.unwrap_or_default())))
            .collect()
    }

    /// The filters under `Filters`; one with a name outside of `known` is refused, as on AWS.
    pub(crate) fn filters(&self, known: &[&str]) -> Result<Vec<Filter>, ApiError> {
        let mut filters = Vec::new();
        for (_, key) in self.indices("Filters", "Filter") {
            let name = self.0.get(&format!("{key}.Name")).cloned().unwrap_or_default();
            if !known.contains(&name.as_str()) {
                return Err(ApiError::value(format!("Unrecognized filter name: {name}")));
            }
            filters.push(Filter { name, values: self.list(&format!("{key}.Values"), "Value") });
        }
        Ok(filters)
    }

    /// Refuses parameters that the lab would ignore although a caller relies on them: a silent lie
    /// is worse than an error. `known` have an effect; `harmless` describe hardware that the lab
    /// does not have.
    pub(crate) fn only(&self, known: &[&str], harmless: &[&str]) -> Result<(), ApiError> {
        let names: BTreeSet<&str> =
            self.0.keys().map(|key| key.split('.').next().unwrap_or(key)).collect();
        let outside =
            |name: &&str| !known.contains(name) && !harmless.contains(name) && !is_protocol(name);
        match names.into_iter().find(outside) {
            Some(name) => Err(ApiError::combination(format!(
                "The parameter {name} is not supported by this lab."
            ))),
            None => Ok(()),
        }
    }
}

/// Parameters of the protocol itself, or of a presigned URL.
fn is_protocol(name: &str) -> bool {
    matches!(name, "Action" | "Version") || name.starts_with("X-Amz-")
}

/// The region in the credential scope of a SigV4 `Authorization` header or a presigned query.
pub(crate) fn signed_region(authorization: Option<&str>, params: &Params) -> Option<String> {
    let scope = match authorization {
        Some(header) => header.split("Credential=").nth(1)?.split(',').next()?,
        None => params.get("X-Amz-Credential")?,
    };
    scope.split('/').nth(2).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_filters_and_tags_are_read_in_order() {
        let params = Params::decode(
            b"Filters.Filter.1.Name=engine&Filters.Filter.1.Values.Value.1=postgres&Tags.Tag.2.Key=b&Tags.Tag.2.Value=2\
              &Tags.Tag.1.Key=a&TagKeys.member.10=y&TagKeys.member.9=x",
        );
        assert_eq!(
            params.tags(),
            [("a".to_owned(), String::new()), ("b".to_owned(), "2".to_owned())]
        );
        assert_eq!(params.list("TagKeys", "TagKey"), ["x", "y"]);
        let filters = params.filters(&["engine"]).unwrap();
        assert_eq!(
            filters,
            [Filter { name: "engine".to_owned(), values: vec!["postgres".to_owned()] }]
        );
        assert_eq!(params.filters(&["domain"]).unwrap_err().code, "InvalidParameterValue");
    }

    #[test]
    fn the_region_comes_from_the_credential_scope() {
        let header = "AWS4-HMAC-SHA256 Credential=test/20261123/us-west-2/rds/aws4_request, SignedHeaders=host, Signature=0";
        assert_eq!(signed_region(Some(header), &Params::default()).as_deref(), Some("us-west-2"));
        let query =
            Params::decode(b"X-Amz-Credential=test%2F20261123%2Fus-east-1%2Frds%2Faws4_request");
        assert_eq!(signed_region(None, &query).as_deref(), Some("us-east-1"));
        assert_eq!(signed_region(None, &Params::default()), None);
    }

    #[test]
    fn numbers_flags_and_unknown_names_are_refused_by_name() {
        let params = Params::decode(b"N=36&B=yes&Iops=3");
        assert!(params.number("N", 0, 35).unwrap_err().message.contains("between 0 and 35"));
        assert_eq!(params.flag("B").unwrap_err().code, "MalformedInput");
        assert!(params.only(&["N", "B"], &[]).unwrap_err().message.contains("Iops"));
        assert!(params.only(&["N", "B"], &["Iops"]).is_ok());
    }
}
