//! What Run Command says of a command and of its hosts, in our words.

use aws_sdk_ssm::{
    Client,
    types::{Command, CommandInvocation, CommandInvocationStatus, CommandPlugin, CommandStatus},
};
use jiff::Timestamp;
use lifeboat_core::{
    Fault,
    hosts::{Answer, HostFailure},
};
use lifeboat_runtime::aws;

use crate::progress::last_line;

pub(crate) fn timestamp(time: &aws_sdk_ssm::primitives::DateTime) -> Option<Timestamp> {
    Timestamp::from_millisecond(time.to_millis().ok()?).ok()
}

/// Whether a command has ended. A status that is not known is an end: the ones that go on are these.
pub(crate) fn ended(command: &Command) -> bool {
    match command.status() {
        None
        | Some(CommandStatus::Pending | CommandStatus::InProgress | CommandStatus::Cancelling) => {
            false
        }
        Some(_) => true,
    }
}

/// Whether a command of one host has ended, and then whether it was done. `Status` alone does not
/// say it, for it has no word for `Incomplete`; the details and the counts do (API reference,
/// `Command`).
pub(crate) fn succeeded(command: &Command) -> Option<bool> {
    ended(command).then(|| {
        command.status_details() == Some("Success")
            && command.error_count() == 0
            && command.delivery_timed_out_count() == 0
            && command.completed_count() == command.target_count()
    })
}

/// What a host answered (API reference, `CommandInvocation`, `Status` and `StatusDetails`; the exit
/// code is that of its plugin, and -1 while, or because, the script did not run).
pub(crate) fn answer(invocation: &CommandInvocation) -> Answer {
    match invocation.status() {
        Some(CommandInvocationStatus::Success) => Answer::Done,
        None | Some(CommandInvocationStatus::Pending | CommandInvocationStatus::Delayed) => {
            Answer::Silent
        }
        Some(CommandInvocationStatus::InProgress | CommandInvocationStatus::Cancelling) => {
            Answer::Working
        }
        Some(other) => {
            let mut codes = invocation.command_plugins().iter().map(CommandPlugin::response_code);
            Answer::NotDone(HostFailure {
                host: invocation.instance_id().unwrap_or("unknown").to_owned(),
                status: invocation.status_details().unwrap_or(other.as_str()).to_owned(),
                exit_code: codes.rfind(|code| *code > 0),
                last_line: String::new(),
            })
        }
    }
}

/// Every invocation of a command: pages of at most 50 (API reference, `ListCommandInvocations`,
/// `MaxResults`).
pub(crate) async fn invocations(
    client: &Client,
    command: &str,
) -> Result<Vec<CommandInvocation>, Fault> {
    let mut pages = client
        .list_command_invocations()
        .command_id(command)
        .details(true)
        .into_paginator()
        .items()
        .send();
    let mut all = Vec::new();
    while let Some(invocation) = pages.next().await {
        all.push(invocation.map_err(|error| aws::fault("list what the hosts did", error))?);
    }
    Ok(all)
}

/// Adds the last line that the host's script wrote to standard error.
pub(crate) async fn explain(client: &Client, command: &str, failure: &mut HostFailure) {
    let host = failure.host.as_str();
    let asked = client.get_command_invocation().command_id(command).instance_id(host).send().await;
    match asked {
        Ok(told) => {
            failure.exit_code =
                failure.exit_code.or(Some(told.response_code()).filter(|code| *code >= 0));
            failure.last_line = last_line(told.standard_error_content().unwrap_or_default());
        }
        // That it failed is known; the details are a courtesy that must not hide it.
        Err(error) => {
            failure.last_line = aws::fault("ask for the host's output", error).message;
        }
    }
}
