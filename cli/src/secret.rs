//! `lifeboat secret`: store a secret that the plan names.

use std::{
    io::{self, IsTerminal, Read},
    path::Path,
};

use lifeboat_core::plan_file::AppPlan;
use lifeboat_parameters::{Parameters, Secret};
use lifeboat_runtime::aws;
use serde_json::json;

use crate::{
    credentials, input,
    output::{Failure, say, say_json},
    plan::read_file,
    regions::Outcome,
};

/// The most that a standard parameter holds, in bytes (Parameter Store's quota).
const LONGEST: u64 = 4096;

/// The secrets that a plan names.
pub(crate) fn named(plan: &AppPlan) -> impl Iterator<Item = &str> {
    [Some(&plan.database.password_secret), plan.notifications.slack_webhook_secret.as_ref()]
        .into_iter()
        .flatten()
        .map(String::as_str)
}

/// What is typed at the terminal, without being shown.
fn typed(name: &str) -> io::Result<String> {
    rpassword::prompt_password(format!("Value of {name} (it is not shown): "))
}

/// What a program writes to the standard input, and a byte more than is taken when it is too long.
fn piped() -> io::Result<String> {
    let mut value = String::new();
    io::stdin().take(LONGEST + 1).read_to_string(&mut value)?;
    Ok(value)
}

/// Stores the value that is typed or piped in every region of the plan.
pub(crate) async fn put(file: &Path, name: &str, as_json: bool) -> Result<(), Failure> {
    if input::is_standard(file) {
        return Err(Failure::input(
            "standard input is the secret's value: give the plan as a file",
        ));
    }
    let plan = read_file(file)?;
    if !named(&plan).any(|known| known == name) {
        return Err(Failure::input(format!(
            "the plan names no secret `{name}`; it names {}",
            named(&plan).collect::<Vec<_>>().join(", ")
        )));
    }
    let value = if io::stdin().is_terminal() {
        typed(name).map_err(|error| Failure::input(format!("the terminal: {error}")))?
    } else {
        piped().map_err(|error| Failure::input(format!("standard input: {error}")))?
    };
    let value = value.trim_end_matches(['\n', '\r']);
    if value.is_empty() || value.len() as u64 > LONGEST {
        return Err(Failure::input(format!(
            "type the secret's value, or give it on standard input: 1 to {LONGEST} bytes"
        )));
    }
    let value = Secret::new(value);
    let config = credentials::config().await?;
    let mut outcome = Outcome::default();
    for site in plan.sites.values() {
        let parameters = Parameters::new(&aws::in_region(&config, site.region.as_str()));
        let put = parameters.put_secret(&plan.app, name, &value).await;
        if outcome.note(&site.region, &format!("the secret {name}"), put).is_some() && !as_json {
            say(&format!("{}: stored /lifeboat/secrets/{}/{name}", site.region, plan.app));
        }
    }
    if as_json {
        say_json(&json!({
            "app": plan.app, "secret": name, "regions": outcome.done, "owed": outcome.owed,
        }));
    }
    outcome.settled()
}
