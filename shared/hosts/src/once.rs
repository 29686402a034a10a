//! Work that one host of a site does, sent once however often it is asked for.

use jiff::{SignedDuration, Timestamp};
use lifeboat_core::{Fault, Region, plan_file::HostTag};

use crate::{Found, HostWork, Order};

/// How far back a command is looked for that is under way: longer than a document may run.
pub const LOOK_BACK: SignedDuration = SignedDuration::from_hours(24);

/// The command that carries out an order: the one that is under way, or one that is sent now to the
/// host of this tag that does work for all. `same` tells the commands that do the same; `what` says
/// for people what nobody can do when no host is there.
///
/// # Errors
/// `NeedsHuman` when no host is online; otherwise what Run Command reports.
pub async fn send_once<W: HostWork + ?Sized>(
    hosts: &W,
    order: &Order,
    (tag, region): (&HostTag, &Region),
    same: impl Fn(&Found) -> bool,
    what: &str,
    now: Timestamp,
) -> Result<String, Fault> {
    let recent = hosts.recent(order.document, now - LOOK_BACK).await?;
    if let Some(open) = recent.iter().find(|found| found.succeeded.is_none() && same(found)) {
        return Ok(open.id.clone());
    }
    let Some(host) = hosts.pick(tag).await? else {
        return Err(Fault::needs_human(format!(
            "no host with tag {}={} is online in {region}, so nobody can {what}; see that their \
             Systems Manager agent runs",
            tag.tag, tag.value
        )));
    };
    let command = hosts.send(&host, order).await?;
    tracing::info!(event = "command_sent", document = order.document, what, host, command);
    Ok(command)
}
