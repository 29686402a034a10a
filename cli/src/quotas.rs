//! Whether what a plan makes fits into the quotas of its regions, before it is applied.

use std::collections::BTreeMap;

use aws_config::SdkConfig;
use lifeboat_core::{
    Fault, Region,
    backup::{
        quota::{self, Fit, Snapshots},
        rds,
    },
    plan_file::AppPlan,
};
use lifeboat_parameters::Parameters;
use lifeboat_runtime::aws;

use crate::{
    exit,
    output::{Failure, complain},
    plan::There,
};

/// What is to be said before a plan is applied.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// The plan must not be applied: each with the arithmetic and what to do.
    pub(crate) problems: Vec<String>,
    /// It may, and people should know.
    pub(crate) warnings: Vec<String>,
    /// What could not be asked.
    pub(crate) unchecked: Vec<String>,
}

impl Found {
    /// Says the warnings.
    ///
    /// # Errors
    /// There are problems.
    pub(crate) fn said(self) -> Result<(), Failure> {
        let told = self.warnings.iter().chain(&self.unchecked);
        told.for_each(|warning| complain(&format!("warning: {warning}")));
        if self.problems.is_empty() {
            return Ok(());
        }
        Err(Failure { lines: self.problems, code: exit::REFUSED })
    }

    fn add(&mut self, fit: Fit) {
        match fit {
            Fit::Fits => {}
            Fit::Tight(text) => self.warnings.push(text),
            Fit::TooMany(text) => self.problems.push(text),
        }
    }
}

/// Holds the snapshots that a plan keeps against what RDS allows in these regions, in which it is to be
/// stored. A region that does not answer, or does not let itself be asked, keeps nobody from applying.
pub(crate) async fn check<'a>(
    plan: &AppPlan,
    regions: impl Iterator<Item = (&'a Region, &'a There)>,
) -> Found {
    let mut found = Found::default();
    if quota::kept(plan) == 0 {
        return found;
    }
    for (region, there) in regions {
        // One that this version cannot read is as good as none: nothing is known of what it keeps.
        let stored = there.stored.as_deref().and_then(|text| serde_json::from_str(text).ok());
        match seen(&there.config, plan).await {
            Ok(Some(seen)) => found.add(quota::fit(plan, stored.as_ref(), region, &seen)),
            Ok(None) => found.unchecked.push(format!(
                "RDS names no quota ManualSnapshots in {region}: whether the snapshots of this plan \
                 fit was not checked"
            )),
            Err(fault) => found.unchecked.push(format!(
                "whether the snapshots of this plan fit into {region} was not checked: {}",
                fault.message
            )),
        }
    }
    found
}

/// What there is of manual snapshots in the region of `config`.
async fn seen(config: &SdkConfig, plan: &AppPlan) -> Result<Option<Snapshots>, Fault> {
    let client = aws_sdk_rds::Client::new(config);
    let answer = client.describe_account_attributes().send().await;
    let answer = answer.map_err(|error| aws::fault("read the quotas of RDS", error))?;
    let quota = answer
        .account_quotas()
        .iter()
        .find(|quota| quota.account_quota_name() == Some("ManualSnapshots"));
    let number = |value: i64| u64::try_from(value).unwrap_or_default();
    let Some((allowed, there)) = quota.and_then(|quota| quota.max().zip(quota.used())) else {
        return Ok(None);
    };
    let mut ours = 0;
    let mut pages = client.describe_db_snapshots().snapshot_type("manual").into_paginator().send();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| aws::fault("list the snapshots of RDS", error))?;
        let names = page.db_snapshots().iter().filter_map(|one| one.db_snapshot_identifier());
        ours += names.filter(|name| rds::is_snapshot(name)).map(|_| 1).sum::<u64>();
    }
    let parameters = Parameters::new(config);
    let mut others = BTreeMap::new();
    for app in parameters.apps().await?.into_iter().filter(|app| *app != plan.app) {
        let kept = quota::kept(&parameters.plan(&app).await?);
        others.insert(app, kept);
    }
    Ok(Some(Snapshots { allowed: number(allowed), there: number(there), ours, others }))
}
