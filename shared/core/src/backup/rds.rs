//! The names that RDS knows a recovery point by.

use jiff::Timestamp;

use super::{
    PointId,
    point::{read_stamp, stamp},
};
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
/// The tag that an instance carries which was restored to be used, with what it was restored from.
pub const RESTORED_TAG: &str = "lifeboat-restored";

/// The DB snapshot of a recovery point: `lifeboat-queue-20261124t120000z`. The same in every region,
/// in the lower case that RDS gives to every identifier. None when the point has no time.
#[must_use]
pub fn snapshot(app: &AppName, id: &PointId) -> Option<String> {
    Some(format!("lifeboat-{app}-{}", stamp(id.time()?).to_lowercase()))
}

/// Whether a DB snapshot has the name that [`snapshot`] gives.
#[must_use]
pub fn is_snapshot(name: &str) -> bool {
    let parts = name.strip_prefix("lifeboat-").and_then(|rest| rest.rsplit_once('-'));
    parts.is_some_and(|(app, time)| {
        AppName::new(app).is_ok() && read_stamp(&time.to_uppercase()).is_some()
    })
}

/// What an instance is restored from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin<'a> {
    /// The snapshot of this recovery point.
    Snapshot(&'a PointId),
    /// Automated backups, at this moment.
    Moment(Timestamp),
}

impl Origin<'_> {
    /// The value of the tag that remembers it: `20261124T120000Z-full`, or `to-20261124T120000Z`.
    #[must_use]
    pub fn mark(&self) -> String {
        match self {
            Self::Snapshot(id) => id.to_string(),
            Self::Moment(to) => format!("to-{}", stamp(*to)),
        }
    }

    /// The end of an instance's identifier: the digits of the time, and of a moment `t` before them
    /// and the year without its century, so that a snapshot of the same time has another name. Of
    /// 14 characters at most.
    fn ending(&self) -> Option<String> {
        let digits = |at| stamp(at).chars().filter(char::is_ascii_digit).collect::<String>();
        match self {
            Self::Snapshot(id) => Some(digits(id.time()?)),
            Self::Moment(to) => Some(format!("t{}", digits(*to).get(2..)?)),
        }
    }
}

/// The scratch instance that is restored into: `lifeboat-scratch-queue-20261124120000`.
/// An instance's identifier ends at 63 characters (RDS user guide, "Quotas and constraints"), which
/// with the longest app name leaves room for the digits alone.
#[must_use]
pub fn scratch(app: &AppName, from: Origin<'_>) -> Option<String> {
    Some(format!("lifeboat-scratch-{app}-{}", from.ending()?))
}

/// The instance that is restored into to be used: `queue-restored-20261124120000`.
#[must_use]
pub fn restored(app: &AppName, from: Origin<'_>) -> Option<String> {
    Some(format!("{app}-restored-{}", from.ending()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_rds_takes() {
        let app: AppName = "a".repeat(31).parse().unwrap();
        let id = PointId::new("20261124T120000Z-full").unwrap();
        let name = scratch(&app, Origin::Snapshot(&id)).unwrap();
        assert!(name.len() <= 63 && name.ends_with("-20261124120000"), "{name}");
        let moment = Origin::Moment(id.time().unwrap());
        let queue: AppName = "queue".parse().unwrap();
        assert_eq!(scratch(&queue, moment).unwrap(), "lifeboat-scratch-queue-t261124120000");
        assert_eq!(restored(&queue, moment).unwrap(), "queue-restored-t261124120000");
        assert_eq!(moment.mark(), "to-20261124T120000Z");
        assert_eq!(snapshot(&queue, &id).unwrap(), "lifeboat-queue-20261124t120000z");
        assert!(is_snapshot("lifeboat-my-queue-20261124t120000z"));
        for other in ["rds:queue-a-2026-11-24", "lifeboat-queue", "lifeboat-queue-before-upgrade"] {
            assert!(!is_snapshot(other), "{other}");
        }
        let segment = PointId::new("00000001000000000000002A").unwrap();
        assert_eq!(snapshot(&queue, &segment), None);
    }
}
