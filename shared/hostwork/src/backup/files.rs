//! `config`, `code`, `logs`: files of the host as a tar.

use lifeboat_archive::{Packed, Problem, ProblemKind, pack};
use lifeboat_core::Fault;

use super::{Content, Run};
use crate::{FILES, store::ObjectStore, upload::Compression};

/// Files that are named in a message.
const NAMED: usize = 5;

/// Packs the plan's paths of this kind.
pub(super) async fn take<S: ObjectStore>(run: &mut Run<'_, S>) -> Result<Content, Fault> {
    let plan = &run.host.plan;
    let files = plan.backup.as_ref().and_then(|backup| backup.files.get(&run.kind));
    let Some(files) = files.filter(|files| !files.paths.is_empty()).cloned() else {
        return Err(Fault::invalid(format!(
            "the plan of {} names no paths in [backup.files.{}]",
            plan.app, run.kind
        )));
    };
    let paths = files.paths.join(", ");
    let packed = run
        .artifact(
            FILES,
            Compression::Zstd,
            move |into| {
                let packed = pack(&files.paths, &files.exclude, into)
                    .map_err(|error| Fault::transient(format!("carry the files: {error}")))?;
                judge(&packed, &files.paths)?;
                Ok(packed)
            },
            async { Ok(()) },
        )
        .await?;
    let changed = named(&packed, |problem| problem.kind == ProblemKind::Changed);
    let note = if changed.is_empty() {
        String::new()
    } else {
        format!("; written to while they were read: {changed}")
    };
    Ok(Content {
        source: format!("{paths} ({} bytes in files){note}", packed.bytes),
        entries: Some(packed.entries),
        ..Content::default()
    })
}

/// Refuses an archive that lacks what was asked for: a file that cannot be read, or a path of the
/// plan that is not there. Files that go or grow while they are read are a running host's way.
fn judge(packed: &Packed, paths: &[String]) -> Result<(), Fault> {
    let unreadable = named(packed, |problem| problem.kind == ProblemKind::Unreadable);
    if !unreadable.is_empty() {
        return Err(Fault::needs_human(format!("these cannot be read: {unreadable}")));
    }
    let same = |path: &String, other: &str| path.trim_matches('/') == other.trim_matches('/');
    let absent = named(packed, |problem| {
        problem.kind == ProblemKind::Vanished && paths.iter().any(|path| same(path, &problem.path))
    });
    if !absent.is_empty() {
        return Err(Fault::needs_human(format!(
            "the plan names what is not on this host: {absent}"
        )));
    }
    Ok(())
}

fn named(packed: &Packed, which: impl Fn(&Problem) -> bool) -> String {
    let mut found = packed.problems.iter().filter(|problem| which(problem));
    let first: Vec<String> = found
        .by_ref()
        .take(NAMED)
        .map(|problem| format!("{} ({})", problem.path, problem.message))
        .collect();
    match found.count() {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}
