//! `notify`: tell people. Never blocks or fails a recovery.

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use serde_json::Value;

use crate::{
    ids::{AppName, IncidentId},
    recovery_plan::RecoveryPlan,
};

/// The moment that people are told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// A recovery has begun.
    Started,
    /// A person must approve or decline.
    ApprovalNeeded,
    /// It runs for longer than the RTO: a person looks what it waits for.
    Overdue,
    /// Users are served again.
    Recovered,
    /// Nothing had to be done.
    StoodDown,
    /// It failed: a person has to look.
    Failed,
}

impl Stage {
    /// The name in messages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::ApprovalNeeded => "approval_needed",
            Self::Overdue => "overdue",
            Self::Recovered => "recovered",
            Self::StoodDown => "stood_down",
            Self::Failed => "failed",
        }
    }
}

/// What to tell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The app.
    pub app: AppName,
    /// The recovery.
    pub incident: IncidentId,
    /// The moment.
    pub stage: Stage,
    /// One sentence for people: what happened, and what they have to do if anything.
    pub summary: String,
    /// The execution (an ARN), so that people can find it.
    #[serde(default)]
    pub execution: Option<String>,
    /// The plan, once there is one.
    #[serde(default)]
    pub plan: Option<RecoveryPlan>,
    /// The task token that an approval answers; shown inside the command that approves.
    #[serde(default)]
    pub task_token: Option<String>,
}

/// A page in words that are made already: what the rules on failed executions say, which know
/// neither app nor recovery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Page {
    /// What happened, and what people have to do.
    pub page: String,
    /// The execution (an ARN).
    pub execution: String,
}

/// What the function is asked: a page where there is a `page`, else the news of a recovery.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Order {
    /// Of a recovery.
    Recovery(Box<Request>),
    /// Of an execution that failed.
    Page(Page),
}

impl<'de> Deserialize<'de> for Order {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let order = if value.get("page").is_some() {
            serde_json::from_value(value).map(Self::Page)
        } else {
            serde_json::from_value(value).map(|request| Self::Recovery(Box::new(request)))
        };
        order.map_err(D::Error::custom)
    }
}

/// What became of one channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delivery {
    /// `sns` or `slack`.
    pub channel: String,
    /// Whether it took the message.
    pub delivered: bool,
    /// Why not, without secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// What became of each channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Response {
    /// The channels that the plan names, and the region's topic.
    pub deliveries: Vec<Delivery>,
}
