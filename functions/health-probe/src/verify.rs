//! Whether a site can serve.

use std::{collections::BTreeMap, sync::Arc};

use lifeboat_core::{
    Epoch, Fault, SiteName,
    contract::health_probe::Response,
    vote::{CheckKind, Vote},
};
use lifeboat_postgres::State;
use serde::Deserialize;

use crate::{
    View,
    ports::{Answer, Unread, World},
    round,
};

/// What an app may say of itself in the body of its health check. Every field may be absent, and
/// others are ignored: the status code alone is a health check too.
#[derive(Debug, Default, Deserialize)]
struct SelfReport {
    site: Option<String>,
    epoch: Option<Epoch>,
}

/// That every check of the site is `up`, that its app serves as this site under this epoch as far as
/// it says so, and that its database is out of recovery and writable.
pub(crate) async fn verify<W: World>(
    world: &Arc<W>,
    view: &View,
    site: &SiteName,
    epoch: Epoch,
) -> Result<Response, Fault> {
    let described = view.plan.sites.get(site).ok_or_else(|| {
        Fault::invalid(format!("the plan of {} has no site {site}", view.plan.app))
    })?;
    let endpoint = round::database_endpoint(view, described);
    let (mut answers, state) = tokio::join!(
        round::ask(world, view, std::iter::once(site)),
        world.state(&view.plan, &endpoint, round::limit(view)),
    );
    let answers = answers.remove(site).unwrap_or_default();
    let mut missing = failing(&answers);
    if let Some(body) = answers.get(&CheckKind::Http).and_then(|answer| answer.body.as_deref()) {
        missing.extend(contradictions(body, site, epoch));
    }
    missing.extend(unwritable(&state));
    if missing.is_empty() {
        let checks = answers.into_iter().map(|(kind, answer)| (kind, answer.check)).collect();
        Ok(Response::Verify { site: site.clone(), checks })
    } else {
        Err(Fault::not_ready(format!("site {site} cannot serve yet: {}", missing.join("; "))))
    }
}

fn failing(answers: &BTreeMap<CheckKind, Answer>) -> Vec<String> {
    if answers.is_empty() {
        return vec!["it has no checks, so nothing shows that it can serve".to_owned()];
    }
    answers
        .iter()
        .filter(|(_, answer)| answer.check.vote != Vote::Up)
        .map(|(kind, answer)| format!("{}: {}", kind.as_str(), answer.check.detail))
        .collect()
}

fn contradictions(body: &str, site: &SiteName, epoch: Epoch) -> Vec<String> {
    let said: SelfReport = serde_json::from_str(body).unwrap_or_default();
    let mut found = Vec::new();
    if let Some(other) = said.site.filter(|other| other != site.as_str()) {
        found.push(format!("http: the app says that it is site {other}"));
    }
    if let Some(other) = said.epoch.filter(|other| *other != epoch) {
        found.push(format!("http: the app serves under epoch {other}, not {epoch}"));
    }
    found
}

fn unwritable(state: &Result<State, Unread>) -> Option<String> {
    match state {
        Ok(state) if state.is_writable() => None,
        Ok(state) if state.in_recovery => Some("database: it is in recovery".to_owned()),
        Ok(_) => Some("database: its transactions are read-only".to_owned()),
        Err(why) => Some(format!("database: {}", why.detail)),
    }
}
