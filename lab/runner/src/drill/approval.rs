//! `approval`: an operator leaves a site that answers, and a person has to approve.
//!
//! The person is a shell: it runs the command that the message shows, word for word but for the
//! name.

use std::time::Duration;

use serde_json::Value;

use crate::{
    clock,
    lab::{Lab, LabError, STANDBY},
};

/// Until the message has come.
const ASKED_WITHIN: Duration = Duration::from_secs(30);
/// Who approves.
pub(super) const APPROVER: &str = "grace";

/// Starts the recovery against the votes, and approves it when asked; the execution's ARN.
pub(super) async fn start_and_approve(lab: &Lab) -> Result<Option<String>, LabError> {
    let arn = lab.operator_starts("ada", true).await?;
    let command = clock::find(ASKED_WITHIN, || async { command_shown(lab) })
        .await
        .ok_or_else(|| LabError::new("nobody was asked to approve within 30 s"))?;
    lab.run_as_operator(&command.replace("YOUR NAME", APPROVER)).await?;
    Ok(arn)
}

/// The command that approves, as a message on the topic shows it.
fn command_shown(lab: &Lab) -> Option<String> {
    let deliveries = lab.capture.deliveries();
    let texts = deliveries.iter().filter(|delivery| delivery.channel == "sns");
    texts.filter_map(|delivery| delivery.body.get("Message").and_then(Value::as_str)).find_map(
        |text| {
            let mut lines = text.lines().map(str::trim);
            lines.find(|line| line.contains("send-task-success")).map(str::to_owned)
        },
    )
}

impl Lab {
    /// Runs a line of shell as an operator would, with the project's AWS CLI first in the path.
    async fn run_as_operator(&self, line: &str) -> Result<String, LabError> {
        let tools = self.root.join("target/tools/venv/bin");
        let path = format!("{}:/usr/bin:/bin", tools.display());
        let mut environment = self.aws.environment(STANDBY.region);
        environment.push(("PATH", path));
        self.aws.shell(line, environment).await
    }
}
