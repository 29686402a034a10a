//! The names of Lifeboat's buckets.

use crate::ids::Region;

/// What the name of every bucket begins with that a deployment makes.
const PREFIX: &str = "lifeboat-";
/// The digits of an account's number (IAM user guide, "AWS account identifiers").
const ACCOUNT_DIGITS: usize = 12;

/// The account that a bucket of this name belongs to: `lifeboat-<kind>-<account>-<region>`, as the
/// templates name them. None for any other name.
#[must_use]
pub fn owner(name: &str) -> Option<&str> {
    let (kind, rest) = name.strip_prefix(PREFIX)?.split_once('-')?;
    let (account, region) = rest.split_once('-')?;
    let fits = !kind.is_empty()
        && kind.bytes().all(|c| c.is_ascii_lowercase())
        && account.len() == ACCOUNT_DIGITS
        && account.bytes().all(|c| c.is_ascii_digit())
        && Region::new(region).is_ok();
    fits.then_some(account)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_account_is_read_from_our_names_alone() {
        for name in [
            "lifeboat-ledger-123456789012-us-east-1",
            "lifeboat-backups-123456789012-us-gov-west-1",
            "lifeboat-switch-123456789012-ap-southeast-2",
        ] {
            assert_eq!(owner(name), Some("123456789012"), "{name}");
        }
        for name in [
            "backups",
            "lifeboat-backups",
            "lifeboat-backups-us-east-1",
            "lifeboat-backups-12345678901-us-east-1",
            "lifeboat-backups-1234567890123-us-east-1",
            "lifeboat-backups-12345678901x-us-east-1",
            "lifeboat-backups-123456789012",
            "lifeboat-backups-123456789012-",
            "lifeboat--123456789012-us-east-1",
            "my-lifeboat-backups-123456789012-us-east-1",
        ] {
            assert_eq!(owner(name), None, "{name}");
        }
    }
}
