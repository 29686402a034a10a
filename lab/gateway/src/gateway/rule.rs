//! Fault rules as they are written: which calls, and what happens to them.

use serde::{Deserialize, Serialize};

use super::call::Call;

/// A fault, and the calls that meet it.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct FaultRule {
    /// The rule's name, by which it is removed and which the call log shows. Empty: one is chosen.
    #[serde(default)]
    pub id: String,
    /// The calls that meet the fault. Without any condition: every call.
    #[serde(default, rename = "match")]
    pub matching: Matching,
    /// What happens to them.
    pub action: FaultAction,
}

/// Conditions on a call; all that are given must hold. Names compare without regard to case.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Matching {
    /// The region of the caller's port, or `operator`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caller: Option<String>,
    /// The region that the call goes to: its signature's. For S3 that is the bucket's region.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The service's signing name: `ssm`, `s3`, `route53`, `states` (Step Functions), `monitoring` (CloudWatch).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// Services that the rule spares.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub except_services: Vec<String>,
    /// The operation's name as in AWS's API reference.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
    /// A part of the session's principal, or of the access key id while the principal is unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role_contains: Option<String>,
    /// A part of what the call is about, as the call log shows it: `bucket/key`, a name, an id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_contains: Option<String>,
    /// Only the n-th call, from 1, of those that meet the other conditions since the rule was added.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nth: Option<u64>,
    /// Only the n-th call and all after it, counted as for `nth`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_nth: Option<u64>,
}

/// What happens to a call.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind", deny_unknown_fields)]
pub enum FaultAction {
    /// The connection is reset and the call goes nowhere. A port that listens can't refuse one call
    /// and accept the next, so a client sees a reset where a dead host gives a refused connection.
    Refuse,
    /// The call is held until the rule is removed (it then goes on) or the client gives up.
    Hang,
    /// The call goes on after this many milliseconds, or once the rule is removed.
    Delay {
        /// How long, in milliseconds.
        ms: u64,
    },
    /// The service's own throttling error; the call goes nowhere.
    Throttle,
    /// An error answer with this HTTP status; the call goes nowhere.
    Status {
        /// The HTTP status, 400 to 599.
        code: u16,
    },
    /// The call takes effect upstream, and then the connection is reset instead of answered.
    AnswerLost,
}

impl FaultAction {
    /// The action's name, as in the admin API and the call log.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Refuse => "refuse",
            Self::Hang => "hang",
            Self::Delay { .. } => "delay",
            Self::Throttle => "throttle",
            Self::Status { .. } => "status",
            Self::AnswerLost => "answer_lost",
        }
    }
}

impl Matching {
    /// Whether the call meets every condition but the count.
    pub(super) fn accepts(&self, call: &Call) -> bool {
        let equal = |wanted: &Option<String>, found: &str| {
            wanted.as_ref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(found))
        };
        let contains = |wanted: &Option<String>, found: Option<&String>| {
            wanted
                .as_ref()
                .is_none_or(|part| found.is_some_and(|found| found.contains(part.as_str())))
        };
        equal(&self.caller, &call.caller)
            && equal(&self.region, &call.region)
            && equal(&self.service, &call.service)
            && equal(&self.operation, &call.operation)
            && !self.except_services.iter().any(|spared| spared.eq_ignore_ascii_case(&call.service))
            && contains(&self.role_contains, call.role.as_ref())
            && contains(&self.resource_contains, call.resource.as_ref())
    }

    /// Whether the `count`-th accepted call, from 1, is one that the rule is for.
    pub(super) fn counts(&self, count: u64) -> bool {
        self.nth.is_none_or(|nth| count == nth) && self.from_nth.is_none_or(|from| count >= from)
    }

    /// Whether the rule holds for every accepted call, and so for calls already in flight.
    pub(super) fn is_standing(&self) -> bool {
        self.nth.is_none() && self.from_nth.is_none()
    }
}
