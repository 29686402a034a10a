//! `promotion-stuck`: the standby's database is away when it is to be promoted, for longer than the RTO.
//! Somebody has to hear of it, and once the database is back the recovery goes on by itself.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use super::{evidence::invariant, outage::tell};
use crate::{
    clock,
    lab::{Lab, LabError, STANDBY},
    report::{InvariantResult, seconds_between},
};

/// The stage of the page.
pub(super) const OVERDUE: &str = "overdue";
/// Until the page has come: the RTO, from the alarm on, and what a lab's schedule adds.
const PAGED_WITHIN: Duration = Duration::from_secs(90);

/// Takes the database away behind the claim, and gives it back once people were paged; the execution.
pub(super) async fn hold_until_paged(
    lab: &Lab,
    struck_at: Timestamp,
) -> Result<(Option<String>, Vec<InvariantResult>), LabError> {
    let Some(arn) = lab.next_execution(&STANDBY).await else { return Ok((None, Vec::new())) };
    lab.left(&arn, "ClaimEpoch").await?;
    lab.take_database_away(&STANDBY).await?;
    tell(struck_at, clock::now(), "trouble", "the standby's database is away");
    let page = clock::find(PAGED_WITHIN, || async {
        let deliveries = lab.capture.deliveries();
        let texts = deliveries.iter().filter(|delivery| delivery.channel == "sns");
        texts
            .filter_map(|delivery| delivery.body.get("Message").and_then(Value::as_str))
            .find(|text| text.contains("Stage:     overdue"))
            .map(str::to_owned)
    })
    .await;
    let paged_at = clock::now();
    if page.is_some() {
        tell(struck_at, paged_at, "paged", "the recovery is overdue");
    }
    lab.give_database_back(&STANDBY).await?;
    tell(struck_at, clock::now(), "back", "the standby's database is back");
    let has_command = page
        .as_deref()
        .is_some_and(|page| page.contains("lifeboat recover --app queue --region us-west-2"));
    let paged = invariant(
        "10-overdue-is-paged",
        has_command,
        match page {
            Some(_) => format!(
                "paged {:.1} s after the disaster, with the next command",
                seconds_between(struck_at, paged_at)
            ),
            None => format!("nobody was paged within {} s", PAGED_WITHIN.as_secs()),
        },
    );
    Ok((Some(arn), vec![paged]))
}
