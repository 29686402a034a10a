//! The SSM operations. Requests and answers are AWS's JSON 1.1.

use std::sync::{Arc, Mutex};

use serde_json::{Map, Value, json};

use crate::clock::{now, wire};
use crate::error::ApiError;
use crate::host::{Host, HostState};
use crate::lock::locked;
use crate::server::Lab;
use crate::store::{NewVersion, content_as};

/// One request: its operation's input and the region that its signature names.
pub(crate) struct Request<'a> {
    pub(crate) lab: &'a Arc<Lab>,
    pub(crate) region: &'a str,
    pub(crate) input: &'a Map<String, Value>,
}

pub(crate) type Answer = Result<Value, ApiError>;

pub(crate) fn validation(message: impl Into<String>) -> ApiError {
    ApiError::new("ValidationException", message)
}

impl Request<'_> {
    /// Runs an operation by its name.
    pub(crate) fn answer(&self, operation: &str) -> Answer {
        match operation {
            "CreateDocument" => self.create_document(),
            "UpdateDocument" => self.update_document(),
            "UpdateDocumentDefaultVersion" => self.update_default_version(),
            "GetDocument" => self.get_document(),
            "DescribeDocument" => self.describe_document(),
            "ListDocuments" => self.list_documents(),
            "DeleteDocument" => self.delete_document(),
            "SendCommand" => self.send_command(),
            "GetCommandInvocation" => self.get_command_invocation(),
            "ListCommandInvocations" => self.list_command_invocations(),
            "ListCommands" => self.list_commands(),
            "CancelCommand" => self.cancel_command(),
            "DescribeInstanceInformation" => self.describe_instance_information(),
            other => Err(ApiError::new(
                "UnknownOperationException",
                format!("the lab's hosts do not serve {other}"),
            )),
        }
    }

    /// A text of the input, where it has one.
    pub(crate) fn text(&self, field: &str) -> Result<Option<&str>, ApiError> {
        match self.input.get(field).filter(|value| !value.is_null()) {
            None => Ok(None),
            Some(value) => value.as_str().map(Some).ok_or_else(|| {
                ApiError::new("SerializationException", format!("{field} is not a string"))
            }),
        }
    }

    /// A text that the input must have.
    pub(crate) fn required(&self, field: &str) -> Result<&str, ApiError> {
        self.text(field)?.ok_or_else(|| validation(format!("{field} is required")))
    }

    /// A list of texts, empty when the input has none.
    pub(crate) fn texts(&self, field: &str) -> Result<Vec<String>, ApiError> {
        texts(self.input.get(field), field)
    }

    fn create_document(&self) -> Answer {
        let kind = self.text("DocumentType")?.unwrap_or("Command");
        if kind != "Command" {
            return Err(validation(format!(
                "the lab has documents of the type Command, not {kind}"
            )));
        }
        let new = self.new_version()?;
        let tags = self.input.get("Tags").cloned().unwrap_or_else(|| json!([]));
        let mut store = locked(&self.lab.documents);
        let stored = store.create(self.region, self.required("Name")?, &new, tags)?;
        let version = stored.version(Some("$LATEST"))?;
        Ok(
            json!({ "DocumentDescription": stored.describe(version, "Creating", &self.lab.config.account_id) }),
        )
    }

    fn new_version(&self) -> Result<NewVersion<'_>, ApiError> {
        Ok(NewVersion {
            content: self.required("Content")?,
            format: self.text("DocumentFormat")?.unwrap_or("JSON"),
            version_name: self.text("VersionName")?,
            now: now(),
        })
    }

    fn update_document(&self) -> Answer {
        let new = self.new_version()?;
        let mut store = locked(&self.lab.documents);
        let stored = store.update(
            self.region,
            self.required("Name")?,
            self.text("DocumentVersion")?,
            &new,
        )?;
        let version = stored.version(Some("$LATEST"))?;
        Ok(
            json!({ "DocumentDescription": stored.describe(version, "Updating", &self.lab.config.account_id) }),
        )
    }

    fn update_default_version(&self) -> Answer {
        let name = self.required("Name")?;
        let number = locked(&self.lab.documents).set_default(
            self.region,
            name,
            self.required("DocumentVersion")?,
        )?;
        Ok(json!({ "Description": { "Name": name, "DefaultVersion": number.to_string() } }))
    }

    fn get_document(&self) -> Answer {
        let store = locked(&self.lab.documents);
        let stored = store.get(self.region, self.required("Name")?)?;
        let version = stored.version(self.text("DocumentVersion")?)?;
        let (content, format) = content_as(version, self.text("DocumentFormat")?)?;
        Ok(json!({
            "Name": stored.name,
            "CreatedDate": wire(version.created),
            "DocumentVersion": version.number.to_string(),
            "Status": "Active",
            "Content": content,
            "DocumentType": "Command",
            "DocumentFormat": format,
        }))
    }

    fn describe_document(&self) -> Answer {
        let store = locked(&self.lab.documents);
        let stored = store.get(self.region, self.required("Name")?)?;
        let version = stored.version(self.text("DocumentVersion")?)?;
        Ok(json!({ "Document": stored.describe(version, "Active", &self.lab.config.account_id) }))
    }

    fn list_documents(&self) -> Answer {
        let mut names = None;
        for filter in self.filters("Filters", "Key", "Values")? {
            match filter.0.as_str() {
                "Name" => names = Some(filter.1),
                // Everything here belongs to the account and is a Command document.
                "Owner" | "DocumentType" | "PlatformTypes" => {}
                other => {
                    return Err(ApiError::new(
                        "InvalidFilterKey",
                        format!("the lab does not filter documents by {other}"),
                    ));
                }
            }
        }
        let store = locked(&self.lab.documents);
        let mut identifiers = Vec::new();
        for stored in store.list(self.region) {
            // AWS matches names by their beginning.
            if names.as_ref().is_some_and(|names| {
                !names.iter().any(|name| stored.name.starts_with(name.as_str()))
            }) {
                continue;
            }
            let version = stored.version(None)?;
            identifiers.push(json!({
                "Name": stored.name,
                "CreatedDate": wire(version.created),
                "Owner": self.lab.config.account_id,
                "PlatformTypes": ["Linux", "MacOS"],
                "DocumentVersion": version.number.to_string(),
                "DocumentType": "Command",
                "SchemaVersion": version.document.schema_version,
                "DocumentFormat": version.format,
                "Tags": stored.tags,
            }));
        }
        self.page("DocumentIdentifiers", identifiers)
    }

    fn delete_document(&self) -> Answer {
        locked(&self.lab.documents).delete(
            self.region,
            self.required("Name")?,
            self.text("DocumentVersion")?,
        )?;
        Ok(json!({}))
    }

    fn describe_instance_information(&self) -> Answer {
        let mut filters = self.filters("Filters", "Key", "Values")?;
        filters.extend(self.filters("InstanceInformationFilterList", "key", "valueSet")?);
        let mut list = Vec::new();
        for host in self.lab.hosts_in(self.region) {
            let mut wanted = true;
            for (key, values) in &filters {
                wanted &= matches_filter(&host, key, values)?;
            }
            if wanted {
                list.push(json!({
                    "InstanceId": host.spec.instance_id,
                    "PingStatus": ping_status(&host),
                    "LastPingDateTime": wire(now()),
                    "AgentVersion": if host.spec.legacy_agent { "3.2.815.0" } else { "3.3.2746.0" },
                    "IsLatestVersion": !host.spec.legacy_agent,
                    "PlatformType": "Linux",
                    "PlatformName": "Lifeboat Lab Linux",
                    "PlatformVersion": "1",
                    "ResourceType": "EC2Instance",
                    "IPAddress": "127.0.0.1",
                    "ComputerName": host.spec.name,
                    "RegistrationDate": wire(host.registered),
                }));
            }
        }
        self.page("InstanceInformationList", list)
    }

    /// A list of filters, in one of AWS's two spellings.
    pub(crate) fn filters(
        &self,
        field: &str,
        key: &str,
        values: &str,
    ) -> Result<Vec<(String, Vec<String>)>, ApiError> {
        let Some(list) = self.input.get(field).and_then(Value::as_array) else {
            return Ok(Vec::new());
        };
        list.iter()
            .map(|filter| {
                let name = filter.get(key).and_then(Value::as_str);
                let name =
                    name.ok_or_else(|| validation(format!("a filter of {field} has no {key}")))?;
                Ok((name.to_owned(), texts(filter.get(values), values)?))
            })
            .collect()
    }

    /// One page of a list: `MaxResults` items after `NextToken`.
    pub(crate) fn page(&self, field: &str, items: Vec<Value>) -> Answer {
        let start = match self.text("NextToken")? {
            None | Some("") => 0,
            Some(token) => token
                .parse()
                .map_err(|_| ApiError::new("InvalidNextToken", "the token is not one of ours"))?,
        };
        let largest = self.lab.config.largest_page;
        let most = self.input.get("MaxResults").and_then(Value::as_u64);
        let most = most.and_then(|most| usize::try_from(most).ok()).unwrap_or(largest);
        let most = most.clamp(1, largest);
        let total = items.len();
        let page: Vec<Value> = items.into_iter().skip(start).take(most).collect();
        let mut answer = json!({ field: page });
        if let (Some(object), true) = (answer.as_object_mut(), start + most < total) {
            object.insert("NextToken".to_owned(), Value::from((start + most).to_string()));
        }
        Ok(answer)
    }
}

fn texts(value: Option<&Value>, field: &str) -> Result<Vec<String>, ApiError> {
    let wrong =
        || ApiError::new("SerializationException", format!("{field} is not a list of strings"));
    match value.filter(|value| !value.is_null()) {
        None => Ok(Vec::new()),
        Some(value) => value
            .as_array()
            .ok_or_else(wrong)?
            .iter()
            .map(|item| item.as_str().map(str::to_owned).ok_or_else(wrong))
            .collect(),
    }
}

/// What AWS says of an agent: one that does not ping has lost its connection.
fn ping_status(host: &Host) -> &'static str {
    match host.state() {
        HostState::Running => "Online",
        HostState::Off | HostState::Frozen => "ConnectionLost",
    }
}

fn matches_filter(host: &Host, key: &str, values: &[String]) -> Result<bool, ApiError> {
    if let Some(tag) = key.strip_prefix("tag:") {
        return Ok(host.spec.tags.get(tag).is_some_and(|value| values.contains(value)));
    }
    let property = match key {
        "InstanceIds" => host.spec.instance_id.as_str(),
        "PingStatus" => ping_status(host),
        "PlatformTypes" => "Linux",
        "ResourceType" => "EC2Instance",
        other => {
            return Err(ApiError::new(
                "InvalidFilterKey",
                format!("the lab does not filter hosts by {other}"),
            ));
        }
    };
    Ok(values.iter().any(|value| value == property))
}

/// A shared command, found by its id in a region.
pub(crate) type SharedCommand = Arc<Mutex<crate::command::Command>>;
