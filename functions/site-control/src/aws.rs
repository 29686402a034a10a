//! The ports on AWS: Parameter Store, the ledger, Run Command.

use std::time::Duration;

use aws_sdk_ssm::{
    Client,
    types::{Command, CommandInvocation, CommandInvocationStatus, CommandStatus, Target},
};
use lifeboat_core::{
    AppName, Fault, Region,
    contract::Authority,
    plan_file::{AppPlan, HostTag},
};
use lifeboat_ledger::Ledger;
use lifeboat_parameters::Parameters;
use lifeboat_runtime::{aws, env};
use site_control::{
    Authorizer, DOCUMENT, FENCE_LIMIT, HostFailure, Hosts, Order, Plans, Ports, Progress,
};

/// Seconds within which a host must take the command: the shortest that Systems Manager accepts
/// (API reference, `SendCommand`, `TimeoutSeconds`).
const DELIVERY_SECONDS: i32 = 30;
/// How long one attempt may take on another region, connecting included: that region may be dark.
const FAR_ATTEMPT: Duration = Duration::from_millis(700);
/// Hosts whose failure is looked up and told; the others fail for the same reason nearly always.
const FAILURES_TOLD: usize = 5;

/// The ports of this deployment.
pub(crate) async fn ports() -> Result<Ports<PlanStore, LedgerKeeper, RunCommand>, Fault> {
    let region = Region::new(env::required("AWS_REGION")?)
        .map_err(|error| Fault::needs_human(error.to_string()))?;
    let config = aws::config().await;
    let prefix = env::required("LEDGER_BUCKET_PREFIX")?;
    Ok(Ports {
        plans: PlanStore(Parameters::new(&config)),
        // Authority is read from this region's record alone.
        authorizer: LedgerKeeper(Ledger::new(&config, prefix, region.clone(), Vec::new())),
        hosts: RunCommand::new(config, region.clone()),
        region,
    })
}

/// Plans in Parameter Store.
pub(crate) struct PlanStore(Parameters);

impl Plans for PlanStore {
    async fn plan(&self, app: &AppName) -> Result<AppPlan, Fault> {
        self.0.plan(app).await
    }
}

/// The ledger of this region.
pub(crate) struct LedgerKeeper(Ledger);

impl Authorizer for LedgerKeeper {
    async fn authorize(&self, authority: &Authority) -> Result<(), Fault> {
        self.0.authorize(authority).await.map(|_| ())
    }
}

/// Run Command, in this region and in others.
pub(crate) struct RunCommand {
    near: Client,
    own: Region,
    config: aws_config::SdkConfig,
}

impl RunCommand {
    pub(crate) fn new(config: aws_config::SdkConfig, own: Region) -> Self {
        Self { near: Client::new(&config), own, config }
    }

    fn in_region(&self, region: &Region) -> Client {
        if *region == self.own {
            return self.near.clone();
        }
        let config = aws::in_region(&self.config, region.as_str());
        Client::new(&aws::with_limits(&config, FAR_ATTEMPT, FENCE_LIMIT, 1))
    }

    async fn failures(&self, client: &Client, command: &str) -> Result<Vec<HostFailure>, Fault> {
        let listed = client
            .list_command_invocations()
            .command_id(command)
            .send()
            .await
            .map_err(|error| aws::fault("list what the hosts did", error))?;
        let failed = listed
            .command_invocations()
            .iter()
            .filter(|invocation| invocation.status() != Some(&CommandInvocationStatus::Success));
        let mut failures = Vec::new();
        for invocation in failed.take(FAILURES_TOLD) {
            failures.push(failure(client, command, invocation).await);
        }
        Ok(failures)
    }
}

impl Hosts for RunCommand {
    async fn send(&self, region: &Region, hosts: &HostTag, order: &Order) -> Result<String, Fault> {
        let target = Target::builder().key(format!("tag:{}", hosts.tag)).values(&hosts.value);
        let mut request = self
            .in_region(region)
            .send_command()
            .document_name(DOCUMENT)
            .targets(target.build())
            .timeout_seconds(DELIVERY_SECONDS)
            // Every host gets the order at once, whatever another one makes of it.
            .max_concurrency("100%")
            .max_errors("100%")
            .comment(format!("{} {} epoch {}", order.action.as_str(), order.app, order.epoch));
        for (name, value) in order.parameters() {
            request = request.parameters(name, vec![value]);
        }
        let sent = request
            .send()
            .await
            .map_err(|error| aws::fault(&format!("send {DOCUMENT} to {region}"), error))?;
        sent.command()
            .and_then(Command::command_id)
            .map(str::to_owned)
            .ok_or_else(|| Fault::transient("Systems Manager took the command and named no id"))
    }

    async fn progress(&self, region: &Region, command: &str) -> Result<Progress, Fault> {
        let client = self.in_region(region);
        let listed =
            client.list_commands().command_id(command).send().await.map_err(|error| {
                aws::fault(&format!("ask {region} about command {command}"), error)
            })?;
        // A command that has just been sent is not always listed yet.
        let Some(found) = listed.commands().first() else { return Ok(Progress::Pending) };
        match outcome_of(found) {
            Outcome::Pending => Ok(Progress::Pending),
            Outcome::Succeeded => match u32::try_from(found.target_count()) {
                Ok(hosts) if hosts > 0 => Ok(Progress::Succeeded { hosts }),
                Ok(_) | Err(_) => Ok(Progress::NoHosts),
            },
            Outcome::Failed if found.target_count() == 0 => Ok(Progress::NoHosts),
            Outcome::Failed => Ok(Progress::Failed(self.failures(&client, command).await?)),
        }
    }
}

/// What a command's status comes to.
enum Outcome {
    Pending,
    Succeeded,
    Failed,
}

fn outcome_of(command: &Command) -> Outcome {
    // A status that is not known has not succeeded.
    match command.status() {
        None
        | Some(CommandStatus::Pending | CommandStatus::InProgress | CommandStatus::Cancelling) => {
            Outcome::Pending
        }
        Some(CommandStatus::Success) => Outcome::Succeeded,
        Some(_) => Outcome::Failed,
    }
}

async fn failure(client: &Client, command: &str, invocation: &CommandInvocation) -> HostFailure {
    let host = invocation.instance_id().unwrap_or("unknown").to_owned();
    let status = invocation.status_details().unwrap_or("failed").to_owned();
    let asked = client.get_command_invocation().command_id(command).instance_id(&host).send().await;
    match asked {
        Ok(told) => HostFailure {
            host,
            status,
            // Run Command gives -1 while, or because, the script did not run.
            exit_code: Some(told.response_code()).filter(|code| *code >= 0),
            last_line: last_line(told.standard_error_content().unwrap_or_default()),
        },
        // That it failed is known; the details are a courtesy that must not hide it.
        Err(error) => HostFailure {
            host,
            status,
            exit_code: None,
            last_line: aws::fault("ask for the host's output", error).message,
        },
    }
}

/// The last line that says something, cut to what fits a message.
///
/// Run Command adds a line of its own after the script's.
fn last_line(text: &str) -> String {
    text.lines()
        .map(str::trim)
        .rfind(|line| !line.is_empty() && !line.starts_with("failed to run commands:"))
        .unwrap_or_default()
        .chars()
        .take(300)
        .collect()
}

#[cfg(test)]
mod tests;
