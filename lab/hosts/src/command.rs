//! Commands and their invocations: what `SendCommand` makes and what a caller asks about afterwards.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::clock::wire;
use crate::document::Document;
use crate::parameters::Argument;

/// AWS returns this many characters of a script's output (API reference, `GetCommandInvocation`).
const OUTPUT_CHARACTERS: usize = 24_000;

/// AWS returns this many characters of a script's error output (the same page).
const ERROR_CHARACTERS: usize = 8_000;

/// The states of a command, an invocation and a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    Pending,
    InProgress,
    Success,
    Failed,
    TimedOut,
    Cancelled,
}

impl Status {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::InProgress => "InProgress",
            Self::Success => "Success",
            Self::Failed => "Failed",
            Self::TimedOut => "TimedOut",
            Self::Cancelled => "Cancelled",
        }
    }

    pub(crate) fn is_terminal(self) -> bool {
        match self {
            Self::Pending | Self::InProgress => false,
            Self::Success | Self::Failed | Self::TimedOut | Self::Cancelled => true,
        }
    }
}

/// One step of an invocation.
#[derive(Debug, Clone)]
pub(crate) struct StepRun {
    pub(crate) name: String,
    pub(crate) status: Status,
    /// The exit code; -1 until there is one.
    pub(crate) code: i32,
    pub(crate) started: Option<Timestamp>,
    pub(crate) ended: Option<Timestamp>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl StepRun {
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            status: Status::Pending,
            code: -1,
            started: None,
            ended: None,
            stdout: String::new(),
            stderr: String::new(),
        }
    }
}

/// A command on one host.
#[derive(Debug, Clone)]
pub(crate) struct Invocation {
    pub(crate) status: Status,
    /// More than `status` says: why it timed out, for example.
    pub(crate) details: &'static str,
    pub(crate) steps: Vec<StepRun>,
}

impl Invocation {
    /// Whether it counts against MaxErrors: `Failed` and `ExecutionTimedOut` do, an order that was not
    /// delivered does not (API reference, `Command`, `ErrorCount`).
    fn is_error(&self) -> bool {
        matches!(self.status, Status::Failed | Status::TimedOut) && !self.is_undelivered()
    }

    fn is_undelivered(&self) -> bool {
        self.details == "DeliveryTimedOut"
    }
}

/// A command as it was sent.
#[derive(Debug)]
pub(crate) struct Command {
    pub(crate) id: String,
    pub(crate) region: String,
    pub(crate) document_name: String,
    pub(crate) document_version: String,
    pub(crate) document: Document,
    pub(crate) arguments: BTreeMap<String, Argument>,
    pub(crate) comment: String,
    /// The request, for the fields that are only handed back.
    pub(crate) request: Value,
    pub(crate) requested: Timestamp,
    pub(crate) timeout_seconds: u32,
    /// The delivery timeout and what the steps may take, in seconds: what is not at its end by then is
    /// `DeliveryTimedOut` (User Guide, "Understanding command timeout values"; API reference, `Command`,
    /// `ExpiresAfter`).
    pub(crate) total_seconds: u64,
    pub(crate) expires: Timestamp,
    pub(crate) invocations: BTreeMap<String, Invocation>,
    /// True once the command is cancelled, for each of the hosts named.
    pub(crate) cancelled: watch::Sender<std::collections::BTreeSet<String>>,
}

/// The first characters of a text, as AWS cuts it.
fn truncated(text: &str, limit: usize) -> String {
    match text.char_indices().nth(limit) {
        Some((end, _)) => {
            const NOTE: &str = "\n---Output truncated---";
            let keep = text.char_indices().nth(limit - NOTE.len()).map_or(end, |(keep, _)| keep);
            format!("{}{NOTE}", text.get(..keep).unwrap_or_default())
        }
        None => text.to_owned(),
    }
}

/// Puts fields of the request into an answer, where the request had them.
fn hand_back(answer: &mut Value, request: &Value, fields: &[&str]) {
    if let Some(object) = answer.as_object_mut() {
        for field in fields {
            if let Some(value) = request.get(*field).filter(|value| !value.is_null()) {
                object.insert((*field).to_owned(), value.clone());
            }
        }
    }
}

impl Command {
    /// The state of the whole, which MaxErrors decides with what the hosts report (Systems Manager User
    /// Guide, "Understanding command statuses"; API reference, `Command`, `StatusDetails`).
    ///
    /// Which `Status` stands beside the details `Incomplete` AWS does not say, and the API's `Status`
    /// has no such word; here it is the one that misleads whoever reads it alone.
    pub(crate) fn status(&self) -> (Status, &'static str) {
        let all = || self.invocations.values();
        if self.invocations.is_empty() {
            return (Status::Success, "NoInstancesInTag");
        }
        if let Some(going) = all().find(|invocation| !invocation.status.is_terminal()) {
            let started = all().any(|invocation| invocation.status != Status::Pending);
            let status = if started { Status::InProgress } else { going.status };
            return (status, status.as_str());
        }
        let limit = self.errors_allowed().max(1);
        if self.count(Invocation::is_error) >= limit {
            return if all().any(|invocation| invocation.status == Status::Failed) {
                (Status::Failed, "Failed")
            } else {
                (Status::TimedOut, "ExecutionTimedOut")
            };
        }
        // It is no error, and yet enough of it gives the command its name.
        if self.count(Invocation::is_undelivered) >= limit {
            return (Status::TimedOut, "DeliveryTimedOut");
        }
        if all().any(|invocation| invocation.status == Status::Cancelled) {
            return (Status::Cancelled, "Cancelled");
        }
        if all().any(|invocation| invocation.status != Status::Success) {
            return (Status::Success, "Incomplete");
        }
        (Status::Success, "Success")
    }

    fn count(&self, wanted: fn(&Invocation) -> bool) -> usize {
        self.invocations.values().filter(|invocation| wanted(invocation)).count()
    }

    /// MaxErrors of the request, 0 without one: a number, or a share of the hosts.
    fn errors_allowed(&self) -> usize {
        let text = self.request.get("MaxErrors").and_then(Value::as_str).unwrap_or("0");
        match text.strip_suffix('%') {
            Some(share) => share.parse().unwrap_or(0) * self.invocations.len() / 100,
            None => text.parse().unwrap_or(0),
        }
    }

    /// The `Command` of the API.
    pub(crate) fn wire(&self) -> Value {
        let (status, details) = self.status();
        let mut answer = json!({
            "CommandId": self.id,
            "DocumentName": self.document_name,
            "DocumentVersion": self.document_version,
            "Comment": self.comment,
            "ExpiresAfter": wire(self.expires),
            "Parameters": {},
            "InstanceIds": [],
            "Targets": [],
            "RequestedDateTime": wire(self.requested),
            "Status": status.as_str(),
            "StatusDetails": details,
            "MaxConcurrency": "50",
            "MaxErrors": "0",
            "TargetCount": self.invocations.len(),
            "CompletedCount": self.count(|invocation| invocation.status.is_terminal()),
            "ErrorCount": self.count(Invocation::is_error),
            "DeliveryTimedOutCount": self.count(Invocation::is_undelivered),
            "TimeoutSeconds": self.timeout_seconds,
        });
        let fields = [
            "Parameters",
            "InstanceIds",
            "Targets",
            "OutputS3Region",
            "OutputS3BucketName",
            "OutputS3KeyPrefix",
        ];
        hand_back(&mut answer, &self.request, &fields);
        let fields = [
            "MaxConcurrency",
            "MaxErrors",
            "ServiceRoleArn",
            "NotificationConfig",
            "CloudWatchOutputConfig",
        ];
        hand_back(&mut answer, &self.request, &fields);
        answer
    }

    /// The answer of `GetCommandInvocation` for one step of one host.
    pub(crate) fn wire_step(
        &self,
        instance: &str,
        invocation: &Invocation,
        step: &StepRun,
    ) -> Value {
        // Output is there when the step has ended, as in AWS.
        let ended = step.status.is_terminal();
        let text = |text: &str, limit| if ended { truncated(text, limit) } else { String::new() };
        let time =
            |time: Option<Timestamp>| time.map_or(String::new(), |time| format!("{time:.3}"));
        let elapsed = match (step.started, step.ended) {
            (Some(started), Some(ended)) => {
                format!("PT{:.3}S", ended.duration_since(started).as_secs_f64())
            }
            (Some(_), None) | (None, Some(_) | None) => String::new(),
        };
        let mut answer = json!({
            "CommandId": self.id,
            "InstanceId": instance,
            "Comment": self.comment,
            "DocumentName": self.document_name,
            "DocumentVersion": self.document_version,
            "PluginName": step.name,
            "ResponseCode": step.code,
            "ExecutionStartDateTime": time(step.started),
            "ExecutionElapsedTime": elapsed,
            "ExecutionEndDateTime": time(step.ended),
            "Status": invocation.status.as_str(),
            "StatusDetails": invocation.details,
            "StandardOutputContent": text(&step.stdout, OUTPUT_CHARACTERS),
            "StandardOutputUrl": "",
            "StandardErrorContent": text(&step.stderr, ERROR_CHARACTERS),
            "StandardErrorUrl": "",
            "CloudWatchOutputConfig": {"CloudWatchLogGroupName": "", "CloudWatchOutputEnabled": false},
        });
        hand_back(&mut answer, &self.request, &["CloudWatchOutputConfig"]);
        answer
    }

    /// The `CommandInvocation` of the API for one host.
    pub(crate) fn wire_invocation(
        &self,
        instance: &str,
        name: &str,
        invocation: &Invocation,
        details: bool,
    ) -> Value {
        let steps: Vec<Value> = invocation
            .steps
            .iter()
            .filter(|_| details)
            .map(|step| {
                let mut answer = json!({
                    "Name": step.name,
                    "Status": step.status.as_str(),
                    "StatusDetails": step.status.as_str(),
                    "ResponseCode": step.code,
                    // ListCommandInvocations gives 2,500 characters (API reference, `CommandPlugin$Output`).
                    "Output": truncated(&step.stdout, 2_500),
                });
                if let Some(object) = answer.as_object_mut() {
                    if let Some(time) = step.started {
                        object.insert("ResponseStartDateTime".to_owned(), Value::from(wire(time)));
                    }
                    if let Some(time) = step.ended {
                        object.insert("ResponseFinishDateTime".to_owned(), Value::from(wire(time)));
                    }
                }
                answer
            })
            .collect();
        json!({
            "CommandId": self.id,
            "InstanceId": instance,
            "InstanceName": name,
            "Comment": self.comment,
            "DocumentName": self.document_name,
            "DocumentVersion": self.document_version,
            "RequestedDateTime": wire(self.requested),
            "Status": invocation.status.as_str(),
            "StatusDetails": invocation.details,
            "CommandPlugins": steps,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Command, Invocation, Status, truncated};
    use crate::document::parse;

    /// A command for hosts by one letter each: d done, f failed, e execution timed out, t never
    /// delivered, c cancelled, w working, p pending.
    fn command(max_errors: &str, letters: &str) -> Command {
        let document = "{schemaVersion: '2.2', mainSteps: [{action: 'aws:runShellScript', name: run, \
                        inputs: {runCommand: ['true']}}]}";
        let now = crate::clock::now();
        let invocations = letters.chars().enumerate().map(|(place, letter)| {
            let (status, details) = match letter {
                'd' => (Status::Success, "Success"),
                'f' => (Status::Failed, "Failed"),
                'e' => (Status::TimedOut, "ExecutionTimedOut"),
                't' => (Status::TimedOut, "DeliveryTimedOut"),
                'c' => (Status::Cancelled, "Cancelled"),
                'w' => (Status::InProgress, "InProgress"),
                _ => (Status::Pending, "Pending"),
            };
            (format!("i-{place}"), Invocation { status, details, steps: Vec::new() })
        });
        Command {
            id: String::new(),
            region: String::new(),
            document_name: String::new(),
            document_version: String::new(),
            document: parse(document, "YAML").unwrap(),
            arguments: std::collections::BTreeMap::new(),
            comment: String::new(),
            request: serde_json::json!({ "MaxErrors": max_errors }),
            requested: now,
            timeout_seconds: 30,
            total_seconds: 90,
            expires: now,
            invocations: invocations.collect(),
            cancelled: tokio::sync::watch::Sender::new(std::collections::BTreeSet::new()),
        }
    }

    #[test]
    fn a_command_is_called_what_max_errors_makes_of_its_hosts() {
        for (max_errors, hosts, details) in [
            ("0", "dd", "Success"),
            ("0", "df", "Failed"),
            ("0", "de", "ExecutionTimedOut"),
            ("0", "dt", "DeliveryTimedOut"),
            ("1", "df", "Failed"),
            ("2", "ddf", "Incomplete"),
            ("2", "dff", "Failed"),
            ("100%", "ddf", "Incomplete"),
            ("100%", "ddt", "Incomplete"),
            ("100%", "fft", "Incomplete"),
            ("100%", "fff", "Failed"),
            ("100%", "ttt", "DeliveryTimedOut"),
            ("50%", "ddff", "Failed"),
            ("100%", "ddc", "Cancelled"),
            ("100%", "dp", "InProgress"),
            ("100%", "wp", "InProgress"),
            ("100%", "pp", "Pending"),
            ("0", "", "NoInstancesInTag"),
        ] {
            assert_eq!(command(max_errors, hosts).status().1, details, "{hosts} {max_errors}");
        }
        let counts = command("100%", "dfetcp").wire();
        let named = ["TargetCount", "CompletedCount", "ErrorCount", "DeliveryTimedOutCount"];
        assert_eq!(named.map(|name| counts[name].as_u64().unwrap()), [6, 5, 2, 1]);
    }

    #[test]
    fn output_is_cut_at_the_limit() {
        assert_eq!(truncated("short", 40), "short");
        assert_eq!(truncated(&"x".repeat(40), 40).len(), 40);
        let cut = truncated(&"é".repeat(41), 40);
        assert_eq!(cut.chars().count(), 40);
        assert!(cut.ends_with("---Output truncated---"));
    }
}
