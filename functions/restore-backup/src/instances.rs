//! What RDS restores: a snapshot, or a moment, into a new instance that is looked at. A scratch
//! instance is then deleted; one that was restored to be used is kept, and nothing ever deletes it.

use jiff::Timestamp;
use lifeboat_core::{
    AppName, ErrorName, Fault,
    backup::{EvidenceFinding, Manifest, Outcome, PointId, question, rds, sample},
    contract::restore_backup::{Response, RestoreResult, Target},
};

use crate::{
    Instance, InstanceState, Judgement, Login, Looked, NewInstance, Ports, Restoring, Source,
    Visit, Work, World, held, judge, reliable,
};

pub(crate) async fn start<W: World>(
    work: &Work<'_>,
    ports: &Ports<W>,
    now: Timestamp,
) -> Result<Response, Fault> {
    match advance(work, ports, now).await {
        Err(fault) if fault.name == ErrorName::NotReady => {
            tracing::info!(event = "restore_under_way", point = %work.id, "{}", fault.message);
            Ok(Response::Started { commands: Vec::new() })
        }
        other => other,
    }
}

/// Takes the next step. Once a scratch database was looked at its instance is on its way out; that
/// it is gone is the answer of [`remove`].
pub(crate) async fn advance<W: World>(
    work: &Work<'_>,
    ports: &Ports<W>,
    now: Timestamp,
) -> Result<Response, Fault> {
    let into = destination(&work.plan.app, work.id, work.to, work.target)?;
    let (name, world) = (&into.name, &ports.world);
    let Some(instance) = world.instance(name).await? else {
        return begin(work, &into, ports, now).await;
    };
    into.owns(&instance)?;
    match &instance.state {
        InstanceState::Busy(word) => Err(Fault::not_ready(format!("{name} is {word}"))),
        InstanceState::Deleting => {
            Err(Fault::not_ready(format!("{name} of an earlier restore is being deleted")))
        }
        InstanceState::Failed(word) => {
            let fate = if into.scratch {
                world.delete(name).await?;
                "is deleted now"
            } else {
                "is left for you to look at and to delete"
            };
            Err(Fault::needs_human(format!(
                "{} could not be restored: {name} is {word}, and {fate}; aws rds describe-events \
                 tells why",
                into.mark
            )))
        }
        InstanceState::Available { host, port } => {
            let looked = look(work, &into, &instance, (host, *port), ports, now).await;
            if let Err(fault) = &looked
                && matches!(fault.name, ErrorName::NotReady | ErrorName::Transient)
            {
                return Err(fault.clone());
            }
            if into.scratch {
                // Whatever was found: nobody needs it any more.
                world.delete(name).await?;
            }
            let Judgement { mut facts, findings, unasked } = looked?;
            if into.scratch && findings.is_empty() && !unasked.is_empty() {
                return Err(Fault::invalid(question::undecided(&unasked)));
            }
            facts.extend(unasked);
            if !into.scratch {
                facts.extend(next_steps(work, name, host, *port));
            }
            let outcome = if findings.is_empty() { Outcome::Sound } else { Outcome::Damaged };
            let started_at = instance.started_at.unwrap_or(now);
            let result = RestoreResult { started_at, ended_at: now, outcome, facts, findings };
            Ok(Response::Restored { result: Box::new(result) })
        }
    }
}

/// Looks into a restored database, as far as one call comes.
async fn look<W: World>(
    work: &Work<'_>,
    into: &Destination,
    instance: &Instance,
    (host, port): (&str, u16),
    ports: &Ports<W>,
    now: Timestamp,
) -> Result<Judgement, Fault> {
    let (plan, world, name) = (work.plan, &ports.world, into.name.as_str());
    let manifest = manifest(work, ports).await?;
    let begun = instance.started_at.unwrap_or(now);
    let is_waited_for = sample::is_waited_for(begun, now);
    let mut visit = Visit { host, port, login: Login::Plan, seed: sample::seed(begun) };
    let mut looked = world.look(plan, visit).await?;
    if matches!(looked, Looked::Denied(_)) && into.scratch {
        visit.login = Login::Master { user: &instance.master, instance: name };
        looked = world.look(plan, visit).await?;
        if let Looked::Denied(why) = &looked
            && is_waited_for
        {
            world.set_own_password(plan, name).await?;
            return Err(Fault::not_ready(format!(
                "{name} is not opened by the secret {} ({why}), which is newer than what was \
                 restored; its master user gets a password of its own",
                plan.database.password_secret
            )));
        }
    }
    match looked {
        Looked::Whole(seen) => {
            let mut judgement = judge(manifest.as_ref(), &seen);
            if let Login::Master { user, .. } = visit.login {
                judgement.facts.push(format!(
                    "the secret {} did not open it: it was looked into as {user}, with a password \
                     of its own that ends with it",
                    plan.database.password_secret
                ));
            }
            Ok(judgement)
        }
        Looked::Unfinished(so_far) if is_waited_for => {
            Err(Fault::not_ready(format!("{name} is looked into: {so_far}")))
        }
        Looked::Unfinished(so_far) => Err(Fault::needs_human(format!(
            "{} was restored at {begun}, and whether it is sound cannot be told in the time that \
             there is for it: {so_far}; set backup.verify.count_up_to_mib lower, or make the slow \
             query of backup.checks faster",
            into.mark
        ))),
        Looked::Denied(why) => Err(Fault::needs_human(format!(
            "{name} was restored, and cannot be looked into: {why}; it has the password that the \
             database had then, and the secret {} is another one",
            plan.database.password_secret
        ))),
    }
}

/// Asks RDS for the instance.
async fn begin<W: World>(
    work: &Work<'_>,
    into: &Destination,
    ports: &Ports<W>,
    now: Timestamp,
) -> Result<Response, Fault> {
    let Work { plan, site, id, to, .. } = work;
    let source = match to {
        Some(to) => held(plan, *to, ports).await?.map_err(Fault::refused)?.0,
        None => {
            if !into.scratch {
                reliable(work, ports).await?;
            }
            manifest(work, ports).await?;
            Source::Snapshot(rds::snapshot(&plan.app, id).ok_or_else(|| no_point(id))?)
        }
    };
    let tags = vec![
        (rds::APP_TAG, plan.app.to_string()),
        (into.tag(), into.mark.clone()),
        (rds::STARTED_TAG, now.to_string()),
    ];
    let like = &site.database.identifier;
    let instance = NewInstance { name: &into.name, like, keep: !into.scratch, tags };
    match (ports.world.restore(&source, instance).await?, source) {
        // The manifest is here and the snapshot is not: that is the answer.
        (Restoring::NoSnapshot, Source::Snapshot(name)) => {
            Ok(missing(&name, ports.region.as_str(), now))
        }
        (Restoring::Begun | Restoring::NoSnapshot, _) => {
            Err(Fault::not_ready(format!("{} is being restored", into.name)))
        }
    }
}

/// What the database is held against; a moment has nothing.
async fn manifest<W: World>(work: &Work<'_>, ports: &Ports<W>) -> Result<Option<Manifest>, Fault> {
    let Work { plan, kind, id, to, .. } = work;
    if to.is_some() {
        return Ok(None);
    }
    let app = &plan.app;
    let found = ports.world.manifest(app, *kind, id).await?.ok_or_else(|| {
        Fault::invalid(format!("there is no {kind} backup {id} of {app} in {}", ports.region))
    })?;
    Ok(Some(found))
}

fn next_steps(work: &Work<'_>, name: &str, host: &str, port: u16) -> [String; 2] {
    let Work { plan, name: site, site: at, .. } = work;
    [
        format!("the new instance {name} takes connections at {host}:{port}, and is kept"),
        format!(
            "to use it: in the plan of {} set sites.{site}.database to identifier = \"{name}\", \
             host = \"{host}\", port = {port}, run `lifeboat plan apply`, and point the app of site \
             {site} at it; {} is left as it is",
            plan.app, at.database.identifier
        ),
    ]
}

/// Deletes the scratch instance, until it is gone.
pub(crate) async fn remove<W: World>(
    app: &AppName,
    id: &PointId,
    to: Option<Timestamp>,
    ports: &Ports<W>,
) -> Result<Response, Fault> {
    let into = destination(app, id, to, Target::Scratch)?;
    let name = &into.name;
    let Some(instance) = ports.world.instance(name).await? else { return Ok(Response::Removed) };
    into.owns(&instance)?;
    if instance.state != InstanceState::Deleting {
        ports.world.delete(name).await?;
    }
    Err(Fault::not_ready(format!("{name} is being deleted")))
}

/// The instance that is restored into.
struct Destination {
    name: String,
    /// What it is restored from, as its tag says.
    mark: String,
    scratch: bool,
}

fn destination(
    app: &AppName,
    id: &PointId,
    to: Option<Timestamp>,
    target: Target,
) -> Result<Destination, Fault> {
    let origin = match to {
        None => rds::Origin::Snapshot(id),
        Some(to) if *id == PointId::full(to) => rds::Origin::Moment(to),
        Some(to) => {
            return Err(Fault::invalid(format!(
                "the moment {to} has the name {}, and not {id}: give what `choose` answered",
                PointId::full(to)
            )));
        }
    };
    let scratch = target == Target::Scratch;
    let name = if scratch { rds::scratch(app, origin) } else { rds::restored(app, origin) };
    Ok(Destination { name: name.ok_or_else(|| no_point(id))?, mark: origin.mark(), scratch })
}

impl Destination {
    const fn tag(&self) -> &'static str {
        if self.scratch { rds::SCRATCH_TAG } else { rds::RESTORED_TAG }
    }

    /// That an instance of this name is ours. Anything else is left alone.
    fn owns(&self, instance: &Instance) -> Result<(), Fault> {
        let found = if self.scratch { &instance.scratch_of } else { &instance.restored_from };
        if found.as_ref() == Some(&self.mark) {
            return Ok(());
        }
        Err(Fault::refused(format!(
            "there is an instance {} without the tag {}={}: it is not Lifeboat's to look at or to \
             delete; rename it",
            self.name,
            self.tag(),
            self.mark
        )))
    }
}

fn no_point(id: &PointId) -> Fault {
    Fault::invalid(format!("{id} is not the name of a snapshot's point"))
}

fn missing(snapshot: &str, region: &str, now: Timestamp) -> Response {
    Response::Restored {
        result: Box::new(RestoreResult {
            started_at: now,
            ended_at: now,
            outcome: Outcome::Damaged,
            facts: Vec::new(),
            findings: vec![EvidenceFinding {
                file: String::new(),
                place: String::new(),
                message: format!("there is no snapshot {snapshot} in {region}"),
            }],
        }),
    }
}
