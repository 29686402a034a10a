//! `lifeboat doctor`: whether a recovery would find all that it needs.
//!
//! `ask` asks AWS, `judge` says what the answers mean. What cannot be asked is no fault: it is said as
//! that, with the reason.

mod ask;
mod clock;
mod judge;
mod registers;

use std::path::Path;

use aws_config::SdkConfig;
use lifeboat_core::plan_file::AppPlan;
use serde_json::json;

pub(crate) use self::judge::Finding;
use self::judge::Health;
use crate::{
    credentials, exit,
    output::{Failure, say, say_json},
    plan::read_file,
};

/// Examines an app, by hand.
pub(crate) async fn run(file: &Path, as_json: bool) -> Result<(), Failure> {
    let plan = read_file(file)?;
    let config = credentials::config().await?;
    let findings = examine(&config, &plan, &file.display().to_string()).await;
    if as_json {
        say_json(&json!({ "app": plan.app, "checks": findings }));
    } else {
        findings.iter().for_each(tell);
    }
    settle(&findings)
}

/// Every check of an app.
pub(crate) async fn examine(config: &SdkConfig, plan: &AppPlan, file: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let there = crate::plan::look(config, plan).await;
    findings.extend(judge::records(plan, file, &there));
    for (region, found) in &there {
        match found {
            Ok(there) => findings.extend(ask::region(plan, file, region, there).await),
            Err(fault) => findings.push(Finding::unasked("region", Some(region), fault)),
        }
    }
    findings.extend(ask::name(config, plan).await);
    findings
}

/// A finding for people.
pub(crate) fn tell(finding: &Finding) {
    let Finding { health, check, region, said, next } = finding;
    let place = region.as_ref().map_or("", |region| region.as_str());
    say(&format!("{:<8}{place:<11} {check:<14} {said}", health.as_str()));
    if let Some(next) = next {
        say(&format!("        next: {next}"));
    }
}

/// The exit code that the findings come to.
fn settle(findings: &[Finding]) -> Result<(), Failure> {
    let count = |health| findings.iter().filter(|finding| finding.health == health).count();
    match (count(Health::Fault), count(Health::Unknown)) {
        (0, 0) => Ok(()),
        (0, unknown) => Err(Failure::partly(vec![format!("{unknown} checks could not be made")])),
        (faults, _) => Err(Failure {
            lines: vec![format!("{faults} faults: a recovery may fail until they are mended")],
            code: exit::FAILED,
        }),
    }
}
