//! What the registers of the lab's app hold, asked for from outside any region.

use std::time::Duration;

use serde_json::Value;

use super::evidence::invariant;
use crate::{
    clock,
    lab::{ACTIVE, Lab, LabError, STANDBY, WITNESS_REGION},
    report::InvariantResult,
};

/// Until registers that lagged are settled: a tick of the observer, and what it takes.
const SETTLED_WITHIN: Duration = Duration::from_secs(150);

impl Lab {
    /// Each register's epoch and site.
    async fn all_registers(&self) -> Result<Vec<(String, u64, String)>, LabError> {
        let mut all = Vec::new();
        for region in [ACTIVE.region, STANDBY.region, WITNESS_REGION] {
            let record = self.register_in(region).await?;
            let text =
                |key: &str| record.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
            let epoch = record.get("epoch").and_then(Value::as_u64).unwrap_or(0);
            all.push((region.to_owned(), epoch, text("active_site")));
        }
        Ok(all)
    }

    /// The epoch that at least two registers hold; 0 when no two agree.
    pub(super) async fn agreed_epoch(&self) -> Result<u64, LabError> {
        let all = self.all_registers().await?;
        let held = |epoch: u64| all.iter().filter(|(_, other, _)| *other == epoch).count();
        Ok(all.iter().map(|(_, epoch, _)| *epoch).find(|epoch| held(*epoch) >= 2).unwrap_or(0))
    }

    /// That the registers hold one claim by themselves. One that failed to get a majority stays above
    /// it, for epochs only grow, so there two of three is all that can be.
    pub(super) async fn registers_settle(
        &self,
        all_agree: bool,
    ) -> Result<InvariantResult, LabError> {
        let wanted = if all_agree { 3 } else { 2 };
        let agree = |all: &[(String, u64, String)]| {
            all.iter().any(|(_, epoch, site)| {
                all.iter().filter(|(_, e, s)| e == epoch && s == site).count() >= wanted
            })
        };
        let began = std::time::Instant::now();
        let settled = clock::find(SETTLED_WITHIN, || async {
            let all = self.all_registers().await.ok()?;
            agree(&all).then_some(())
        })
        .await;
        let words: Vec<String> = self
            .all_registers()
            .await?
            .into_iter()
            .map(|(region, epoch, site)| format!("{region}: site {site} under epoch {epoch}"))
            .collect();
        Ok(invariant(
            "8-registers-settle",
            settled.is_some(),
            format!("{} after {:.0} s", words.join("; "), began.elapsed().as_secs_f64()),
        ))
    }
}
