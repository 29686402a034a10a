//! Caches that AWS runs.

use super::Report;
use crate::{
    backup::Kind,
    plan_file::{AppPlan, Site, SiteCache},
};

/// The most manual snapshots that ElastiCache takes of a node in 24 hours (ElastiCache user guide,
/// "Backup constraints").
const CACHE_SNAPSHOTS_A_DAY: u32 = 24;

/// What a cache that AWS runs asks of the plan.
pub(super) fn managed(
    plan: &AppPlan,
    name: &str,
    site: &Site,
    cache: &SiteCache,
    report: &mut Report,
) {
    let group = &cache.replication_group;
    // API reference, CreateReplicationGroup: the identifier's constraints; it is stored in lower case.
    let fits = group.len() <= 40
        && group.starts_with(|c: char| c.is_ascii_lowercase())
        && !group.ends_with('-')
        && !group.contains("--")
        && group.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    if !fits {
        report.add(
            &["sites", name, "cache", "replication_group"],
            format!(
                "`{group}` is not a replication group's identifier: a small letter, then up to 39 \
                 small letters, digits and single -"
            ),
        );
    }
    let slots = plan.backup.as_ref().and_then(|backup| backup.schedule.get(&Kind::Cache));
    let Some(slots) = slots else { return };
    if slots.every.seconds() < 86_400 / CACHE_SNAPSHOTS_A_DAY {
        report.add(
            &["backup", "schedule", "cache", "every"],
            format!(
                "ElastiCache takes {CACHE_SNAPSHOTS_A_DAY} snapshots of a node a day, and site \
                 {name} has its cache there; use 1h or more"
            ),
        );
    }
    if site.hosts.is_none() {
        report.add(
            &["sites", name, "cache"],
            format!(
                "a host brings the export of ElastiCache into the backup bucket, and site {name} \
                 names none; add [sites.{name}.hosts], or take cache out of the schedule"
            ),
        );
    }
}
