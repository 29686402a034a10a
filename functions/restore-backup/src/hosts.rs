//! What a host restores: the document `lifeboat-restore`.

use jiff::Timestamp;
use lifeboat_core::{
    AppName, Fault,
    backup::{Kind, PointId},
    contract::restore_backup::{Response, RestoreResult},
};
use lifeboat_hosts::{Found, Order, Progress, joined, send_once};

use crate::{Ports, Work, World};

/// The Systems Manager document that a host runs.
pub const DOCUMENT: &str = "lifeboat-restore";
/// Seconds within which the host must take the command.
const DELIVERY_SECONDS: i32 = 120;
/// The parameter of a moment, which only an order that asks for one has.
const TO: &str = "To";

fn order(work: &Work<'_>, region: &str, bucket: &str) -> Order {
    let Work { plan, name, kind, id, to, target, .. } = work;
    let mut parameters = vec![
        ("Action", "restore".to_owned()),
        ("App", plan.app.to_string()),
        ("Site", name.to_string()),
        ("Region", region.to_owned()),
        ("Bucket", bucket.to_owned()),
        ("Kind", kind.to_string()),
        ("Point", id.to_string()),
        ("Target", target.as_str().to_owned()),
    ];
    let mut comment = format!("restore {} {kind} {id}", plan.app);
    if let Some(to) = to {
        parameters.push((TO, format!("{to:.0}")));
        comment = format!("{comment} to {to:.0}");
    }
    Order { document: DOCUMENT, parameters, comment, delivery_seconds: DELIVERY_SECONDS }
}

/// Whether a command restores this and nothing else: to the same moment, or to none as well.
fn is_same(found: &Found, order: &Order, to: Option<Timestamp>) -> bool {
    let asks = found.parameters.get(TO).is_some_and(|text| !text.is_empty());
    found.is(order) && asks == to.is_some()
}

pub(crate) async fn start<W: World>(
    work: &Work<'_>,
    ports: &Ports<W>,
    now: Timestamp,
) -> Result<Response, Fault> {
    let Work { plan, name, site, kind, id, to, .. } = work;
    let Some(tag) = &site.hosts else {
        return Err(Fault::invalid(format!(
            "the plan of {} names no hosts for site {name}, and a {kind} backup is restored on one; \
             add [sites.{name}.hosts]",
            plan.app
        )));
    };
    let world = &ports.world;
    let order = order(work, ports.region.as_str(), world.bucket());
    let what = format!("restore {kind} backup {id} of {}", plan.app);
    let same = |found: &Found| is_same(found, &order, *to);
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
            "a restore of {kind} is asked about by the command that makes it; start it first"
        )));
    };
    let what = || format!("{kind} backup {id} of {app}");
    match ports.world.progress(command).await? {
        Progress::Pending => {
            Err(Fault::not_ready(format!("{} is being restored by command {command}", what())))
        }
        Progress::Succeeded { .. } => {
            let output = ports.world.output(command).await?;
            let result = read(&output).map_err(|error| {
                Fault::needs_human(format!(
                    "command {command} restored {} and its last line cannot be read ({error}); do \
                     the host and the functions have the same version?",
                    what()
                ))
            })?;
            Ok(Response::Restored { result: Box::new(result) })
        }
        Progress::NoHosts => Err(Fault::needs_human(format!(
            "{} was not restored: command {command} reached no host",
            what()
        ))),
        Progress::Failed(failures) => {
            Err(Fault::needs_human(format!("{} was not restored ({})", what(), joined(&failures))))
        }
    }
}

/// The result that the last line of the output is.
fn read(output: &str) -> Result<RestoreResult, serde_json::Error> {
    let line = output.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
    serde_json::from_str(line)
}
