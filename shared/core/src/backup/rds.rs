//! The names that RDS knows a recovery point by.

use super::{PointId, point::stamp};
use crate::ids::AppName;

/// The tag that everything carries that Lifeboat makes in RDS: the app.
pub const APP_TAG: &str = "lifeboat-app";
/// The tag with the recovery point's name.
pub const POINT_TAG: &str = "lifeboat-point";
/// The tag with the moment when its backup began.
pub const STARTED_TAG: &str = "lifeboat-started";
/// The tag that a scratch instance carries, with the recovery point that it is restored from.
/// Nothing without it is ever deleted.
pub const SCRATCH_TAG: &str = "lifeboat-scratch";

/// The DB snapshot of a recovery point: `lifeboat-queue-20261124t120000z`. The same in every region,
/// in the lower case that RDS gives to every identifier. None when the point has no time.
#[must_use]
pub fn snapshot(app: &AppName, id: &PointId) -> Option<String> {
    Some(format!("lifeboat-{app}-{}", stamp(id.time()?).to_lowercase()))
}

/// The scratch instance that a recovery point is restored into: `lifeboat-scratch-queue-20261124120000`.
/// An instance's identifier ends at 63 characters (RDS user guide, "Quotas and constraints"), which
/// with the longest app name leaves room for the digits alone.
#[must_use]
pub fn scratch(app: &AppName, id: &PointId) -> Option<String> {
    let digits: String = stamp(id.time()?).chars().filter(char::is_ascii_digit).collect();
    Some(format!("lifeboat-scratch-{app}-{digits}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_rds_takes() {
        let app: AppName = "a".repeat(31).parse().unwrap();
        let id = PointId::new("20261124T120000Z-full").unwrap();
        let scratch = scratch(&app, &id).unwrap();
        assert!(scratch.len() <= 63 && scratch.ends_with("-20261124120000"), "{scratch}");
        let queue: AppName = "queue".parse().unwrap();
        assert_eq!(snapshot(&queue, &id).unwrap(), "lifeboat-queue-20261124t120000z");
        let segment = PointId::new("00000001000000000000002A").unwrap();
        assert_eq!(snapshot(&queue, &segment), None);
    }
}
