//! What is shown of a restore before it begins, and after it.

use lifeboat_core::{
    backup::{EvidenceFinding, Kind, Outcome, rds},
    contract::restore_backup::{Order, RestoreResult, Target},
    plan_file::AppPlan,
};
use serde::Deserialize;

/// What the machine answers at its end.
#[derive(Debug, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub(super) enum Ended {
    /// It was restored, and looked at.
    Restored {
        /// How.
        result: RestoreResult,
        /// Why this one.
        reason: String,
    },
    /// What was asked for may not be relied on.
    Unreliable {
        /// Why, and what to do.
        reason: String,
    },
}

/// What will be restored, and where.
///
/// # Errors
/// The plan has no site in this region.
pub(super) fn order(
    order: &Order,
    plan: &AppPlan,
    region: &str,
    reason: &str,
) -> Result<Vec<String>, String> {
    let Order { app, kind, id, to, target } = order;
    let (site, at) = plan
        .site_in(region)
        .ok_or_else(|| format!("the plan of {app} has no site in {region}: give --region"))?;
    let point = id.as_ref().map(|id| format!(" {id}")).unwrap_or_default();
    let moment = to.map(|to| format!(" to {to:.0}")).unwrap_or_default();
    let mut lines = vec![format!("restore {kind}{point} of {app}{moment}")];
    lines.push(format!("  why    {reason}"));
    lines.push(format!("  from   what lies in {region}"));
    let instance = &at.database.identifier;
    let into = match (target, kind) {
        (Target::Scratch, Kind::DatabaseSnapshot) => {
            "a scratch instance of RDS, deleted when it was looked at".to_owned()
        }
        (Target::Scratch, _) => {
            format!("scratch on a host of site {site}, removed when it was looked at")
        }
        (Target::Place, Kind::DatabaseSnapshot) => {
            let origin = match (to, id) {
                (Some(to), _) => Some(rds::Origin::Moment(*to)),
                (None, Some(id)) => Some(rds::Origin::Snapshot(id)),
                (None, None) => None,
            };
            let name = origin.and_then(|origin| rds::restored(app, origin)).unwrap_or_default();
            format!("a NEW instance {name}, which is kept; {instance} is left as it is")
        }
        (Target::Place, Kind::DatabaseDump) => {
            format!(
                "the database {} of site {site} ({instance}), which must be empty",
                plan.database.name
            )
        }
        (Target::Place, Kind::Images) => format!("the image engine of a host of site {site}"),
        (
            Target::Place,
            Kind::DatabaseBase
            | Kind::DatabaseWal
            | Kind::Config
            | Kind::Code
            | Kind::Logs
            | Kind::Cache,
        ) => format!("its place on a host of site {site}, where the site uses it"),
    };
    lines.push(format!("  into   {into}"));
    Ok(lines)
}

/// What was found.
pub(super) fn result(result: &RestoreResult) -> Vec<String> {
    let RestoreResult { started_at, ended_at, outcome, facts, findings } = result;
    let took = ended_at.duration_since(*started_at).as_secs();
    let mut lines = vec![match outcome {
        Outcome::Sound => format!("restored in {took} s, and sound"),
        Outcome::Damaged => format!("restored in {took} s, and DAMAGED"),
    }];
    lines.extend(facts.iter().map(|fact| format!("  {fact}")));
    lines.extend(findings.iter().map(|finding| format!("  damaged: {}", told(finding))));
    lines
}

fn told(EvidenceFinding { file, place, message }: &EvidenceFinding) -> String {
    let parts = [file.as_str(), place.as_str(), message.as_str()];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(": ")
}

/// What a state of the machine does, for people.
pub(super) fn doing(state: &str) -> Option<&'static str> {
    Some(match state {
        "ChooseBackup" => "looks whether it may be relied on",
        "StartRestore" => "begins",
        "PollRestore" => "restores, and looks at what was restored",
        "RemoveScratch" => "removes the scratch place",
        "AnnounceRestore" | "TellOfProblem" | "TellOfRefusal" => "tells people",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use lifeboat_core::{backup::PointId, plan_file};

    use super::*;

    fn shown(kind: Kind, id: Option<&str>, to: Option<&str>, target: Target) -> String {
        let plan = include_str!("../../../events/plan/queue.toml");
        let asked = Order {
            app: "queue".parse().unwrap(),
            kind,
            id: id.map(|id| PointId::new(id).unwrap()),
            to: to.map(|to| to.parse().unwrap()),
            target,
        };
        let plan = plan_file::read(plan).unwrap();
        assert!(order(&asked, &plan, "eu-west-1", "").unwrap_err().contains("give --region"));
        order(&asked, &plan, "us-west-2", "verified at noon").unwrap().join("\n")
    }

    #[test]
    fn it_is_shown_what_goes_where() {
        let id = Some("20261124T020000Z-full");
        let to = Some("2026-11-24T12:00:00Z");
        let text = shown(Kind::DatabaseSnapshot, None, to, Target::Place);
        let expected = "restore database-snapshot of queue to 2026-11-24T12:00:00Z\n  why    verified \
                        at noon\n  from   what lies in us-west-2\n  into   a NEW instance \
                        queue-restored-t261124120000, which is kept; queue-b is left as it is";
        assert_eq!(text, expected);
        let text = shown(Kind::DatabaseSnapshot, id, None, Target::Place);
        assert!(text.contains("NEW instance queue-restored-20261124020000,"), "{text}");
        let text = shown(Kind::DatabaseDump, id, None, Target::Place);
        assert!(text.contains("(queue-b), which must be empty"), "{text}");
        for kind in Kind::ALL {
            let text = shown(kind, id, None, Target::Scratch);
            assert!(text.contains("scratch") && text.contains("when it was looked at"), "{text}");
            let text = shown(kind, id, None, Target::Place);
            assert!(!text.contains("scratch") && text.contains("20261124T020000Z-full"), "{text}");
        }
    }

    #[test]
    fn what_the_machine_answers_is_told() {
        let answer = r#"{"outcome":"restored","app":"queue","kind":"cache","id":"x","to":null,
            "target":"scratch","reason":"verified","result":{"started_at":"2026-11-24T12:00:00Z",
            "ended_at":"2026-11-24T12:01:05Z","outcome":"damaged","facts":["7 keys were read"],
            "findings":[{"file":"dump.rdb","place":"","message":"cut short"}]}}"#;
        let Ended::Restored { result: found, .. } = serde_json::from_str(answer).unwrap() else {
            panic!("it was restored")
        };
        let expected =
            "restored in 65 s, and DAMAGED\n  7 keys were read\n  damaged: dump.rdb: cut short";
        assert_eq!(result(&found).join("\n"), expected);
        let refused = r#"{"outcome":"unreliable","reason":"never verified","instead":null}"#;
        assert!(matches!(serde_json::from_str(refused).unwrap(), Ended::Unreliable { .. }));
        assert_eq!(doing("PollRestore"), Some("restores, and looks at what was restored"));
        assert_eq!(doing("IsScratch"), None);
    }
}
