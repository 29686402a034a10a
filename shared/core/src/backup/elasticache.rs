//! The names that ElastiCache knows a recovery point by.

use super::{PointId, rds};
use crate::ids::AppName;

/// The snapshot of a recovery point, and the name that its export begins with:
/// `lifeboat-queue-20261124t120000z`, as in RDS. None when the point has no time.
#[must_use]
pub fn snapshot(app: &AppName, id: &PointId) -> Option<String> {
    rds::snapshot(app, id)
}

/// Whether `name` is that of a snapshot of this app which is older than the one of `id`. Names of
/// one app sort by time.
#[must_use]
pub fn is_older(app: &AppName, id: &PointId, name: &str) -> bool {
    let prefix = format!("lifeboat-{app}-");
    // Another app's name may begin with this one's.
    let is_ours = name.strip_prefix(&prefix).is_some_and(|stamp| {
        let shape = |(place, c): (usize, char)| match place {
            8 => c == 't',
            15 => c == 'z',
            _ => c.is_ascii_digit(),
        };
        stamp.len() == 16 && stamp.chars().enumerate().all(shape)
    });
    is_ours && snapshot(app, id).is_some_and(|this| name < this.as_str())
}

/// The object that an export writes for the only node group of a snapshot (user guide, "Exporting a
/// backup": the name, an instance identifier, `.rdb`).
#[must_use]
pub fn export(snapshot: &str) -> String {
    format!("{snapshot}-0001.rdb")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_older_snapshots_of_the_same_app_are_older() {
        let app: AppName = "queue".parse().unwrap();
        let id = PointId::new("20261124T120000Z-full").unwrap();
        assert_eq!(snapshot(&app, &id).unwrap(), "lifeboat-queue-20261124t120000z");
        let older = |name: &str| is_older(&app, &id, name);
        assert!(older("lifeboat-queue-20261124t080000z"));
        for name in [
            "lifeboat-queue-20261124t120000z",
            "lifeboat-queue-20261124t160000z",
            "lifeboat-queue-b-20261124t080000z",
            "lifeboat-queue-by-hand-0000",
            "lifeboat-queue-2026112408000000",
            "automatic.queue-2026-11-24-03-15",
        ] {
            assert!(!older(name), "{name}");
        }
    }
}
