//! Static checks of the state machines: what a broken one would only show during a disaster.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may fail where it stands"
)]

use std::collections::{BTreeMap, BTreeSet};

use lifeboat_core::ErrorName;
use lifeboat_tests::{files, json as read, root};
use serde_json::{Map, Value, json};

/// The error names that Step Functions and Lambda define and our machines may match.
const BUILT_IN: [&str; 13] = [
    "States.ALL",
    "States.Timeout",
    "States.TaskFailed",
    "Lambda.ClientExecutionTimeoutException",
    "Lambda.ServiceException",
    "Lambda.AWSLambdaException",
    "Lambda.SdkClientException",
    "Lambda.TooManyRequestsException",
    "Lambda.Unknown",
    // A function of a provided runtime that ran out of time, or ended by itself.
    "Sandbox.Timedout",
    "Runtime.ExitError",
    // The service's name as the SDK has it, and the error's with "Exception" behind it, whatever the API calls
    // it (developer guide, "AWS SDK service integrations").
    "Sfn.ExecutionDoesNotExistException",
    // What a person answers with, by `send-task-failure --error Declined`.
    "Declined",
];

type States = Map<String, Value>;

/// Every machine, and inside it every set of states (a Map's processor is one of its own).
fn machines() -> Vec<(String, Value)> {
    let found = files("infra/statemachines", ".asl.json").unwrap();
    assert!(!found.is_empty());
    found
        .iter()
        .map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, read(path).unwrap())
        })
        .collect()
}

fn scopes(machine: &Value) -> Vec<(String, States)> {
    let mut found = vec![(
        machine["StartAt"].as_str().unwrap().to_owned(),
        machine["States"].as_object().unwrap().clone(),
    )];
    let mut at = 0;
    while at < found.len() {
        let inner: Vec<(String, States)> = found[at]
            .1
            .values()
            .flat_map(|state| {
                let branches = state["Branches"].as_array().cloned().unwrap_or_default();
                branches.into_iter().chain(state.get("ItemProcessor").cloned())
            })
            .map(|scope| {
                let start = scope["StartAt"].as_str().unwrap().to_owned();
                (start, scope["States"].as_object().unwrap().clone())
            })
            .collect();
        found.extend(inner);
        at += 1;
    }
    found
}

fn successors(state: &Value) -> Vec<String> {
    let list = |key: &str| state[key].as_array().cloned().unwrap_or_default();
    [state.get("Next"), state.get("Default")]
        .into_iter()
        .flatten()
        .cloned()
        .chain(list("Choices").into_iter().map(|choice| choice["Next"].clone()))
        .chain(list("Catch").into_iter().map(|catch| catch["Next"].clone()))
        .map(|next| next.as_str().expect("Next is a name").to_owned())
        .collect()
}

fn each_state(check: impl Fn(&str, &str, &Value)) {
    for (file, machine) in machines() {
        for (_, states) in scopes(&machine) {
            for (name, state) in &states {
                check(&file, name, state);
            }
        }
    }
}

#[test]
fn every_next_exists_and_every_state_is_reachable() {
    for (file, machine) in machines() {
        for (start, states) in scopes(&machine) {
            let mut seen = BTreeSet::new();
            let mut todo = vec![start];
            while let Some(name) = todo.pop() {
                let state = states.get(&name).unwrap_or_else(|| panic!("{file}: no state {name}"));
                if seen.insert(name) {
                    todo.extend(successors(state));
                }
            }
            let all: BTreeSet<String> = states.keys().cloned().collect();
            assert_eq!(seen, all, "{file}: unreachable states");
        }
    }
}

#[test]
fn every_state_says_why_and_every_path_ends() {
    each_state(|file, name, state| {
        assert!(name.len() <= 80, "{file}: {name}");
        assert!(state["Comment"].as_str().is_some_and(|c| c.len() > 10), "{file}: {name} says why");
        let kind = state["Type"].as_str().unwrap();
        let ends = state["End"] == true || matches!(kind, "Succeed" | "Fail");
        assert!(ends || !successors(state).is_empty(), "{file}: {name} leads nowhere");
        if kind == "Choice" {
            assert!(state.get("Default").is_some(), "{file}: {name} has no default");
            assert!(name.starts_with("Is"), "{file}: the choice {name} reads as a question");
        }
    });
}

#[test]
fn machines_are_jsonata_and_bounded() {
    for (file, machine) in machines() {
        assert_eq!(machine["QueryLanguage"], "JSONata", "{file}");
        assert!(machine["TimeoutSeconds"].is_u64(), "{file}: no limit");
        assert!(machine["Comment"].is_string(), "{file}");
    }
}

#[test]
fn every_task_has_a_timeout_and_retries_with_jitter() {
    each_state(|file, name, state| {
        if state["Type"] != "Task" {
            return;
        }
        assert!(state["TimeoutSeconds"].is_u64(), "{file}: {name} has no timeout");
        assert!(state["Catch"].is_array(), "{file}: {name} catches nothing");
        for retry in state["Retry"].as_array().unwrap_or_else(|| panic!("{file}: {name}")) {
            assert_eq!(retry["JitterStrategy"], "FULL", "{file}: {name}");
            assert!(retry["MaxDelaySeconds"].is_u64(), "{file}: {name}");
            assert!(retry["MaxAttempts"].is_u64(), "{file}: {name}");
            let names = retry["ErrorEquals"].as_array().unwrap();
            assert!(
                !names.iter().any(|name| name == "States.ALL"),
                "{file}: {name} retries whatever happens"
            );
        }
    });
}

/// AWS refuses it elsewhere (developer guide, "Handling errors in Step Functions workflows").
#[test]
fn all_errors_are_matched_alone_and_last() {
    each_state(|file, name, state| {
        for kind in ["Retry", "Catch"] {
            let handlers = state[kind].as_array().cloned().unwrap_or_default();
            for (index, handler) in handlers.iter().enumerate() {
                let errors = handler["ErrorEquals"].as_array().unwrap();
                if errors.contains(&"States.ALL".into()) {
                    assert_eq!(errors.len(), 1, "{file}: {name} {kind} names others beside all");
                    assert_eq!(
                        index + 1,
                        handlers.len(),
                        "{file}: {name} {kind} goes on after all"
                    );
                }
            }
        }
    });
}

/// The service wants names unique in the whole machine, inner states included.
#[test]
fn state_names_are_unique_in_each_machine() {
    for (file, machine) in machines() {
        let mut seen = BTreeSet::new();
        for name in scopes(&machine).into_iter().flat_map(|(_, states)| states.into_iter()) {
            assert!(seen.insert(name.0.clone()), "{file}: {} twice", name.0);
        }
    }
}

#[test]
fn error_names_are_known_and_each_of_ours_is_caught() {
    let ours: BTreeSet<&str> = ErrorName::ALL.iter().map(|name| name.as_str()).collect();
    each_state(|file, name, state| {
        for kind in ["Retry", "Catch"] {
            for handler in state[kind].as_array().into_iter().flatten() {
                for error in handler["ErrorEquals"].as_array().unwrap() {
                    let error = error.as_str().unwrap();
                    let is_known = ours.contains(error) || BUILT_IN.contains(&error);
                    assert!(is_known, "{file}: {name} matches {error}, which nobody raises");
                }
            }
        }
        if state["Type"] == "Fail" {
            let error = state["Error"].as_str().unwrap();
            assert!(ours.contains(error), "{file}: {name} fails with {error}");
        }
        // Whatever a function raises leads on, and a name is only given where it leads elsewhere.
        let Some(catchers) = state["Catch"].as_array() else { return };
        let (last, named) = catchers.split_last().unwrap();
        assert_eq!(last["ErrorEquals"], json!(["States.ALL"]), "{file}: {name} lets errors past");
        let way = |catcher: &Value| (catcher["Next"].clone(), catcher["Assign"].clone());
        for catcher in named {
            assert_ne!(way(catcher), way(last), "{file}: {name} names what all errors do anyway");
        }
    });
}

#[test]
fn nothing_is_retried_or_undone_after_a_newer_epoch() {
    each_state(|file, name, state| {
        for retry in state["Retry"].as_array().into_iter().flatten() {
            for error in retry["ErrorEquals"].as_array().unwrap() {
                assert!(
                    !["StaleEpoch", "Refused", "InvalidInput", "NeedsHuman"]
                        .contains(&error.as_str().unwrap()),
                    "{file}: {name} retries {error}"
                );
            }
        }
    });
}

#[test]
fn substitutions_match_the_template_both_ways() {
    let template = std::fs::read_to_string(root().join("infra/template.yaml")).unwrap();
    for path in files("infra/statemachines", ".asl.json").unwrap() {
        let file = path.file_name().unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        let used: BTreeSet<String> = text
            .split("${")
            .skip(1)
            .map(|rest| rest.split('}').next().unwrap().to_owned())
            .collect();
        let after = template.split(&format!("statemachines/{file}")).nth(1).unwrap();
        let block = after.split("DefinitionSubstitutions:").nth(1).unwrap();
        let given: BTreeSet<String> = block
            .lines()
            .skip(1)
            .take_while(|line| line.starts_with("        "))
            .map(|line| line.trim().split(':').next().unwrap().to_owned())
            .collect();
        assert_eq!(used, given, "{file}");
    }
}

/// A region of China or of a government has another partition, where an ARN of `aws` is none.
#[test]
fn nothing_that_deploys_names_a_partition() {
    let machines = files("infra/statemachines", ".json").unwrap();
    let templates = files("infra", ".yaml").unwrap();
    assert!(machines.len() >= 6 && templates.len() >= 3);
    for path in machines.into_iter().chain(templates) {
        let text = std::fs::read_to_string(&path).unwrap();
        for (number, line) in text.lines().enumerate() {
            // A pattern for all partitions, and what people read.
            let told = line.contains("Description:") || line.contains("AllowedPattern:");
            assert!(told || !line.contains("arn:aws"), "{}:{}", path.display(), number + 1);
        }
    }
}

#[test]
fn recover_is_bounded_by_the_ledgers_hold() {
    let all: BTreeMap<String, Value> = machines().into_iter().collect();
    let limit = all["recover.asl.json"]["TimeoutSeconds"].as_i64().unwrap();
    assert!(limit < lifeboat_core::ledger::HOLD_SECONDS, "a live recovery could lose the register");
}

/// The states that a state can come back to itself by.
fn cycle(states: &States, start: &str) -> BTreeSet<String> {
    let reached = |from: &str| {
        let mut seen = BTreeSet::new();
        let mut todo = successors(&states[from]);
        while let Some(name) = todo.pop() {
            if seen.insert(name.clone()) {
                todo.extend(successors(&states[&name]));
            }
        }
        seen
    };
    reached(start).into_iter().filter(|name| reached(name).contains(start)).collect()
}

/// A loop that nothing counts fills an execution's 25,000 events, and its lists 256 KiB, which no
/// Catch sees.
#[test]
fn every_loop_is_counted() {
    let mut loops = 0;
    for (file, machine) in machines() {
        for (_, states) in scopes(&machine) {
            for name in states.keys() {
                let cycle = cycle(&states, name);
                if !cycle.contains(name) {
                    continue;
                }
                loops += 1;
                let is_counted = cycle.iter().any(|member| {
                    let rules = states[member]["Choices"].as_array().into_iter().flatten();
                    rules.clone().any(|rule| {
                        let stays = cycle.contains(rule["Next"].as_str().unwrap());
                        let condition = rule["Condition"].as_str().unwrap();
                        // By a number of rounds, or by the pages that there are.
                        let limit =
                            condition.split(" < ").nth(1).or(condition.split(" <= ").nth(1));
                        let rounds = limit.and_then(|rest| rest.split(' ').next()?.parse().ok());
                        stays
                            && (rounds.is_some_and(|n: u32| n <= 240)
                                || condition.contains("$token"))
                    })
                });
                // What an operator asked for is waited for until the machine's limit, which pages. Each
                // round is 12 polls of about 15 s: in 14 hours 3,400 polls of 3 events.
                let is_asked = file == "backup.asl.json" && cycle.contains("IsWaitedFor");
                assert!(is_counted || is_asked, "{file}: {name} can go round for ever");
            }
        }
    }
    assert!(loops >= 5, "only {loops} states in loops");
}

/// How long Run Command offers the order to a host: `DELIVERY_SECONDS` of site-control.
const DELIVERY_SECONDS: u64 = 30;

#[test]
fn hosts_are_waited_for_as_long_as_their_hooks_may_take() {
    let longest = DELIVERY_SECONDS + u64::from(*lifeboat_core::plan_file::HOOK_SECONDS.end());
    let mut found = 0;
    for (file, machine) in machines() {
        let states = machine["States"].as_object().unwrap();
        let Some(choice) = states.get("IsSiteActivated") else { continue };
        found += 1;
        let rule = &choice["Choices"][0];
        let polls = rule["Condition"].as_str().unwrap().split(" < ").nth(1).unwrap();
        let polls: u64 = polls.split(' ').next().unwrap().parse().unwrap();
        let pause = states[rule["Next"].as_str().unwrap()]["Seconds"].as_u64().unwrap();
        let waited = polls * pause;
        assert!(waited > longest, "{file}: waits {waited} s, hooks may take {longest} s");
    }
    assert_eq!(found, 2);
}

#[test]
fn hosts_that_never_end_their_document_reach_a_person() {
    let all: BTreeMap<String, Value> = machines().into_iter().collect();
    let states = all["recover.asl.json"]["States"].as_object().unwrap();
    let rules = states["IsSiteActivated"]["Choices"].as_array().unwrap();
    assert_eq!(rules[1]["Condition"], "{% $activation.state = 'in_progress' %}");
    let gives_up = rules[1]["Next"].as_str().unwrap();
    assert_eq!(successors(&states[gives_up]), ["CloseFailed"]);
    // A poll replaces the one before it, or the list would outgrow what a state may hold.
    let steps = states["ActivateSite"]["Assign"]["steps"].as_str().unwrap();
    assert!(steps.contains("$append($steps[name != $states.context.State.Name]"), "{steps}");
}

/// How long a document may run on a host: `timeoutSeconds` of those in infra/documents.
const DOCUMENT_SECONDS: u64 = 21_600;

/// The machines of backups, with how long their longest task may go on being asked about.
#[test]
fn what_is_waited_for_ends_before_its_machine_does() {
    for (file, machine) in machines() {
        let limit = machine["TimeoutSeconds"].as_u64().unwrap();
        for (_, states) in scopes(&machine) {
            for (name, state) in &states {
                let waits = state["Retry"].as_array().into_iter().flatten().filter(|retry| {
                    retry["ErrorEquals"].as_array().unwrap().contains(&"NotReady".into())
                });
                for retry in waits {
                    let longest = retry["MaxDelaySeconds"].as_u64().unwrap()
                        * retry["MaxAttempts"].as_u64().unwrap();
                    assert!(longest < limit, "{file}: {name} waits {longest} s of {limit}");
                    // The jitter takes half of each wait on average.
                    let host_works = longest > DOCUMENT_SECONDS;
                    let enough = longest / 2 > DOCUMENT_SECONDS;
                    assert!(
                        !host_works || enough,
                        "{file}: {name} gives up after {} s",
                        longest / 2
                    );
                }
            }
        }
    }
}

#[test]
fn a_scratch_place_is_removed_however_its_restore_ended() {
    let all: BTreeMap<String, Value> = machines().into_iter().collect();
    let of = |file: &str| -> States {
        let inner = scopes(&all[file]).into_iter().map(|(_, states)| states);
        inner.into_iter().find(|states| states.contains_key("StartRestore")).unwrap()
    };
    // What could not be told is counted first.
    let within = ["IsRestored", "PollRestore", "RecordRestore", "CountAttempt", "IsScratchLeft"];
    for (file, removal) in [("verify.asl.json", "RemoveScratch"), ("restore.asl.json", "IsScratch")]
    {
        let states = of(file);
        for name in ["StartRestore", "PollRestore", "RecordRestore", "CountAttempt"] {
            let Some(state) = states.get(name) else { continue };
            for next in successors(state) {
                let leads = next == removal || within.contains(&next.as_str());
                assert!(leads, "{file}: {name} leads past the removal to {next}");
            }
        }
    }
    let choice = &of("verify.asl.json")["IsScratchLeft"]["Choices"][0];
    assert_eq!(choice["Condition"], "{% $depth = 'restored' %}");
    assert_eq!(choice["Next"], "RemoveScratch");
    // What was restored to be used is not removed, and everything else is.
    let states = of("restore.asl.json");
    assert_eq!(states["IsScratch"]["Choices"].as_array().unwrap().len(), 1);
    assert_eq!(states["IsScratch"]["Choices"][0]["Condition"], "{% $target = 'scratch' %}");
    assert_eq!(states["IsScratch"]["Choices"][0]["Next"], "RemoveScratch");
    let removes: Vec<&String> = states
        .iter()
        .filter(|(_, state)| state["Arguments"]["Payload"]["action"] == "remove")
        .map(|(name, _)| name)
        .collect();
    assert_eq!(removes, ["RemoveScratch"]);
}

/// A check that cannot tell pages once, not each hour with a new scratch server for ever: each way in
/// which one fails leads over the count, which says whether a person is told.
#[test]
fn every_check_that_cannot_tell_is_counted() {
    let all: BTreeMap<String, Value> = machines().into_iter().collect();
    let (_, states) = scopes(&all["verify.asl.json"])
        .into_iter()
        .find(|(_, states)| states.contains_key("CheckCopy"))
        .unwrap();
    for name in ["CheckCopy", "StartRestore", "PollRestore", "RecordRestore"] {
        let catches = states[name]["Catch"].as_array().unwrap();
        let last = catches.last().unwrap();
        assert_eq!(last["ErrorEquals"], serde_json::json!(["States.ALL"]), "{name}");
        assert_eq!(last["Next"], "CountAttempt", "{name}");
    }
    let count = &states["CountAttempt"];
    assert_eq!(count["Arguments"]["Payload"]["run"], "{% $states.context.Execution.StartTime %}");
    let problem = count["Assign"]["problem"].as_str().unwrap();
    assert!(problem.contains("$p.tell ? $problem") && problem.contains(": '')"), "{problem}");
}

#[test]
fn only_people_start_a_restore_into_use() {
    let template = std::fs::read_to_string(root().join("infra/template.yaml")).unwrap();
    for schedule in template.split("Type: AWS::Scheduler::Schedule\n").skip(1) {
        let schedule = schedule.split("\n\n").next().unwrap();
        assert!(!schedule.contains("RestoreStateMachine"), "{schedule}");
    }
    let all: BTreeMap<String, Value> = machines().into_iter().collect();
    for (file, machine) in all.iter().filter(|(file, _)| *file != "restore.asl.json") {
        for (_, states) in scopes(machine) {
            for (name, state) in &states {
                let target = &state["Arguments"]["Payload"]["target"];
                let restores = state["Arguments"]["FunctionName"] == "${RestoreBackupFunctionArn}";
                let scratch = target.is_null() || target == "scratch";
                assert!(!restores || scratch, "{file}: {name} restores into {target}");
            }
        }
    }
}

#[test]
fn every_failure_of_a_backup_reaches_a_person() {
    let all: BTreeMap<String, Value> = machines().into_iter().collect();
    for file in ["backup.asl.json", "restore.asl.json", "sweep.asl.json", "verify.asl.json"] {
        for (_, states) in scopes(&all[file]) {
            let tells: Vec<&String> =
                states.keys().filter(|name| name.starts_with("TellOf")).collect();
            for name in &tells {
                let untold: Vec<String> = successors(&states[*name])
                    .into_iter()
                    .filter(|next| next.starts_with("PeopleNotTold"))
                    .collect();
                assert_eq!(untold.len(), 1, "{file}: {name}");
                assert_eq!(states[&untold[0]]["Type"], "Fail", "the rule on failures pages");
            }
        }
    }
}

/// A verdict that has not held is looked at again when the plan says, and nothing else waits.
#[test]
fn a_recovery_that_waits_looks_again_and_the_machine_decides_nothing() {
    let all: BTreeMap<String, Value> = machines().into_iter().collect();
    let states = &all["recover.asl.json"]["States"];
    let read: Vec<(&str, &str)> = states["IsPlanToProceed"]["Choices"]
        .as_array()
        .unwrap()
        .iter()
        .map(|choice| (choice["Condition"].as_str().unwrap(), choice["Next"].as_str().unwrap()))
        .collect();
    for (decision, next) in [
        ("proceed", "ClaimEpoch"),
        ("ask_approval", "ApproveRecovery"),
        // More looks than a plan ever asks for.
        ("wait' and $looks < 100 %}", "WaitAndLookAgain"),
        ("stand_down", "CloseStoodDown"),
    ] {
        let begins = format!("{{% $plan.decision = '{decision}");
        assert!(
            read.iter().any(|(condition, to)| condition.starts_with(&begins) && *to == next),
            "{decision}: {read:?}"
        );
    }
    assert_eq!(read.len(), 4, "{read:?}");
    assert_eq!(states["IsPlanToProceed"]["Default"], "NoPathIsOpen");
    assert_eq!(states["WaitAndLookAgain"]["Seconds"], "{% $plan.wait_seconds %}");
    assert_eq!(states["WaitAndLookAgain"]["Next"], "LookAgain");
    assert_eq!(states["LookAgain"]["Next"], "PlanRecovery");
    assert_eq!(states["LookAgain"]["Assign"]["looks"], "{% $looks + 1 %}");
    assert_eq!(states["PlanRecovery"]["Arguments"]["Payload"]["looks"], "{% $looks %}");
}
