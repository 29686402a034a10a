//! What did not fit the services' models: each kind of violation once, with how often it was seen.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lifeboat_lab_aws_model::Violation;
use serde::{Deserialize, Serialize};

use super::call::Call;
use crate::clock::now;

/// The most kinds that are kept; a program that finds more of them is not helped by the next.
const KEPT: usize = 500;

/// Which way the message went.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// A caller's request.
    Request,
    /// An answer of the lab's own services.
    Answer,
}

/// One kind of violation.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct ViolationRecord {
    /// Request or answer.
    pub side: Side,
    /// The service's signing name.
    pub service: String,
    /// The operation.
    pub operation: String,
    /// The member, without the numbers of items.
    pub member: String,
    /// The rule's name.
    pub rule: String,
    /// The first one in words, with its values.
    pub text: String,
    /// Who made the first one: the principal when known, else the key's id; and with which program.
    pub by: String,
    /// When the first one was seen: RFC 3339 with milliseconds, UTC.
    pub first: String,
    /// How often it was seen.
    pub count: u64,
    /// Why it was made on purpose, when a test said so.
    pub declared: Option<String>,
}

/// A violation that a test makes on purpose.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Declared {
    /// The service's signing name.
    pub service: String,
    /// The operation, as the call has it.
    pub operation: String,
    /// The member without the numbers of items; absent means any.
    #[serde(default)]
    pub member: Option<String>,
    /// Why the test does so.
    pub reason: String,
}

/// How much was held against models.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Held {
    /// Requests, by `service:operation`.
    pub requests: BTreeMap<String, u64>,
    /// Answers, by `service:operation`.
    pub answers: BTreeMap<String, u64>,
}

type Kind = (Side, String, String, String, &'static str);

#[derive(Debug, Default)]
struct Inner {
    found: BTreeMap<Kind, ViolationRecord>,
    declared: Vec<Declared>,
    held: Held,
}

/// The violations that a gateway saw; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Violations(Arc<Mutex<Inner>>);

impl Violations {
    /// Every kind, those that were made on purpose included.
    #[must_use]
    pub fn all(&self) -> Vec<ViolationRecord> {
        self.lock().found.values().cloned().collect()
    }

    /// The kinds of one side that nobody made on purpose, the first seen first.
    #[must_use]
    pub fn undeclared(&self, side: Side) -> Vec<ViolationRecord> {
        let mut found = self.all();
        found.retain(|record| record.side == side && record.declared.is_none());
        found.sort_by(|one, other| one.first.cmp(&other.first));
        found
    }

    /// Says that requests like this are wrong on purpose, from now on.
    pub fn declare(&self, declared: Declared) {
        self.lock().declared.push(declared);
    }

    /// What was held against models so far.
    #[must_use]
    pub fn held(&self) -> Held {
        self.lock().held.clone()
    }

    /// Notes a message and what is wrong with it.
    pub(super) fn add(&self, side: Side, call: &Call, operation: &str, violations: &[Violation]) {
        let mut inner = self.lock();
        let held = match side {
            Side::Request => &mut inner.held.requests,
            Side::Answer => &mut inner.held.answers,
        };
        *held.entry(format!("{}:{operation}", call.service)).or_default() += 1;
        for violation in violations {
            let member = without_numbers(&violation.member);
            let rule = violation.rule.name();
            let kind: Kind =
                (side, violation.service.clone(), violation.operation.clone(), member, rule);
            if let Some(record) = inner.found.get_mut(&kind) {
                record.count += 1;
                continue;
            }
            if inner.found.len() >= KEPT {
                return;
            }
            let (_, service, operation, member, _) = kind.clone();
            let matches = |declared: &&Declared| {
                declared.service == service
                    && declared.operation == operation
                    && declared.member.as_ref().is_none_or(|wanted| *wanted == member)
            };
            let declared = inner.declared.iter().find(matches).map(|d| d.reason.clone());
            if declared.is_none() {
                tracing::warn!(
                    ?side,
                    caller = call.caller,
                    "does not fit AWS's model: {violation}"
                );
            }
            let record = ViolationRecord {
                side,
                service,
                operation,
                member,
                rule: rule.to_owned(),
                text: violation.to_string(),
                by: by(call),
                first: format!("{:.3}", now()),
                count: 1,
                declared,
            };
            inner.found.insert(kind, record);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn by(call: &Call) -> String {
    let who = call.role.as_ref().unwrap_or(&call.caller);
    match &call.agent {
        Some(agent) => format!("{who} with {agent}"),
        None => who.clone(),
    }
}

/// `Filters[3].Name` as `Filters[].Name`, so that each item is not a kind of its own.
fn without_numbers(member: &str) -> String {
    let mut out = String::with_capacity(member.len());
    let mut inside = false;
    for next in member.chars() {
        match next {
            '[' => inside = true,
            ']' => inside = false,
            _ if inside => continue,
            _ => {}
        }
        out.push(next);
    }
    out
}
