//! What Systems Manager Parameter Store holds for Lifeboat: the plans and their secrets.
//!
//! Each region has its own copy, because a recovery may read only the region that it runs in.
//! `/lifeboat/plans/<app>` is the plan as JSON; `/lifeboat/secrets/<app>/<name>` is a SecureString.

mod secret;

use aws_config::SdkConfig;
use aws_sdk_ssm::{
    Client,
    types::{ParameterTier, ParameterType},
};
use jiff::Timestamp;
use lifeboat_core::{AppName, Fault, plan_file::AppPlan};
use lifeboat_runtime::aws;

pub use secret::Secret;

/// The folder of the plans.
const PLANS: &str = "/lifeboat/plans";

/// The parameter that holds an app's plan.
#[must_use]
pub fn plan_path(app: &AppName) -> String {
    format!("{PLANS}/{app}")
}

/// The parameter that holds one of an app's secrets.
#[must_use]
pub fn secret_path(app: &AppName, name: &str) -> String {
    format!("/lifeboat/secrets/{app}/{name}")
}

/// The parameters of one region.
#[derive(Debug, Clone)]
pub struct Parameters {
    client: Client,
    /// For what is said of what is missing: whoever reads it may not have named a region.
    region: String,
}

impl Parameters {
    /// The parameters of the region that `config` is for.
    #[must_use]
    pub fn new(config: &SdkConfig) -> Self {
        let region = config.region().map_or("this region", |region| region.as_ref()).to_owned();
        Self { client: Client::new(config), region }
    }

    /// An app's plan.
    ///
    /// # Errors
    /// `InvalidInput` when there is none, or one that this version cannot read: apply the plan
    /// again. Otherwise as [`aws::fault`].
    pub async fn plan(&self, app: &AppName) -> Result<AppPlan, Fault> {
        let stored = self.read(&plan_path(app), false).await?.ok_or_else(|| {
            Fault::invalid(format!(
                "no plan for app {app} in {}; run `lifeboat plan apply` with its plan file",
                self.region
            ))
        })?;
        parse_plan(app, &stored)
    }

    /// An app's plan as it is stored, which another version may have done; none when there is none.
    ///
    /// # Errors
    /// As [`aws::fault`].
    pub async fn stored_plan(&self, app: &AppName) -> Result<Option<String>, Fault> {
        self.read(&plan_path(app), false).await
    }

    /// The versions of an app's plan as they were stored, with their times, the oldest first; Parameter
    /// Store keeps the newest 100.
    ///
    /// # Errors
    /// As [`aws::fault`].
    pub async fn plan_history(&self, app: &AppName) -> Result<Vec<(Timestamp, String)>, Fault> {
        let path = plan_path(app);
        let mut pages = self.client.get_parameter_history().name(&path).into_paginator().send();
        let mut found = Vec::new();
        while let Some(page) = pages.next().await {
            let page =
                page.map_err(|error| aws::fault(&format!("read the versions of {path}"), error))?;
            found.extend(page.parameters.unwrap_or_default().into_iter().filter_map(|version| {
                let stored_at = version.last_modified_date?;
                let stored_at = Timestamp::from_second(stored_at.secs()).ok()?;
                Some((version.version, stored_at, version.value?))
            }));
        }
        found.sort_by_key(|(version, ..)| *version);
        Ok(found.into_iter().map(|(_, stored_at, value)| (stored_at, value)).collect())
    }

    /// Whether a secret is stored in this region; it is not read.
    ///
    /// # Errors
    /// As [`aws::fault`].
    pub async fn has_secret(&self, app: &AppName, name: &str) -> Result<bool, Fault> {
        Ok(self.read(&secret_path(app, name), false).await?.is_some())
    }

    /// The apps that have a plan in this region.
    ///
    /// # Errors
    /// As [`aws::fault`].
    pub async fn apps(&self) -> Result<Vec<AppName>, Fault> {
        let request = self.client.get_parameters_by_path().path(PLANS);
        let mut pages = request.into_paginator().send();
        let mut apps = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| aws::fault("list the plans", error))?;
            for parameter in page.parameters() {
                let name =
                    parameter.name().and_then(|path| path.strip_prefix(PLANS)?.strip_prefix('/'));
                apps.extend(name.and_then(|name| AppName::new(name).ok()));
            }
        }
        Ok(apps)
    }

    /// One of an app's secrets.
    ///
    /// # Errors
    /// `NeedsHuman` when it is not stored in this region. Otherwise as [`aws::fault`].
    pub async fn secret(&self, app: &AppName, name: &str) -> Result<Secret, Fault> {
        let path = secret_path(app, name);
        self.read(&path, true).await?.map(Secret::new).ok_or_else(|| {
            Fault::needs_human(format!(
                "no secret {name} for app {app} in {}; store it as the SecureString parameter {path}",
                self.region
            ))
        })
    }

    /// Stores an app's plan in this region, over the one that is there.
    ///
    /// # Errors
    /// As [`aws::fault`].
    pub async fn put_plan(&self, plan: &AppPlan) -> Result<(), Fault> {
        let json = serde_json::to_string(plan)
            .map_err(|error| Fault::invalid(format!("the plan cannot be stored: {error}")))?;
        self.write(&plan_path(&plan.app), json, ParameterType::String).await
    }

    /// Stores one of an app's secrets in this region, over the one that is there.
    ///
    /// # Errors
    /// As [`aws::fault`].
    pub async fn put_secret(&self, app: &AppName, name: &str, value: &Secret) -> Result<(), Fault> {
        let value = value.expose().to_owned();
        self.write(&secret_path(app, name), value, ParameterType::SecureString).await
    }

    async fn read(&self, path: &str, decrypt: bool) -> Result<Option<String>, Fault> {
        let answer = self.client.get_parameter().name(path).with_decryption(decrypt).send().await;
        match answer {
            Ok(answer) => Ok(answer.parameter.and_then(|parameter| parameter.value)),
            Err(error)
                if error.as_service_error().is_some_and(|error| error.is_parameter_not_found()) =>
            {
                Ok(None)
            }
            Err(error) => Err(aws::fault(&format!("read parameter {path}"), error)),
        }
    }

    /// Writes a parameter. Intelligent tiering, because a plan may outgrow the 4 KB of the standard
    /// tier, and is charged as standard until it does.
    async fn write(&self, path: &str, value: String, kind: ParameterType) -> Result<(), Fault> {
        self.client
            .put_parameter()
            .name(path)
            .value(value)
            .r#type(kind)
            .tier(ParameterTier::IntelligentTiering)
            .overwrite(true)
            .send()
            .await
            .map(|_| ())
            .map_err(|error| aws::fault(&format!("write parameter {path}"), error))
    }
}

fn parse_plan(app: &AppName, stored: &str) -> Result<AppPlan, Fault> {
    let plan: AppPlan = serde_json::from_str(stored).map_err(|error| {
        Fault::invalid(format!(
            "the stored plan of app {app} cannot be read by this version ({error}); run `lifeboat \
             plan apply` again"
        ))
    })?;
    if plan.app == *app {
        Ok(plan)
    } else {
        Err(Fault::invalid(format!(
            "the plan stored for app {app} is that of {}; run `lifeboat plan apply` again",
            plan.app
        )))
    }
}

#[cfg(test)]
mod tests {
    use lifeboat_core::{ErrorName, plan_file};

    use super::*;

    fn queue() -> AppPlan {
        plan_file::read(include_str!("../../../events/plan/queue.toml")).unwrap()
    }

    #[test]
    fn a_stored_plan_is_the_plan_that_was_applied() {
        let stored = serde_json::to_string(&queue()).unwrap();
        assert_eq!(parse_plan(&queue().app, &stored), Ok(queue()));
        assert!(stored.len() < 4096, "fits the standard tier: {} bytes", stored.len());
    }

    #[test]
    fn a_plan_that_cannot_be_used_says_to_apply_it_again() {
        let stored = serde_json::to_string(&queue()).unwrap();
        let other: AppName = "other".parse().unwrap();
        for fault in
            [parse_plan(&queue().app, "{}").unwrap_err(), parse_plan(&other, &stored).unwrap_err()]
        {
            assert_eq!(fault.name, ErrorName::InvalidInput);
            assert!(fault.message.contains("lifeboat plan apply"), "{fault}");
        }
    }

    #[test]
    fn paths_are_those_that_the_roles_allow() {
        let app = queue().app;
        assert_eq!(plan_path(&app), "/lifeboat/plans/queue");
        assert_eq!(secret_path(&app, "database"), "/lifeboat/secrets/queue/database");
    }
}
