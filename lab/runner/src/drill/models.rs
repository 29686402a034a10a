//! Whether what was said over the gateway fits AWS's service models.

use std::collections::BTreeMap;

use lifeboat_lab_gateway::gateway::{Side, ViolationRecord, Violations};

use super::evidence::invariant;
use crate::{report::InvariantResult, say};

/// How many kinds of violations the evidence names.
const NAMED: usize = 5;

/// Every request, and every answer of the lab's own services, fitted.
pub(super) fn fit(violations: &Violations) -> [InvariantResult; 2] {
    let held = violations.held();
    let on_purpose = violations.all().iter().filter(|found| found.declared.is_some()).count();
    let say = |id: &str, side: Side, what: &str, counts: &BTreeMap<String, u64>| {
        let found = violations.undeclared(side);
        let total: u64 = counts.values().sum();
        // Nothing was held against a model: that is not the same as that all of it fits.
        let held = found.is_empty() && total > 0;
        let checked = format!("{total} {what} of {} operations", counts.len());
        invariant(id, held, evidence(&found, &checked, on_purpose))
    };
    [
        say("requests-fit-aws-models", Side::Request, "requests", &held.requests),
        say("answers-fit-aws-models", Side::Answer, "answers", &held.answers),
    ]
}

/// Says each kind of violation that nobody made on purpose.
pub fn tell(violations: &Violations) {
    for side in [Side::Request, Side::Answer] {
        for found in violations.undeclared(side) {
            say::error(&format!(
                "does not fit AWS's model ({} times, by {}): {}",
                found.count, found.by, found.text
            ));
        }
    }
}

fn evidence(found: &[ViolationRecord], checked: &str, on_purpose: usize) -> String {
    if found.is_empty() {
        let purpose = match on_purpose {
            0 => String::new(),
            count => format!("; {count} kinds were wrong on purpose"),
        };
        return format!("{checked} held against botocore's models{purpose}");
    }
    let named: Vec<String> = found
        .iter()
        .take(NAMED)
        .map(|found| format!("{} ({} times, by {})", found.text, found.count, found.by))
        .collect();
    let more = match found.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!("; and {more} kinds more"),
    };
    format!("{}{more}", named.join("; "))
}
