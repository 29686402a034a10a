//! What an execution has done since somebody looked last.

use aws_sdk_sfn::{
    operation::describe_execution::{DescribeExecutionError, DescribeExecutionOutput},
    primitives::DateTime,
    types::{ExecutionStatus, HistoryEvent},
};
use jiff::Timestamp;
use lifeboat_core::Fault;
use lifeboat_runtime::aws;

use super::Machine;

/// Events of a page; `GetExecutionHistory` gives at most 1,000 (API reference).
const PAGE: i32 = 200;

/// How an execution is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Status {
    /// It goes on.
    Running,
    /// It came to an end of its own: what it says.
    Succeeded(String),
    /// It failed, and why.
    Failed(String),
    /// It was stopped, or took longer than it may, without an end of its own: which of the two.
    Cut(String),
}

impl Status {
    /// The output of an execution that has ended; or why it has none.
    pub(crate) fn outcome(self, execution: &str) -> Result<String, String> {
        match self {
            Self::Succeeded(output) => Ok(output),
            Self::Failed(cause) => Err(cause),
            Self::Cut(how) => Err(format!("{execution} is {how}")),
            Self::Running => Err(format!("{execution} has not ended")),
        }
    }
}

/// An execution as it is now.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// How it is.
    pub(crate) status: Status,
    /// When it began.
    pub(crate) began: Timestamp,
}

/// A state that was entered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entered {
    /// The event's number; they only grow.
    pub(crate) id: i64,
    /// When.
    pub(crate) at: Timestamp,
    /// The state's name.
    pub(crate) state: String,
}

impl Machine {
    /// The ARN that an execution of this name has.
    pub(crate) fn execution(&self, name: &str) -> String {
        format!("{}:{name}", self.arn.replace(":stateMachine:", ":execution:"))
    }

    /// How an execution is; none when there is no such execution.
    pub(crate) async fn see(&self, execution: &str) -> Result<Option<Seen>, Fault> {
        let sent = self.client.describe_execution().execution_arn(execution).send().await;
        match sent {
            Ok(found) => Ok(Some(self.seen(found).await?)),
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(DescribeExecutionError::is_execution_does_not_exist) =>
            {
                Ok(None)
            }
            Err(error) => Err(aws::fault(&format!("look at {execution}"), error)),
        }
    }

    async fn seen(&self, found: DescribeExecutionOutput) -> Result<Seen, Fault> {
        let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
        let is = |status: &ExecutionStatus| found.status() == status;
        let status = if is(&ExecutionStatus::Running) || is(&ExecutionStatus::PendingRedrive) {
            Status::Running
        } else if is(&ExecutionStatus::Succeeded) {
            Status::Succeeded(text(found.output()))
        } else if !is(&ExecutionStatus::Failed) {
            Status::Cut(found.status().as_str().to_owned())
        } else {
            Status::Failed(match found.cause() {
                Some(cause) if !cause.is_empty() => cause.to_owned(),
                _ => self.cause(found.execution_arn()).await?,
            })
        };
        Ok(Seen { status, began: time(found.start_date()) })
    }

    /// Why an execution failed, by the last of its events.
    async fn cause(&self, execution: &str) -> Result<String, Fault> {
        let asked = self.client.get_execution_history().execution_arn(execution);
        let page = asked.reverse_order(true).max_results(1).send().await;
        let page = page.map_err(|error| aws::fault(&format!("look at {execution}"), error))?;
        let failed = page.events.first().and_then(|event| event.execution_failed_event_details());
        let cause = failed.and_then(|details| details.cause.clone()).unwrap_or_default();
        Ok(if cause.is_empty() { "it failed, and says no cause".to_owned() } else { cause })
    }

    /// The states that an execution has entered since this event, oldest first.
    pub(crate) async fn entered_since(
        &self,
        execution: &str,
        last: i64,
    ) -> Result<Vec<Entered>, Fault> {
        let history = self.client.get_execution_history().execution_arn(execution);
        let history = history.reverse_order(true).include_execution_data(false).max_results(PAGE);
        let mut pages = history.into_paginator().send();
        let mut found = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| aws::fault(&format!("follow {execution}"), error))?;
            let told = page.events.iter().any(|event| event.id <= last);
            found.extend(page.events.iter().filter(|event| event.id > last).filter_map(entered));
            if told {
                break;
            }
        }
        found.reverse();
        Ok(found)
    }
}

fn entered(event: &HistoryEvent) -> Option<Entered> {
    let state = event.state_entered_event_details()?.name.clone();
    Some(Entered { id: event.id, at: time(&event.timestamp), state })
}

fn time(at: &DateTime) -> Timestamp {
    // The service's times lie within what either type holds.
    Timestamp::new(at.secs(), 0).unwrap_or(Timestamp::UNIX_EPOCH)
}
