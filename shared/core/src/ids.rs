//! Names that are checked once, at the edge, so that nothing behind it has to check again.
//!
//! Every one of them ends up in a parameter path, an object key, a metric dimension or a shell
//! environment; the patterns are the narrowest of what those places allow.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A name that breaks its rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{value}` is not {kind}: {rule}")]
pub struct NameError {
    kind: &'static str,
    rule: &'static str,
    value: String,
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $rule:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(
            Debug,
            Clone,
            PartialEq,
            Eq,
            Hash,
            PartialOrd,
            Ord,
            Serialize,
            Deserialize,
            schemars::JsonSchema,
        )]
        #[serde(try_from = "String", into = "String")]
        #[schemars(extend("description" = $rule))]
        pub struct $name(String);

        impl $name {
            /// The name, when `value` follows the rule.
            ///
            /// # Errors
            /// [`NameError`] with the rule; the caller shows it to whoever wrote the value.
            pub fn new(value: impl Into<String>) -> Result<Self, NameError> {
                let value = value.into();
                let check: fn(&str) -> bool = $check;
                if check(&value) {
                    Ok(Self(value))
                } else {
                    Err(NameError { kind: $kind, rule: $rule, value })
                }
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;
            fn try_from(value: String) -> Result<Self, NameError> {
                Self::new(value)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = NameError;
            fn from_str(value: &str) -> Result<Self, NameError> {
                Self::new(value)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

/// Two hyphens in a row are left to whoever joins two names; and RDS and ElastiCache take them in no
/// identifier, which the snapshots' and the instances' are made of (RDS API reference,
/// `CreateDBSnapshot`; ElastiCache API reference, `CreateSnapshot`).
fn slug(value: &str, max: usize) -> bool {
    value.len() <= max
        && value.starts_with(|c: char| c.is_ascii_lowercase())
        && !value.ends_with('-')
        && !value.contains("--")
        && value.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

name!(
    /// The name of a protected system; part of every key that Lifeboat writes.
    AppName,
    "an app name",
    "2 to 31 of a-z, 0-9 and single -, beginning with a letter and not ending with -",
    |value| value.len() >= 2 && slug(value, 31)
);
name!(
    /// The name of a site (the system's deployment in one region).
    SiteName,
    "a site name",
    "1 to 16 of a-z, 0-9 and single -, beginning with a letter and not ending with -",
    |value| !value.is_empty() && slug(value, 16)
);
name!(
    /// An AWS region, such as `eu-central-1`.
    Region,
    "a region",
    "letters, a direction and a number, such as eu-central-1",
    |value| slug(value, 25)
        && value.matches('-').count() >= 2
        && value.ends_with(|c: char| c.is_ascii_digit())
);
name!(
    /// One recovery: also the name of its Step Functions execution, so that starting twice is once.
    IncidentId,
    "an incident id",
    "1 to 80 of A-Z, a-z, 0-9, - and _",
    |value| (1..=80).contains(&value.len())
        && value.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
);

/// The fencing number: grows by one when a recovery is opened, and never resets.
///
/// A site whose epoch is older than the ledger's must not serve a write.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, Default,
)]
#[serde(transparent)]
pub struct Epoch(pub u64);

impl Epoch {
    /// The epoch after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_refuse_what_a_path_or_a_shell_could_misread() {
        for bad in
            ["", "q", "Queue", "queue/../x", "queue app", "-queue", "queue-", "a;b", "1app", "a--b"]
        {
            assert!(AppName::new(bad).is_err(), "{bad}");
        }
        assert!(SiteName::new("a--b").is_err());
        for good in ["queue", "queue-2", "ab"] {
            assert!(AppName::new(good).is_ok(), "{good}");
        }
        assert!(Region::new("eu-central-1").is_ok());
        assert!(Region::new("eu").is_err());
        assert!(IncidentId::new("queue-e2_x").is_ok());
        assert!(IncidentId::new("a b").is_err());
    }

    #[test]
    fn a_bad_name_in_json_is_an_error_that_names_the_rule() {
        let error = serde_json::from_str::<SiteName>("\"A\"").unwrap_err().to_string();
        assert!(error.contains("a site name"), "{error}");
    }
}
