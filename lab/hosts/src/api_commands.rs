//! The operations of Run Command.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::api::{Answer, Request, SharedCommand, validation};
use crate::clock::now;
use crate::command::{Command, Invocation, Status, StepRun};
use crate::document::MAX_DOCUMENT_BYTES;
use crate::error::ApiError;
use crate::host::Host;
use crate::lock::locked;
use crate::parameters::resolve;
use crate::run::{Run, execution_seconds};

/// The longest delivery timeout that AWS takes, in seconds: 30 days.
const MAX_TIMEOUT_SECONDS: u32 = 2_592_000;

impl Request<'_> {
    pub(crate) fn send_command(&self) -> Answer {
        let name = self.required("DocumentName")?;
        let hosts = self.targets()?;
        let timeout_seconds = self.timeout_seconds()?;
        let mut given = BTreeMap::new();
        if let Some(parameters) = self.input.get("Parameters").and_then(Value::as_object) {
            for (name, values) in parameters {
                let wrong = || {
                    ApiError::new(
                        "SerializationException",
                        format!("Parameters.{name} is not a list of strings"),
                    )
                };
                let values = values.as_array().ok_or_else(wrong)?;
                let values: Option<Vec<_>> =
                    values.iter().map(|value| value.as_str().map(str::to_owned)).collect();
                given.insert(name.clone(), values.ok_or_else(wrong)?);
            }
        }
        let (version, document) = {
            let store = locked(&self.lab.documents);
            let version = store.get(self.region, name)?.version(self.text("DocumentVersion")?)?;
            if let Some(hash) = self.text("DocumentHash")?
                && hash != version.hash()
            {
                return Err(ApiError::new(
                    "InvalidDocument",
                    "the content does not have the DocumentHash of the request",
                ));
            }
            fits(version.content.len(), &given)?;
            (version.number.to_string(), version.document.clone())
        };
        let arguments = resolve(&document, &given)?;
        let total_seconds = u64::from(timeout_seconds) + execution_seconds(&document, &arguments);
        let requested = now();
        let steps: Vec<StepRun> =
            document.main_steps.iter().map(|step| StepRun::new(&step.name)).collect();
        let invocation = Invocation { status: Status::Pending, details: "Pending", steps };
        let command = Command {
            id: self.lab.new_command_id(),
            region: self.region.to_owned(),
            document_name: name.to_owned(),
            document_version: self.text("DocumentVersion")?.map_or(version, str::to_owned),
            document,
            arguments,
            comment: self.text("Comment")?.unwrap_or_default().to_owned(),
            request: Value::from(self.input.clone()),
            requested,
            timeout_seconds,
            total_seconds,
            // The largest timeout is 30 days, far from the end of time.
            expires: requested
                .checked_add(SignedDuration::from_secs(
                    i64::try_from(total_seconds).unwrap_or_default(),
                ))
                .unwrap_or(requested),
            invocations: hosts
                .iter()
                .map(|host| (host.spec.instance_id.clone(), invocation.clone()))
                .collect(),
            cancelled: watch::Sender::new(BTreeSet::new()),
        };
        let answer = json!({ "Command": command.wire() });
        let command = Arc::new(Mutex::new(command));
        locked(&self.lab.commands).push(Arc::clone(&command));
        for host in hosts {
            self.lab.run(Run { command: Arc::clone(&command), host });
        }
        Ok(answer)
    }

    fn timeout_seconds(&self) -> Result<u32, ApiError> {
        let least = self.lab.config.minimum_timeout_seconds;
        let Some(value) = self.input.get("TimeoutSeconds").filter(|value| !value.is_null()) else {
            return Ok(3600);
        };
        let seconds = value.as_u64().and_then(|seconds| u32::try_from(seconds).ok());
        seconds.filter(|seconds| (least..=MAX_TIMEOUT_SECONDS).contains(seconds)).ok_or_else(|| {
            validation(format!(
                "TimeoutSeconds {value} is not within {least} and {MAX_TIMEOUT_SECONDS}"
            ))
        })
    }

    /// The hosts that `InstanceIds` or `Targets` name.
    fn targets(&self) -> Result<Vec<Arc<Host>>, ApiError> {
        let ids = self.texts("InstanceIds")?;
        let targets = self.filters("Targets", "Key", "Values")?;
        if ids.is_empty() == targets.is_empty() {
            return Err(validation("give InstanceIds or Targets, one of them"));
        }
        if !ids.is_empty() {
            return self.by_ids(&ids);
        }
        let mut hosts = self.lab.hosts_in(self.region);
        for (key, values) in targets {
            if let Some(tag) = key.strip_prefix("tag:") {
                hosts.retain(|host| {
                    host.spec.tags.get(tag).is_some_and(|value| values.contains(value))
                });
            } else if key == "InstanceIds" {
                let named = self.by_ids(&values)?;
                hosts.retain(|host| {
                    named.iter().any(|other| other.spec.instance_id == host.spec.instance_id)
                });
            } else {
                return Err(validation(format!(
                    "Targets: the lab selects by tag:<key> or InstanceIds, not {key}"
                )));
            }
        }
        Ok(hosts)
    }

    fn by_ids(&self, ids: &[String]) -> Result<Vec<Arc<Host>>, ApiError> {
        let mut seen = BTreeSet::new();
        ids.iter()
            .map(|id| {
                if !seen.insert(id) {
                    return Err(ApiError::new(
                        "DuplicateInstanceId",
                        format!("instance {id} is named twice"),
                    ));
                }
                self.host(id)
            })
            .collect()
    }

    fn host(&self, id: &str) -> Result<Arc<Host>, ApiError> {
        self.lab.host_in(self.region, id).ok_or_else(|| {
            ApiError::new(
                "InvalidInstanceId",
                format!("instance {id} is not managed in {}", self.region),
            )
        })
    }

    fn command(&self, id: &str) -> Result<SharedCommand, ApiError> {
        if id.len() != 36 {
            return Err(validation(format!("CommandId {id} does not have 36 characters")));
        }
        let found = locked(&self.lab.commands)
            .iter()
            .find(|command| {
                let command = locked(command);
                command.id == id && command.region == self.region
            })
            .cloned();
        found.ok_or_else(|| {
            ApiError::new(
                "InvalidCommandId",
                format!("command {id} does not exist in {}", self.region),
            )
        })
    }

    pub(crate) fn get_command_invocation(&self) -> Answer {
        let missing =
            |_| ApiError::new("InvocationDoesNotExist", "no such invocation in this region (yet)");
        let instance = self.required("InstanceId")?;
        let command =
            self.command(self.required("CommandId")?).map_err(|error| match error.code {
                "InvalidCommandId" => missing(()),
                _ => error,
            })?;
        let command = locked(&command);
        let invocation = command.invocations.get(instance).ok_or(()).map_err(missing)?;
        let step = match self.text("PluginName")? {
            Some(name) => invocation.steps.iter().find(|step| step.name == name),
            None => invocation.steps.first().filter(|_| invocation.steps.len() == 1),
        };
        let step = step.ok_or_else(|| {
            let names: Vec<_> = invocation.steps.iter().map(|step| step.name.as_str()).collect();
            ApiError::new(
                "InvalidPluginName",
                format!("PluginName must be one of {}", names.join(", ")),
            )
        })?;
        Ok(command.wire_step(instance, invocation, step))
    }

    /// The commands of the region that `CommandId` and `InstanceId` select, newest first.
    fn selected(&self) -> Result<Vec<SharedCommand>, ApiError> {
        if let Some(id) = self.text("CommandId")? {
            return Ok(vec![self.command(id)?]);
        }
        if let Some(id) = self.text("InstanceId")? {
            self.host(id)?;
        }
        let commands = locked(&self.lab.commands);
        Ok(commands
            .iter()
            .rev()
            .filter(|command| locked(command).region == self.region)
            .cloned()
            .collect())
    }

    pub(crate) fn list_commands(&self) -> Answer {
        let instance = self.text("InstanceId")?;
        let filters = self.command_filters()?;
        let mut list = Vec::new();
        for command in self.selected()? {
            let command = locked(&command);
            let (status, _) = command.status();
            if instance.is_none_or(|id| command.invocations.contains_key(id))
                && filters.accept(&command, status)
            {
                list.push(command.wire());
            }
        }
        self.page("Commands", list)
    }

    pub(crate) fn list_command_invocations(&self) -> Answer {
        let instance = self.text("InstanceId")?;
        let details = self.input.get("Details").and_then(Value::as_bool).unwrap_or(false);
        let filters = self.command_filters()?;
        let mut list = Vec::new();
        for command in self.selected()? {
            let command = locked(&command);
            for (id, invocation) in &command.invocations {
                if instance.is_none_or(|wanted| wanted == id)
                    && filters.accept(&command, invocation.status)
                {
                    let host = self.lab.host_in(self.region, id);
                    let name = host.map_or_else(String::new, |host| host.spec.name.clone());
                    list.push(command.wire_invocation(id, &name, invocation, details));
                }
            }
        }
        self.page("CommandInvocations", list)
    }

    fn command_filters(&self) -> Result<CommandFilters, ApiError> {
        let mut filters = CommandFilters::default();
        for (key, value) in
            self.input.get("Filters").and_then(Value::as_array).into_iter().flatten().map(
                |filter| {
                    (
                        filter.get("key").and_then(Value::as_str).unwrap_or_default(),
                        filter.get("value").and_then(Value::as_str),
                    )
                },
            )
        {
            let value = value.map(str::to_owned);
            match key {
                "Status" => filters.status = value,
                "DocumentName" => filters.document = value,
                "InvokedAfter" => {
                    let time = value.as_deref().map(str::parse).transpose();
                    filters.after = time.map_err(|_| {
                        ApiError::new("InvalidFilterValue", "InvokedAfter is not a time")
                    })?;
                }
                other => {
                    return Err(ApiError::new(
                        "InvalidFilterKey",
                        format!("the lab does not filter commands by {other}"),
                    ));
                }
            }
        }
        Ok(filters)
    }

    pub(crate) fn cancel_command(&self) -> Answer {
        let command = self.command(self.required("CommandId")?)?;
        let command = locked(&command);
        let named = self.texts("InstanceIds")?;
        if let Some(unknown) = named.iter().find(|id| !command.invocations.contains_key(*id)) {
            return Err(ApiError::new(
                "InvalidInstanceId",
                format!("the command was not sent to {unknown}"),
            ));
        }
        let named: Vec<String> =
            if named.is_empty() { command.invocations.keys().cloned().collect() } else { named };
        command.cancelled.send_modify(|cancelled| cancelled.extend(named));
        Ok(json!({}))
    }
}

/// A document has 64 KB together with what is given for its parameters (Systems Manager,
/// "CreateDocument", Content).
fn fits(content: usize, given: &BTreeMap<String, Vec<String>>) -> Result<(), ApiError> {
    let given: usize = given.values().flatten().map(String::len).sum();
    if content + given <= MAX_DOCUMENT_BYTES {
        return Ok(());
    }
    Err(ApiError::new(
        "MaxDocumentSizeExceeded",
        format!(
            "the document has {content} bytes and its parameters {given}; the limit of both is {MAX_DOCUMENT_BYTES}"
        ),
    ))
}

#[derive(Default)]
struct CommandFilters {
    status: Option<String>,
    document: Option<String>,
    after: Option<Timestamp>,
}

impl CommandFilters {
    fn accept(&self, command: &Command, status: Status) -> bool {
        self.status.as_deref().is_none_or(|wanted| wanted == status.as_str())
            && self.document.as_deref().is_none_or(|wanted| wanted == command.document_name)
            && self.after.is_none_or(|after| command.requested >= after)
    }
}
