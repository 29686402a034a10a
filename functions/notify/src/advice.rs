//! What the reader has to do, with the commands to paste.

use lifeboat_core::{
    Region,
    contract::notify::{Request, Stage},
    recovery_plan::RecoveryPlan,
};

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Advice {
    /// In words.
    pub(crate) text: String,
    /// As a command for a shell.
    pub(crate) command: Option<String>,
}

impl Advice {
    fn say(text: impl Into<String>) -> Self {
        Self { text: text.into(), command: None }
    }

    fn run(text: impl Into<String>, command: String) -> Self {
        Self { text: text.into(), command: Some(command) }
    }
}

/// What to do at this stage. Never empty.
pub(crate) fn advice(request: &Request, region: &Region) -> Vec<Advice> {
    match request.stage {
        Stage::Started => {
            vec![Advice::say(
                "Nothing yet: the recovery works by itself, asks when it needs a person, and tells how it ends.",
            )]
        }
        Stage::ApprovalNeeded => match &request.task_token {
            Some(token) => approval(token, request.plan.as_ref(), region),
            None => vec![Advice::say(format!(
                "Approve or decline in the Step Functions console of {region}: this message has no \
                 task token, which the commands need."
            ))],
        },
        Stage::Overdue => {
            let recover = format!("lifeboat recover --app {} --region {region}", request.app);
            let mut all = vec![Advice::run("Follow it, live:", recover)];
            if let Some(execution) = &request.execution {
                let stop = format!(
                    "aws stepfunctions stop-execution --region {region} --execution-arn '{execution}'"
                );
                all.extend([
                    Advice::run("See what its last steps answered:", history(execution, region)),
                    Advice::run(
                        "Mend what it waits for, and it goes on by itself. To begin anew, stop it, and give \
                         the first command again, which goes on from what is true:",
                        stop,
                    ),
                ]);
            }
            all
        }
        Stage::Recovered => vec![Advice::say(
            "Nothing for the users. Rebuild a standby before the next outage; the lost site fences \
             itself when it returns.",
        )],
        Stage::StoodDown => vec![Advice::say(
            "Nothing: no site was changed. If users are not served all the same, start a recovery \
             by hand.",
        )],
        Stage::Failed => {
            let text = "Find the step that failed, mend its cause, and start the recovery again; \
                        every step is safe to repeat.";
            let look = match &request.execution {
                Some(execution) => Advice::run(text, history(execution, region)),
                None => Advice::say(text),
            };
            let again = format!("lifeboat recover --app {} --region {region}", request.app);
            vec![look, Advice::run("To start it again:", again)]
        }
    }
}

/// The command that shows the last events of an execution.
fn history(execution: &str, region: &Region) -> String {
    format!(
        "aws stepfunctions get-execution-history --region {region} --execution-arn '{execution}' \
         --reverse-order --max-items 20"
    )
}

/// The commands that approve and decline. The approval repeats the estimate that was shown, so that
/// a loss that has grown since then is not taken for approved.
fn approval(token: &str, plan: Option<&RecoveryPlan>, region: &Region) -> Vec<Advice> {
    let shown = plan
        .and_then(|plan| plan.estimated_loss_seconds)
        .map_or_else(|| "null".to_owned(), |loss| loss.to_string());
    let answer = |verdict: &str| {
        format!("aws stepfunctions send-task-{verdict} --region {region} --task-token '{token}'")
    };
    vec![
        Advice::run(
            "To approve, put your name in the place of YOUR NAME (a loss that is known grows by a second each \
             second until then, which is approved too; the sites are looked at once more):",
            format!(
                "{} --task-output '{{\"approver\":\"YOUR NAME\",\"approved_at\":\"'$(date -u \
                 +%FT%TZ)'\",\"shown_loss_seconds\":{shown}}}'",
                answer("success")
            ),
        ),
        Advice::run(
            "To decline:",
            format!("{} --error Declined --cause 'YOUR NAME: YOUR REASON'", answer("failure")),
        ),
        Advice::say("Silence is neither: it ends this recovery without a failover."),
    ]
}
