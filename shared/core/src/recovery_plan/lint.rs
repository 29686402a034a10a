//! The rules that every plan must follow before it is run.

use super::{Action, Decision, RecoveryPlan};

/// What is wrong with a plan; empty when it may be run.
#[must_use]
pub fn lint(plan: &RecoveryPlan) -> Vec<String> {
    let mut wrong = Vec::new();
    let goes_on = matches!(plan.decision, Decision::Proceed | Decision::AskApproval);
    if (plan.decision == Decision::Wait) != plan.wait_seconds.is_some_and(|seconds| seconds > 0) {
        wrong.push("it waits without an end, or has one without waiting".into());
    }
    if !goes_on {
        if !plan.steps.is_empty() {
            wrong.push("a plan that does not go on has steps".into());
        }
        return wrong;
    }
    if plan.target == plan.old_active {
        wrong.push("the target is the site that is active".into());
    }
    if plan.decision == Decision::Proceed
        && plan.approved_by.is_none()
        && plan.estimated_loss_seconds.is_none_or(|loss| loss > f64::from(plan.rpo_seconds))
    {
        wrong.push("it would lose more than the RPO and asks nobody".into());
    }
    let place =
        |wanted: &[Action]| plan.steps.iter().position(|step| wanted.contains(&step.action));
    let order = [
        (&[Action::ClaimEpoch][..], "claim the epoch"),
        (&[Action::Fence], "fence the old site"),
        (&[Action::Promote], "promote"),
        (&[Action::Activate], "activate"),
        (&[Action::Verify], "verify"),
        (&[Action::SwitchByHealthCheck, Action::SwitchByRecord], "switch traffic"),
    ];
    let mut last = None;
    for (actions, name) in order {
        match place(actions) {
            None => wrong.push(format!("it does not {name}")),
            Some(at) if last.is_some_and(|last| at < last) => {
                wrong.push(format!("it does {name} too early"));
            }
            Some(at) => last = Some(at),
        }
    }
    for step in &plan.steps {
        let wanted = if step.action == Action::Fence { &plan.old_active } else { &plan.target };
        if step.site != *wanted {
            wrong.push(format!("it does {:?} on site {}", step.action, step.site));
        }
        if step.reason.is_empty() {
            wrong.push(format!("{:?} has no reason", step.action));
        }
    }
    wrong
}
