//! Backups that cannot be taken or proven as the plan asks for them.
//!
//! A plan is read once and its backups fail every night: whatever a host, RDS or ElastiCache would
//! refuse because of the plan alone is refused here first.

mod verify;

use std::collections::BTreeSet;

use super::Report;
use crate::{
    backup::{Kind, retention, schedule},
    plan_file::{AppPlan, Backup, Engine, Files, Images},
};

/// What is wrong.
pub(super) fn check(plan: &AppPlan, report: &mut Report) {
    let Some(backup) = &plan.backup else { return };
    let found = [
        ("schedule", schedule::check(&backup.schedule, &backup.retention)),
        ("retention", retention::check(&backup.retention)),
    ];
    for (section, problems) in found {
        for mut problem in problems {
            problem.path.splice(0..0, ["backup", section].map(str::to_owned));
            report.problems.push(problem);
        }
    }
    for kind in backup.schedule.keys() {
        scheduled(plan, backup, *kind, report);
    }
    hosts(plan, backup, report);
    for (kind, files) in &backup.files {
        self::files(*kind, files, report);
    }
    if let Some(images) = &backup.images {
        self::images(images, report);
    }
    base(plan, backup, report);
    verify::check(&backup.verify, report);
    for check in &backup.checks {
        if check.name.trim().is_empty() || check.query.trim().is_empty() {
            report.add(
                &["backup", "checks"],
                "give each check a name and a query of one row with one boolean".into(),
            );
        }
    }
}

/// What a kind that is scheduled needs of the rest of the plan.
fn scheduled(plan: &AppPlan, backup: &Backup, kind: Kind, report: &mut Report) {
    let place = ["backup", "schedule", kind.as_str()];
    match kind {
        Kind::Config | Kind::Code | Kind::Logs => {
            if !backup.files.contains_key(&kind) {
                report.add(
                    &place,
                    format!(
                        "no paths are named: add [backup.files.{kind}] with paths = [\"/...\"], or \
                         take {kind} out of the schedule"
                    ),
                );
            }
        }
        Kind::Images => {
            if backup.images.is_none() {
                report.add(
                    &place,
                    "no images are named: add [backup.images] with names = [\"NAME:TAG\"], or take \
                     images out of the schedule"
                        .into(),
                );
            }
        }
        Kind::DatabaseBase => {
            if plan.database.engine != Engine::Postgres {
                report.add(
                    &place,
                    "RDS keeps its files to itself and gives no base backups, and database.engine \
                     is not postgres; schedule database-snapshot or database-dump"
                        .into(),
                );
            }
        }
        Kind::DatabaseSnapshot => {
            if plan.database.engine != Engine::Rds {
                report.add(
                    &place,
                    "snapshots are RDS's, and database.engine is not rds; schedule database-dump \
                     or database-base"
                        .into(),
                );
            }
        }
        Kind::Cache => {
            for (name, site) in &plan.sites {
                if site.cache.is_none() && site.health.redis.is_none() {
                    report.add(
                        &["sites", name.as_str(), "health", "redis"],
                        format!(
                            "cache is scheduled, and site {name} names no Redis; add redis = \
                             \"HOST:PORT\" to [sites.{name}.health] as its host reaches it, or \
                             [sites.{name}.cache] where ElastiCache runs it"
                        ),
                    );
                }
            }
        }
        // The schedule's own rules have the word on WAL.
        Kind::DatabaseDump | Kind::DatabaseWal => {}
    }
}

/// Either site may become the active one, whose hosts take the backups.
fn hosts(plan: &AppPlan, backup: &Backup, report: &mut Report) {
    for (name, site) in plan.sites.iter().filter(|(_, site)| site.hosts.is_none()) {
        let by_hosts = |kind: &&Kind| match kind {
            Kind::DatabaseSnapshot | Kind::DatabaseWal => false,
            // Caches that AWS runs have a rule of their own.
            Kind::Cache => site.cache.is_none(),
            Kind::DatabaseDump
            | Kind::DatabaseBase
            | Kind::Config
            | Kind::Code
            | Kind::Logs
            | Kind::Images => true,
        };
        let kinds: Vec<&str> =
            backup.schedule.keys().filter(by_hosts).map(|kind| kind.as_str()).collect();
        if !kinds.is_empty() {
            report.add(
                &["sites", name.as_str(), "hosts"],
                format!(
                    "a host of the site takes its backups, and site {name} names none; add \
                     [sites.{name}.hosts], or take out of the schedule: {}",
                    kinds.join(", ")
                ),
            );
        }
    }
}

fn files(kind: Kind, files: &Files, report: &mut Report) {
    let at = |key| ["backup", "files", kind.as_str(), key];
    if !matches!(kind, Kind::Config | Kind::Code | Kind::Logs) {
        report.add(
            &["backup", "files", kind.as_str()],
            format!("{kind} is no kind of files; use config, code or logs"),
        );
        return;
    }
    if files.paths.is_empty() {
        report
            .add(&at("paths"), "name at least one file or folder, or leave the section out".into());
    }
    for (key, paths) in [("paths", &files.paths), ("exclude", &files.exclude)] {
        for path in paths.iter().filter(|path| !is_path(path)) {
            report.add(
                &at(key),
                format!(
                    "`{path}` is not an absolute path of something below /; write it in full, such \
                     as /opt/queue/config, without . and .. in it"
                ),
            );
        }
    }
    for left_out in files.exclude.iter().filter(|path| is_path(path)) {
        if let Some(path) = files.paths.iter().find(|path| is_within(path, left_out)) {
            report.add(
                &at("exclude"),
                format!(
                    "`{left_out}` leaves out all of `{path}`, so that nothing of it would be backed \
                     up; take the path out, or exclude something within it"
                ),
            );
        } else if !files.paths.iter().any(|path| is_within(left_out, path)) {
            report.add(
                &at("exclude"),
                format!(
                    "`{left_out}` lies below none of the paths, so it leaves nothing out; mend it or \
                     take it out"
                ),
            );
        }
    }
}

fn images(images: &Images, report: &mut Report) {
    let at = |key| ["backup", "images", key];
    if images.names.is_empty() {
        report.add(
            &at("names"),
            "name at least one image, such as queue-api:1.4, or leave the section out".into(),
        );
    }
    let mut seen = BTreeSet::new();
    for name in &images.names {
        let odd = name.is_empty() || name.starts_with('-') || name.contains(char::is_whitespace);
        if odd || name.contains(char::is_control) {
            report.add(
                &at("names"),
                format!("`{name}` is not the name of an image, such as queue-api:1.4"),
            );
        } else if !seen.insert(name) {
            report.add(&at("names"), format!("`{name}` is named twice; once is enough"));
        }
    }
    for (key, words) in [("save", &images.save), ("load", &images.load)] {
        if words.first().is_none_or(|program| program.trim().is_empty()) {
            report.add(
                &at(key),
                "give the program and its arguments, each a string of its own, or leave it out for \
                 docker's"
                    .into(),
            );
        }
    }
    if !images.save.is_empty() && !images.save.iter().any(|word| word.contains("{image}")) {
        report.add(
            &at("save"),
            "no argument has {image} in it, so that every image would be saved as the same one; put \
             {image} where its name belongs"
                .into(),
        );
    }
}

fn base(plan: &AppPlan, backup: &Backup, report: &mut Report) {
    let Some(base) = &backup.base else { return };
    let path = ["backup", "base", "data_directory"];
    if plan.database.engine != Engine::Postgres {
        let message = "RDS keeps its files to itself: leave [backup.base] out, or set \
                       database.engine = \"postgres\"";
        report.add(&path, message.to_owned());
    }
    if !is_path(&base.data_directory) || base.data_directory.ends_with('/') {
        let message = "give the absolute path of the server's data directory, such as \
                       /var/lib/postgresql/17/main, without . and .. in it";
        report.add(&path, message.to_owned());
    }
}

/// What is allowed, and does less than it seems to.
///
/// A section that is not scheduled is no mistake: older backups are put back into its paths.
pub(super) fn notes(plan: &AppPlan, report: &mut Report) {
    let Some(backup) = &plan.backup else {
        report.add(
            &[],
            "nothing is backed up: a standby is no backup, for it copies what is deleted by mistake; \
             add [backup.schedule]"
                .into(),
        );
        return;
    };
    slow(plan, backup, report);
    if backup.schedule.is_empty() {
        report.add(
            &["backup"],
            "nothing is scheduled, so nothing is backed up; add [backup.schedule]".into(),
        );
        return;
    }
    let is_scheduled = |kind| backup.schedule.contains_key(&kind);
    let never = |kind: Kind| {
        format!("{kind} is not in [backup.schedule], so none is ever taken; add it there")
    };
    for kind in backup.files.keys().copied().filter(|kind| !is_scheduled(*kind)) {
        report.add(&["backup", "files", kind.as_str()], never(kind));
    }
    if backup.images.is_some() && !is_scheduled(Kind::Images) {
        report.add(&["backup", "images"], never(Kind::Images));
    }
    match (is_scheduled(Kind::DatabaseBase), &backup.base) {
        (false, Some(_)) => report.add(&["backup", "base"], never(Kind::DatabaseBase)),
        (true, None) => report.add(
            &["backup", "schedule", Kind::DatabaseBase.as_str()],
            "base backups are taken and proven, but can be put into no place: add [backup.base] with \
             data_directory"
                .into(),
        ),
        (true, Some(_)) | (false, None) => {}
    }
    let databases = [Kind::DatabaseSnapshot, Kind::DatabaseDump, Kind::DatabaseBase];
    if !backup.checks.is_empty() && !databases.into_iter().any(is_scheduled) {
        report.add(
            &["backup", "checks"],
            "no backup of the database is scheduled, so that nothing is ever asked; schedule one"
                .into(),
        );
    }
}

/// An RPO that a schedule could keep, and this one does not. A smaller one than a schedule can tick rests
/// on the replica alone; automated backups of RDS and archived WAL reach further than the next slot.
fn slow(plan: &AppPlan, backup: &Backup, report: &mut Report) {
    let is_continuous =
        plan.database.engine == Engine::Rds || backup.schedule.contains_key(&Kind::DatabaseBase);
    let dumps = backup.schedule.get(&Kind::DatabaseDump).filter(|_| !is_continuous);
    let Some(slots) = dumps else { return };
    for (scenario, policy) in &plan.scenarios {
        let rpo = policy.rpo_seconds;
        if rpo >= schedule::TICK_SECONDS && slots.every.seconds() > rpo {
            report.add(
                &["backup", "schedule", Kind::DatabaseDump.as_str(), "every"],
                format!(
                    "without the standby's database the newest dump decides, which is up to {} old: \
                     more than the RPO of {} ({rpo} s); take them more often, or schedule \
                     database-base, whose WAL is archived continuously",
                    slots.every,
                    scenario.as_str()
                ),
            );
        }
    }
}

/// An absolute path of something below `/`, as it is written in full.
fn is_path(path: &str) -> bool {
    let parts = path.strip_prefix('/').unwrap_or_default();
    let parts = parts.strip_suffix('/').unwrap_or(parts);
    !parts.contains(char::is_control)
        && parts.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

/// Whether `path` is `folder`, or below it.
fn is_within(path: &str, folder: &str) -> bool {
    let rest = path.trim_end_matches('/').strip_prefix(folder.trim_end_matches('/'));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests;
