//! The automated backups of RDS, which restore an instance to any moment of their window.
//!
//! Only those that lie in the region where the restore runs are asked for: those of its own
//! instance, and those that RDS replicates there from the other region. A lost region is not needed.

use jiff::Timestamp;

use crate::ids::{AppName, Region, SiteName};

/// The automated backups of an instance, as RDS names them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Automated {
    /// Of an instance of this region, by the instance's resource id; it may be deleted meanwhile.
    Own {
        /// Such as `db-ABCDEFGHIJKL`.
        resource_id: String,
    },
    /// Replicated here from another region.
    Replicated {
        /// Their ARN in this region.
        arn: String,
    },
}

/// What can be restored of a site's instance, in one region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// The backups.
    pub backups: Automated,
    /// The site whose instance it is.
    pub site: SiteName,
    /// The instance's identifier.
    pub instance: String,
    /// The first moment.
    pub earliest: Timestamp,
    /// The last one; on a running instance it follows the present by some minutes.
    pub latest: Timestamp,
}

impl Window {
    fn holds(&self, to: Timestamp) -> bool {
        self.earliest <= to && to <= self.latest
    }

    fn told(&self) -> String {
        let Self { site, instance, earliest, latest, .. } = self;
        format!("{instance} (site {site}) from {earliest:.0} to {latest:.0}")
    }
}

/// The backups that hold a moment, and why these, for people. Those of the active site come first:
/// the other site's instance follows it, or was left and is behind.
///
/// # Errors
/// None does; the text names each window and says what to do.
pub fn choose_window<'a>(
    windows: &'a [Window],
    app: &AppName,
    here: &Region,
    active: Option<&SiteName>,
    to: Timestamp,
) -> Result<(&'a Window, String), String> {
    let mut holding: Vec<&Window> = windows.iter().filter(|window| window.holds(to)).collect();
    holding.sort_by_key(|window| Some(&window.site) != active);
    if let Some(window) = holding.first() {
        let whose = match &window.backups {
            Automated::Own { .. } => "the automated backups of",
            Automated::Replicated { .. } => "the automated backups, replicated here, of",
        };
        let mut reason = format!("{whose} {} hold {to:.0}", window.told());
        if let Some(active) = active.filter(|active| **active != window.site) {
            reason.push_str(&format!(
                "; site {active} is active, and what was written only there is not in them"
            ));
        }
        return Ok((window, reason));
    }
    if windows.is_empty() {
        return Err(format!(
            "no automated backups of the database of {app} lie in {here}: set a \
             BackupRetentionPeriod on its instance here, or replicate those of the other region \
             (aws rds start-db-instance-automated-backups-replication --region {here}); until then \
             restore a snapshot, or look in the other region"
        ));
    }
    let told: Vec<String> = windows.iter().map(Window::told).collect();
    Err(format!(
        "{to:.0} is in no restore window of the database of {app} in {here}: {}; choose a moment \
         within, or restore a snapshot",
        told.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        format!("2026-11-{text}Z").parse().unwrap()
    }

    #[test]
    fn the_active_sites_backups_are_chosen_where_they_hold_the_moment() {
        let window = |site: &str, backups, from, to| Window {
            backups,
            site: site.parse().unwrap(),
            instance: format!("queue-{site}"),
            earliest: at(from),
            latest: at(to),
        };
        let arn = || Automated::Replicated { arn: "arn".into() };
        let own = || Automated::Own { resource_id: "db-1".into() };
        // Site b took over on the 24th; a's instance goes on beside it.
        let all = [
            window("a", arn(), "17T00:00:00", "24T18:00:00"),
            window("b", own(), "24T12:00:00", "24T18:00:00"),
        ];
        let app: AppName = "queue".parse().unwrap();
        let (here, a, b) = ("us-west-2".parse().unwrap(), "a".parse().unwrap(), "b".parse());
        let b: SiteName = b.unwrap();
        let choose = |active: &SiteName, to| {
            choose_window(&all, &app, &here, Some(active), at(to))
                .map(|(window, reason)| (window.site.to_string(), reason))
        };
        assert_eq!(choose(&b, "24T13:00:00").unwrap().0, "b");
        assert_eq!(choose(&a, "24T13:00:00").unwrap().0, "a");
        let (site, reason) = choose(&b, "20T00:00:00").unwrap();
        assert!(site == "a" && reason.contains("site b is active"), "{reason}");
        assert!(reason.contains("replicated here, of queue-a"), "{reason}");
        let (_, reason) = choose(&a, "20T00:00:00").unwrap();
        assert!(reason.ends_with("hold 2026-11-20T00:00:00Z"), "{reason}");

        for to in ["16T23:59:59", "24T18:00:01"] {
            let why = choose(&b, to).unwrap_err();
            let named = "queue-b (site b) from 2026-11-24T12:00:00Z to 2026-11-24T18:00:00Z";
            assert!(why.contains(named) && why.contains("choose a moment within"), "{why}");
        }
        let why = choose_window(&[], &app, &here, None, at("20T00:00:00")).unwrap_err();
        assert!(why.contains("replication --region us-west-2"), "{why}");
    }
}
