//! What is said of a recovery.

use lifeboat_core::{AppName, Region, SiteName};

use crate::credentials;

/// What the log keeps of who asked: never empty.
pub(super) fn who(name: Option<&str>, caller: &str) -> String {
    match name {
        Some(name) => format!("{name} ({caller})"),
        None => caller.to_owned(),
    }
}

/// The command that recovers, as it is typed.
pub(super) fn command(app: &AppName, region: &Region) -> String {
    format!("lifeboat recover --app {app} --region {region}{}", credentials::option())
}

/// The command that shows which site is active.
pub(super) fn show(app: &AppName, region: &Region) -> String {
    format!("lifeboat plan show --app {app} --region {region}{}", credentials::option())
}

/// The first line.
pub(super) fn begun(incident: &str, app: &AppName, target: &SiteName, new: bool) -> String {
    if new {
        // What comes of it, the votes decide: it may stand down at once.
        format!("started recovery {incident}, to activate site {target} of {app}")
    } else {
        format!("recovery {incident} was started before: site {target} of {app} is its target")
    }
}

/// What a state of the machine does; none of one that takes no time.
pub(super) fn doing(state: &str) -> Option<&'static str> {
    Some(match state {
        "OpenAndAssess" => "takes the register, and looks at the sites",
        "DescribeHolder" => "sees whether the recovery that holds the register still runs",
        "ReleaseHolder" => "releases the register from a recovery that has ended",
        "WaitForOther" => "waits for a recovery of the other region to end",
        "NotifyStarted" => "tells people that it began",
        "PlanRecovery" => "decides what to do",
        "WaitAndLookAgain" => "waits: the votes do not prove the site lost",
        "LookAgain" => "looks at the sites again",
        "ApproveRecovery" => "waits for a person's approval; the message has the commands",
        "RecordApproval" => "was approved",
        "ClaimEpoch" => "makes the site the active one; from here there is only forward",
        "FencePrimary" => "stops the old site from writing",
        "WaitForFence" => "waits for the old site's hosts",
        "WatchTheClock" => "has somebody paged when this takes too long",
        "WaitForPermits" => "waits until the old site's last permit has ended",
        "PromoteReplica" => "promotes the database",
        "ActivateSite" => "starts the app on the site's hosts",
        "WaitForHosts" => "waits for the hosts",
        "VerifySite" => "looks whether the site serves",
        "SwitchTraffic" => "moves the traffic",
        "ConfirmTraffic" => "looks whether resolvers give the new answer",
        "CloseRecovery" | "CloseStoodDown" | "CloseDeclined" | "CloseFailed" => {
            "gives the register back, and closes the log"
        }
        "NotifyRecovered" | "NotifyStoodDown" | "NotifyDeclined" | "NotifyFailed"
        | "NotifySuperseded" => "tells people how it ended",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn each_state(machine: &Value, check: &mut impl FnMut(&str, &str)) {
        for (name, state) in machine["States"].as_object().unwrap() {
            check(name, state["Type"].as_str().unwrap());
            state["Branches"]
                .as_array()
                .into_iter()
                .flatten()
                // In a branch, what is shown is the state that holds the branches.
                .for_each(|branch| assert!(branch["States"].is_object()));
        }
    }

    #[test]
    fn every_state_that_takes_its_time_has_words() {
        let machine = include_str!("../../../infra/statemachines/recover.asl.json");
        let mut seen = 0;
        each_state(&serde_json::from_str(machine).unwrap(), &mut |name, kind| {
            if ["Task", "Wait", "Parallel"].contains(&kind) {
                assert!(doing(name).is_some(), "{name}");
                seen += 1;
            }
        });
        assert!(seen > 15, "{seen}");
    }

    #[test]
    fn who_asked_is_the_caller_and_never_empty() {
        let arn = "arn:aws:sts::123456789012:assumed-role/Operator/ada";
        assert_eq!(who(None, arn), arn);
        assert_eq!(who(Some("ada"), arn), format!("ada ({arn})"));
    }
}
