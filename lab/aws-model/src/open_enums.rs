//! Enumerations of the models that are open in AWS.
//!
//! A service takes what its own list has today, and a model's list is as old as the model. For most
//! that is no difference that matters: a value that the model does not have is a mistake, or a feature
//! younger than the lab's botocore, and then botocore is what to renew. Names of regions are different:
//! they are places, not features, and every one that exists is taken as soon as it does (S3,
//! "CreateBucketConfiguration"; Route 53, "AlarmIdentifier", "VPC", "ResourceRecordSet"). So they are
//! held against the form of a region's name instead.

/// Whether a value that is not in the model's list fits all the same.
pub(crate) fn takes(service: &str, shape: &str, value: &str) -> bool {
    match (service, shape) {
        // us-east-1 is said by leaving the constraint out: S3 refuses the name
        // (`InvalidLocationConstraint`).
        ("s3", "BucketLocationConstraint") => value != "us-east-1" && is_region(value),
        ("route53", "CloudWatchRegion" | "VPCRegion" | "ResourceRecordSetRegion") => {
            is_region(value)
        }
        _ => false,
    }
}

/// `us-east-1`, `us-gov-west-1`, `ap-southeast-7`.
fn is_region(value: &str) -> bool {
    let parts: Vec<&str> = value.split('-').collect();
    let letters = |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase());
    match parts.as_slice() {
        [area, middle @ .., number] => {
            letters(area)
                && !middle.is_empty()
                && middle.iter().all(letters)
                && matches!(number.as_bytes(), [b'1'..=b'9'])
        }
        [..] => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_that_the_model_does_not_know_yet_is_taken_and_a_typing_error_is_not() {
        assert!(takes("s3", "BucketLocationConstraint", "xx-north-3"));
        assert!(!takes("s3", "BucketLocationConstraint", "us-east-1"));
        assert!(!takes("s3", "BucketLocationConstraint", "uswest2"));
        assert!(!takes("route53", "HealthCheckType", "us-east-1"));
    }
}
