//! What became of the hosts of the site that was activated: one is off, and one comes late.

use std::fs;

use super::{evidence::invariant, follow::Recovery};
use crate::{
    lab::{Lab, MoreKind, SiteConfig},
    report::InvariantResult,
};

/// The site was activated without the hosts that could not be reached, which are named; and each host
/// that runs now is active under the new epoch, the late one by joining.
pub(super) fn know_their_site(
    lab: &Lab,
    site: &SiteConfig,
    recovery: &Recovery,
    epoch: u64,
) -> [InvariantResult; 2] {
    let ids = |kind| site.hosts_that(kind).map(|host| host.id).collect::<Vec<_>>();
    let (off, late) = (ids(MoreKind::Stopped), ids(MoreKind::Late));
    let step = recovery.steps.iter().rev().find(|step| step.name == "ActivateSite");
    let outcome = step.map_or("no activation", |step| step.outcome.as_str());
    let named = off.iter().chain(&late).all(|id| outcome.contains(id));
    let role = |id: &&str| lab.site_role(site, id);
    let active = Some(("active".to_owned(), epoch));
    let joined = |id: &&str| {
        let log = lab.home_of(site, id).join("log/boot.log");
        fs::read_to_string(log).is_ok_and(|log| log.contains(r#""outcome":"joined""#))
    };
    let running: Vec<&str> = site.running().chain(late.iter().copied()).collect();
    let told: Vec<String> = running
        .iter()
        .map(|id| match lab.site_role(site, id) {
            Some((role, epoch)) => format!("{id} {role} under epoch {epoch}"),
            None => format!("{id} without site.json"),
        })
        .collect();
    [
        invariant(
            "hosts-enough-are-a-site",
            outcome.starts_with("done, without ") && named,
            format!("activation: {outcome}"),
        ),
        invariant(
            "hosts-late-one-joins",
            running.iter().all(|id| role(id) == active)
                && late.iter().all(joined)
                && off.iter().all(|id| lab.is_off(id) && role(id).is_none()),
            format!("{}; {} is off", told.join(", "), off.join(", ")),
        ),
    ]
}
