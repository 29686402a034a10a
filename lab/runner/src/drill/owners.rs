//! Whether the product says of every bucket whose it has to be.

use serde_json::Value;

use super::evidence::invariant;
use crate::{lab::Lab, report::InvariantResult};

/// How the SDK that all of the product calls with names itself. The lab's own calls are made without.
const PRODUCT: &str = "aws-sdk-rust/";
/// The owner of every bucket of the lab.
const ACCOUNT: &str = "000000000000";

impl Lab {
    /// Every call to S3 of a function, a host or the operator's command carried the owner that its
    /// bucket must have.
    pub(super) fn bucket_owners_named(&self) -> InvariantResult {
        let calls = std::fs::read_to_string(self.home.join("calls.jsonl")).unwrap_or_default();
        let (asked, without) = judge(&calls);
        let evidence = if without.is_empty() {
            format!("{asked} calls to S3, each with the owner that its bucket must have")
        } else {
            format!("of {asked} calls to S3 without the owner: {}", without.join(", "))
        };
        invariant("bucket-owners-named", asked > 0 && without.is_empty(), evidence)
    }
}

/// The product's calls to S3 in a call log, and those of them that any bucket would have answered.
fn judge(calls: &str) -> (usize, Vec<String>) {
    let (mut asked, mut without) = (0, Vec::new());
    for call in calls.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
        let text = |name: &str| call.get(name).and_then(Value::as_str).unwrap_or_default();
        if text("service") != "s3" || !text("agent").starts_with(PRODUCT) {
            continue;
        }
        asked += 1;
        if text("expected_bucket_owner") != ACCOUNT {
            without.push(format!("{} {}", text("operation"), text("resource")));
        }
    }
    (asked, without)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_of_the_product_without_an_owner_is_named() {
        let call = |agent: &str, owner: &str| {
            format!(
                r#"{{"service":"s3","operation":"PutObject","resource":"b/k","agent":"{agent}"{owner}}}"#
            )
        };
        let owner = r#","expected_bucket_owner":"000000000000""#;
        let sound = [call("aws-sdk-rust/1.3.9", owner), call("aws-cli/1.46", "")].join("\n");
        assert_eq!(judge(&sound), (1, Vec::new()));
        let other = r#","expected_bucket_owner":"111122223333""#;
        for owner in ["", other] {
            let calls = [call("aws-sdk-rust/1.3.9", owner), sound.clone()].join("\n");
            assert_eq!(judge(&calls), (2, vec!["PutObject b/k".to_owned()]));
        }
    }
}
