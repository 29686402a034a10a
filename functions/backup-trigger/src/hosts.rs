//! What a host does: the document `lifeboat-backup`.

use jiff::Timestamp;
use lifeboat_core::{
    AppName, Fault,
    backup::{Kind, PointId},
    contract::backup_trigger::Response,
};
use lifeboat_hosts::{Found, Order, Progress, joined, send_once};

use crate::{Ports, Work, World, cache};

/// The Systems Manager document that a host runs.
pub const DOCUMENT: &str = "lifeboat-backup";
/// Seconds within which the host must take the command.
const DELIVERY_SECONDS: i32 = 120;

/// The order for one backup; the same for everyone who asks.
pub(crate) fn order<W: World>(work: &Work<'_>, ports: &Ports<W>) -> Order {
    let Work { plan, name, site, kind, id } = work;
    let mut parameters = vec![
        ("Action", "backup".to_owned()),
        ("App", plan.app.to_string()),
        ("Site", name.to_string()),
        ("Region", ports.region.to_string()),
        ("Bucket", ports.world.bucket().to_owned()),
        ("Kind", kind.to_string()),
        ("Point", id.to_string()),
    ];
    if cache::managed(site, *kind).is_some() {
        parameters.push(("Exports", ports.world.exports().to_owned()));
    }
    Order {
        document: DOCUMENT,
        parameters,
        comment: format!("backup {} {kind} {id}", plan.app),
        delivery_seconds: DELIVERY_SECONDS,
    }
}

pub(crate) async fn start<W: World>(
    work: &Work<'_>,
    ports: &Ports<W>,
    now: Timestamp,
) -> Result<Response, Fault> {
    let Work { plan, name, site, kind, id } = work;
    let Some(tag) = &site.hosts else {
        return Err(Fault::invalid(format!(
            "the plan of {} names no hosts for site {name}, and a {kind} backup is made on one; \
             add [sites.{name}.hosts], or take {kind} out of the schedule",
            plan.app
        )));
    };
    let world = &ports.world;
    let order = order(work, ports);
    let what = format!("make the {kind} backup {id} of {}", plan.app);
    let same = |found: &Found| found.is(&order);
    let command = send_once(world, &order, (tag, &ports.region), same, &what, now).await?;
    Ok(Response::Started { commands: vec![command] })
}

pub(crate) async fn poll<W: World>(
    app: &AppName,
    kind: Kind,
    id: &PointId,
    commands: &[String],
    ports: &Ports<W>,
) -> Result<Response, Fault> {
    let Some(command) = commands.last() else {
        return Err(Fault::invalid(format!(
            "a {kind} backup is asked about by the command that makes it; start it first"
        )));
    };
    let backup = || format!("{kind} backup {id} of {app}");
    match ports.world.progress(command).await? {
        Progress::Pending => {
            Err(Fault::not_ready(format!("{} is being made by command {command}", backup())))
        }
        // The manifest is written before the command ends, so it is looked for once more.
        Progress::Succeeded { .. } => {
            crate::complete(app, kind, id, ports).await?.ok_or_else(|| {
                Fault::needs_human(format!(
                    "command {command} ended well and left no manifest of {}; read what it wrote",
                    backup()
                ))
            })
        }
        Progress::NoHosts => Err(Fault::needs_human(format!(
            "{} was not made: command {command} reached no host",
            backup()
        ))),
        Progress::Failed(failures) => {
            // Another command may have made it meanwhile.
            crate::complete(app, kind, id, ports).await?.ok_or_else(|| {
                Fault::needs_human(format!("{} was not made ({})", backup(), joined(&failures)))
            })
        }
    }
}
