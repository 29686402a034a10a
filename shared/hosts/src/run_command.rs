//! The calls.

use std::{collections::BTreeMap, time::Duration};

use aws_config::SdkConfig;
use aws_sdk_ssm::{
    Client,
    types::{Command, CommandFilter, CommandFilterKey, InstanceInformationStringFilter, Target},
};
use jiff::Timestamp;
use lifeboat_core::{
    Fault, Region,
    hosts::{Answer, Answers},
    plan_file::HostTag,
};
use lifeboat_runtime::{aws, clock};

use crate::{
    progress::Progress,
    told::{answer, ended, explain, invocations, succeeded, timestamp},
};

/// Hosts whose failure is looked up and told; the others fail for the same reason nearly always.
const FAILURES_TOLD: usize = 5;
/// The longest comment that Systems Manager takes (API reference, `SendCommand`, `Comment`).
const LONGEST_COMMENT: usize = 100;
/// The most commands that are read to find one again: pages of 50, the newest first.
const MOST_COMMANDS: usize = 500;

/// How long calls to another region than the function's own may take: that region may be dark.
#[derive(Debug, Clone, Copy)]
pub struct FarLimits {
    /// One attempt, connecting included; there is only one.
    pub attempt: Duration,
    /// The whole call.
    pub total: Duration,
}

/// Whom a command is sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum To<'a> {
    /// Every host with this tag, at once.
    Tagged(&'a HostTag),
    /// One host, by its managed node id.
    Host(&'a str),
}

/// A document to run, with its parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// The document.
    pub document: &'static str,
    /// Its parameters, by name. They are also how the command is found again.
    pub parameters: Vec<(&'static str, String)>,
    /// For people who look at the commands.
    pub comment: String,
    /// Seconds within which a host must take it, at least 30 (API reference, `SendCommand`,
    /// `TimeoutSeconds`). How long the script may run is the document's own.
    pub delivery_seconds: i32,
}

/// A command that was sent before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its id.
    pub id: String,
    /// When it was sent.
    pub sent_at: Timestamp,
    /// Its parameters.
    pub parameters: BTreeMap<String, String>,
    /// Whether it has ended, and then whether every host did it.
    pub succeeded: Option<bool>,
}

impl Found {
    /// Whether it was sent with these parameters, and no others that the order names.
    #[must_use]
    pub fn is(&self, order: &Order) -> bool {
        order
            .parameters
            .iter()
            .all(|(name, value)| self.parameters.get(*name).is_some_and(|found| found == value))
    }
}

/// Run Command, in the function's region and in others.
#[derive(Debug)]
pub struct RunCommand {
    near: Client,
    own: Region,
    far: FarLimits,
    config: SdkConfig,
}

impl RunCommand {
    /// Run Command for a function that runs in `own`.
    #[must_use]
    pub fn new(config: SdkConfig, own: Region, far: FarLimits) -> Self {
        Self { near: Client::new(&config), own, far, config }
    }

    fn in_region(&self, region: &Region) -> Client {
        if *region == self.own {
            return self.near.clone();
        }
        let config = aws::in_region(&self.config, region.as_str());
        Client::new(&aws::with_limits(&config, self.far.attempt, self.far.total, 1))
    }

    /// Sends a command and gives its id.
    ///
    /// # Errors
    /// As [`aws::fault`]. After `Transient` it may have been sent; see [`RunCommand::recent`].
    pub async fn send(&self, region: &Region, to: To<'_>, order: &Order) -> Result<String, Fault> {
        let document = order.document;
        let mut request = self
            .in_region(region)
            .send_command()
            .document_name(document)
            .timeout_seconds(order.delivery_seconds)
            .comment(order.comment.chars().take(LONGEST_COMMENT).collect::<String>());
        request = match to {
            To::Tagged(hosts) => request
                .targets(
                    Target::builder()
                        .key(format!("tag:{}", hosts.tag))
                        .values(&hosts.value)
                        .build(),
                )
                // Every host gets the order at once, whatever another one makes of it.
                .max_concurrency("100%")
                .max_errors("100%"),
            To::Host(id) => request.instance_ids(id),
        };
        for (name, value) in &order.parameters {
            request = request.parameters(*name, vec![value.clone()]);
        }
        let sent = request
            .send()
            .await
            .map_err(|error| aws::fault(&format!("send {document} to {region}"), error))?;
        sent.command()
            .and_then(Command::command_id)
            .map(str::to_owned)
            .ok_or_else(|| Fault::transient("Systems Manager took the command and named no id"))
    }

    /// How far a command is that every host it was sent to must do.
    ///
    /// # Errors
    /// As [`aws::fault`].
    pub async fn progress(&self, region: &Region, command: &str) -> Result<Progress, Fault> {
        let answers = self.answers(region, command).await?;
        Ok(answers.as_ref().map_or(Progress::Pending, Progress::of))
    }

    /// What each host has answered to a command; none while it is so new that it is not listed.
    ///
    /// # Errors
    /// As [`aws::fault`].
    pub async fn answers(&self, region: &Region, command: &str) -> Result<Option<Answers>, Fault> {
        let client = self.in_region(region);
        let listed =
            client.list_commands().command_id(command).send().await.map_err(|error| {
                aws::fault(&format!("ask {region} about command {command}"), error)
            })?;
        // A command that has just been sent is not always listed yet.
        let Some(found) = listed.commands().first() else { return Ok(None) };
        let asked_at = clock::now();
        let ended = ended(found);
        let targets = u32::try_from(found.target_count()).unwrap_or_default();
        let sent_at = found.requested_date_time().and_then(timestamp).unwrap_or(asked_at);
        let mut hosts = BTreeMap::new();
        // Without targets there are no invocations, and nobody to ask.
        if targets > 0 {
            let mut told = 0;
            for invocation in invocations(&client, command).await? {
                let Some(host) = invocation.instance_id() else { continue };
                let mut answer = answer(&invocation);
                if let Answer::NotDone(failure) = &mut answer
                    && told < FAILURES_TOLD
                {
                    told += 1;
                    explain(&client, command, failure).await;
                }
                hosts.insert(host.to_owned(), answer);
            }
        }
        Ok(Some(Answers { sent_at, asked_at, targets, ended, hosts }))
    }

    /// What the hosts that did a command wrote to standard output, by host; Run Command keeps the
    /// first 24,000 characters of each.
    ///
    /// # Errors
    /// As [`aws::fault`].
    pub async fn outputs(
        &self,
        region: &Region,
        command: &str,
    ) -> Result<Vec<(String, String)>, Fault> {
        let client = self.in_region(region);
        let mut outputs = Vec::new();
        for invocation in invocations(&client, command).await? {
            let host = invocation.instance_id().unwrap_or_default().to_owned();
            let asked =
                client.get_command_invocation().command_id(command).instance_id(&host).send();
            let told = asked.await.map_err(|error| {
                aws::fault(&format!("read what host {host} wrote in command {command}"), error)
            })?;
            outputs.push((host, told.standard_output_content.unwrap_or_default()));
        }
        Ok(outputs)
    }

    /// The online host with the lowest id among those with the tag, so that everyone who asks gets
    /// the same one; none when none is online.
    ///
    /// # Errors
    /// As [`aws::fault`].
    pub async fn pick(&self, region: &Region, hosts: &HostTag) -> Result<Option<String>, Fault> {
        let doing = || format!("list the hosts in {region} with tag {}={}", hosts.tag, hosts.value);
        let filter = |key: &str, value: &str| {
            InstanceInformationStringFilter::builder()
                .key(key)
                .values(value)
                .build()
                .map_err(|error| Fault::invalid(format!("{}: {error}", doing())))
        };
        let mut pages = self
            .in_region(region)
            .describe_instance_information()
            .filters(filter(&format!("tag:{}", hosts.tag), &hosts.value)?)
            .filters(filter("PingStatus", "Online")?)
            .into_paginator()
            .send();
        let mut lowest: Option<String> = None;
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| aws::fault(&doing(), error))?;
            let ids = page.instance_information_list.unwrap_or_default();
            lowest = ids.into_iter().filter_map(|host| host.instance_id).chain(lowest).min();
        }
        Ok(lowest)
    }

    /// The commands of a document that were sent since `since`, the newest first; the newest 500.
    ///
    /// # Errors
    /// As [`aws::fault`].
    pub async fn recent(
        &self,
        region: &Region,
        document: &str,
        since: Timestamp,
    ) -> Result<Vec<Found>, Fault> {
        let doing = format!("list the commands of {document} in {region}");
        let filter = |key: CommandFilterKey, value: &str| {
            CommandFilter::builder()
                .key(key)
                .value(value)
                .build()
                .map_err(|error| Fault::invalid(format!("{doing}: {error}")))
        };
        // Whole seconds: the only form that the API reference shows.
        let since = since.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let mut pages = self
            .in_region(region)
            .list_commands()
            .filters(filter(CommandFilterKey::DocumentName, document)?)
            .filters(filter(CommandFilterKey::InvokedAfter, &since)?)
            .into_paginator()
            .send();
        let mut all = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| aws::fault(&doing, error))?;
            all.extend(page.commands().iter().filter_map(found));
            if all.len() >= MOST_COMMANDS {
                break;
            }
        }
        all.sort_by(|one, other| other.sent_at.cmp(&one.sent_at).then(one.id.cmp(&other.id)));
        all.truncate(MOST_COMMANDS);
        Ok(all)
    }
}

fn found(command: &Command) -> Option<Found> {
    let parameters = command.parameters().into_iter().flatten();
    Some(Found {
        id: command.command_id()?.to_owned(),
        sent_at: timestamp(command.requested_date_time()?)?,
        parameters: parameters
            .filter_map(|(name, values)| Some((name.clone(), values.first()?.clone())))
            .collect(),
        succeeded: succeeded(command),
    })
}

#[cfg(test)]
mod tests;
