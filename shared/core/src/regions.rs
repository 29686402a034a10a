//! Which regions there are.

use crate::{Region, alike::alike};

/// The regions of AWS's partitions, as botocore 1.40 lists them (`data/partitions.json`) without the
/// isolated ones. AWS adds some, so that one that is not here is a warning.
const REGIONS: [&str; 39] = [
    "af-south-1",
    "ap-east-1",
    "ap-east-2",
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-northeast-3",
    "ap-south-1",
    "ap-south-2",
    "ap-southeast-1",
    "ap-southeast-2",
    "ap-southeast-3",
    "ap-southeast-4",
    "ap-southeast-5",
    "ap-southeast-6",
    "ap-southeast-7",
    "ca-central-1",
    "ca-west-1",
    "cn-north-1",
    "cn-northwest-1",
    "eu-central-1",
    "eu-central-2",
    "eu-north-1",
    "eu-south-1",
    "eu-south-2",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "eusc-de-east-1",
    "il-central-1",
    "me-central-1",
    "me-south-1",
    "mx-central-1",
    "sa-east-1",
    "us-east-1",
    "us-east-2",
    "us-gov-east-1",
    "us-gov-west-1",
    "us-west-1",
    "us-west-2",
];

/// What there is to say about the name of a region that this version does not know, which may be newer.
#[must_use]
pub fn doubt(region: &Region) -> Option<String> {
    if REGIONS.contains(&region.as_str()) {
        return None;
    }
    let meant = meant(region.as_str()).map(|meant| format!("; {meant}")).unwrap_or_default();
    Some(format!("`{region}` is no region that this version knows of{meant}"))
}

/// The region that may be meant by a text that is none.
#[must_use]
pub fn meant(text: &str) -> Option<String> {
    alike(text, REGIONS.into_iter()).map(|meant| format!("did you mean `{meant}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_region_is_doubted_with_the_one_that_may_be_meant() {
        let doubt = |region: &str| doubt(&region.parse().unwrap());
        assert_eq!(doubt("us-west-2"), None);
        assert!(doubt("us-wets-2").unwrap().ends_with("; did you mean `us-west-2`?"));
        assert!(doubt("mars-olympus-mons-1").unwrap().ends_with("knows of"));
        assert_eq!(meant("uswest2").as_deref(), Some("did you mean `us-west-2`?"));
        let mut sorted = REGIONS;
        sorted.sort_unstable();
        assert_eq!(sorted, REGIONS);
    }
}
