//! The questions.

use std::future::Future;

use aws_config::SdkConfig;
use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_ssm::types::{InstanceInformationStringFilter, PingStatus};
use jiff::SignedDuration;
use lifeboat_core::{
    Fault, Region,
    backup::quota,
    plan_file::{AppPlan, Engine, HostTag, Scenario, Switch},
};
use lifeboat_parameters::Parameters;
use lifeboat_runtime::{aws, clock};

use super::judge::{self, Finding, Host, Instance, Record};
use crate::{cloud, plan::There, secret};

/// How far back a lag may have been reported.
const LAG_WITHIN: SignedDuration = SignedDuration::from_mins(10);

/// Everything that is asked in a region that answers.
pub(super) async fn region(
    plan: &AppPlan,
    file: &str,
    region: &Region,
    there: &There,
) -> Vec<Finding> {
    let config = &there.config;
    let account = &there.machine.account;
    let mut found = vec![super::clock::look(config, region).await];
    found.extend(quotas(plan, region, there).await);
    found.push(
        told("secrets", region, async {
            let missing = missing_secrets(config, plan).await?;
            Ok(judge::secrets(file, region, &missing))
        })
        .await,
    );
    found.extend(site(plan, region, there).await);
    let topic = format!("arn:{}:sns:{region}:{account}:lifeboat-notifications", partition(there));
    found.push(
        told("subscriptions", region, async {
            Ok(judge::subscriptions(region, &topic, &subscriptions(config, &topic).await?))
        })
        .await,
    );
    for prefix in ["lifeboat-ledger", "lifeboat-backups"] {
        let bucket = format!("{prefix}-{account}-{region}");
        found.push(
            told("bucket policy", region, async {
                let policy = policy(config, &bucket, account).await?;
                Ok(judge::policy(region, &bucket, policy.as_deref()))
            })
            .await,
        );
    }
    if plan.dns.switch == Switch::HealthCheck {
        let bucket = format!("lifeboat-switch-{account}-{region}");
        found.push(
            told("switch", region, async {
                Ok(judge::switch(region, &bucket, is_public(config, &bucket, account).await?))
            })
            .await,
        );
    }
    found
}

/// Whether the snapshots that the plan keeps fit; nothing of a plan that keeps none.
async fn quotas(plan: &AppPlan, region: &Region, there: &There) -> Option<Finding> {
    if quota::kept(plan) == 0 {
        return None;
    }
    let found = crate::quotas::check(plan, std::iter::once((region, there))).await;
    Some(judge::quota(region, &found.problems, &found.warnings, &found.unchecked))
}

/// The hosts and the database of the region's site.
async fn site(plan: &AppPlan, region: &Region, there: &There) -> Vec<Finding> {
    let config = &there.config;
    let mut found = Vec::new();
    let Some((name, site)) = plan.site_in(region.as_str()) else { return found };
    let Some((_, other)) = plan.other_than(name) else { return found };
    let is_active = judge::active(plan, there) == name;
    if let Some(tag) = &site.hosts {
        found.push(
            told("hosts", region, async {
                Ok(judge::hosts(region, tag, &hosts(config, tag).await?))
            })
            .await,
        );
    }
    // What runs a server of its own shows by its lag alone whose replica it is.
    if plan.database.engine == Engine::Rds {
        found.push(
            told("database", region, async {
                let instance = instance(config, &site.database.identifier).await?;
                Ok(judge::instance(region, site, other, is_active, instance.as_ref()))
            })
            .await,
        );
    }
    if !is_active {
        found.push(
            told("replica lag", region, async {
                let now = clock::now();
                let last = cloud::last_lag(config, &plan.app, name, now - LAG_WITHIN, now).await?;
                let policy = plan.scenarios.get(&Scenario::RegionOutage);
                Ok(judge::lag(region, policy.map(|policy| policy.rpo_seconds), last, now))
            })
            .await,
        );
    }
    found
}

/// The partition that the stack is in: the second part of an ARN.
fn partition(there: &There) -> &str {
    there.machine.arn.split(':').nth(1).unwrap_or("aws")
}

/// What was found, or that it could not be asked.
async fn told(
    check: &'static str,
    region: &Region,
    question: impl Future<Output = Result<Finding, Fault>>,
) -> Finding {
    question.await.unwrap_or_else(|fault| Finding::unasked(check, Some(region), &fault))
}

async fn missing_secrets<'a>(config: &SdkConfig, plan: &'a AppPlan) -> Result<Vec<&'a str>, Fault> {
    let parameters = Parameters::new(config);
    let mut missing = Vec::new();
    for name in secret::named(plan) {
        if !parameters.has_secret(&plan.app, name).await? {
            missing.push(name);
        }
    }
    Ok(missing)
}

async fn hosts(config: &SdkConfig, tag: &HostTag) -> Result<Vec<Host>, Fault> {
    let doing = format!("list the hosts with tag {}={}", tag.tag, tag.value);
    let filter = InstanceInformationStringFilter::builder()
        .key(format!("tag:{}", tag.tag))
        .values(&tag.value)
        .build()
        .map_err(|error| Fault::invalid(format!("{doing}: {error}")))?;
    let client = aws_sdk_ssm::Client::new(config);
    let mut pages = client.describe_instance_information().filters(filter).into_paginator().send();
    let mut found = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| aws::fault(&doing, error))?;
        found.extend(page.instance_information_list().iter().map(|host| Host {
            id: host.instance_id().unwrap_or_default().to_owned(),
            online: host.ping_status() == Some(&PingStatus::Online),
        }));
    }
    Ok(found)
}

async fn instance(config: &SdkConfig, id: &str) -> Result<Option<Instance>, Fault> {
    let client = aws_sdk_rds::Client::new(config);
    let asked = client.describe_db_instances().db_instance_identifier(id).send().await;
    let answer = match asked {
        Ok(answer) => answer,
        Err(error) if aws::is_rds(&error, "DBInstanceNotFound") => return Ok(None),
        Err(error) => return Err(aws::fault(&format!("look at DB instance {id}"), error)),
    };
    Ok(answer.db_instances().first().map(|found| {
        let mut infos = found.status_infos().iter();
        let replication = infos.find(|info| info.status_type() == Some("read replication"));
        Instance {
            status: found.db_instance_status().unwrap_or("unknown").to_owned(),
            source: found.read_replica_source_db_instance_identifier().map(str::to_owned),
            replication: replication.and_then(|info| info.status()).map(str::to_owned),
        }
    }))
}

async fn subscriptions(config: &SdkConfig, topic: &str) -> Result<Vec<bool>, Fault> {
    let client = aws_sdk_sns::Client::new(config);
    let mut pages = client.list_subscriptions_by_topic().topic_arn(topic).into_paginator().send();
    let mut found = Vec::new();
    while let Some(page) = pages.next().await {
        let page =
            page.map_err(|error| aws::fault(&format!("list who is told by {topic}"), error))?;
        // What is not confirmed has the word PendingConfirmation in place of its ARN.
        found.extend(page.subscriptions().iter().map(|subscription| {
            subscription.subscription_arn().is_some_and(|arn| arn.starts_with("arn:"))
        }));
    }
    Ok(found)
}

async fn policy(config: &SdkConfig, bucket: &str, owner: &str) -> Result<Option<String>, Fault> {
    let client = aws_sdk_s3::Client::new(config);
    let asked = client.get_bucket_policy().bucket(bucket).expected_bucket_owner(owner).send().await;
    match asked {
        Ok(answer) => Ok(answer.policy),
        Err(error) if error.code() == Some("NoSuchBucketPolicy") => Ok(None),
        Err(error) => Err(aws::fault(&format!("read the policy of {bucket}"), error)),
    }
}

async fn is_public(config: &SdkConfig, bucket: &str, owner: &str) -> Result<bool, Fault> {
    let client = aws_sdk_s3::Client::new(config);
    let asked = client.get_bucket_policy_status().bucket(bucket).expected_bucket_owner(owner);
    match asked.send().await {
        Ok(answer) => Ok(answer.policy_status.and_then(|status| status.is_public) == Some(true)),
        Err(error) if matches!(error.code(), Some("NoSuchBucketPolicy" | "NoSuchBucket")) => {
            Ok(false)
        }
        Err(error) => Err(aws::fault(&format!("ask whether {bucket} is public"), error)),
    }
}

/// The records of the app's name.
pub(super) async fn name(config: &SdkConfig, plan: &AppPlan) -> Option<Finding> {
    // Route 53 has one endpoint for a partition, and any region of it signs.
    let region = plan.sites.values().next()?.region.as_str();
    let client = aws_sdk_route53::Client::new(&aws::in_region(config, region));
    Some(match records(&client, plan).await {
        Ok(found) => judge::name(plan, found.as_deref()),
        Err(fault) => Finding::unasked("dns", None, &fault),
    })
}

async fn records(
    client: &aws_sdk_route53::Client,
    plan: &AppPlan,
) -> Result<Option<Vec<Record>>, Fault> {
    let name = &plan.dns.name;
    let zone = match &plan.dns.hosted_zone_id {
        Some(zone) => Some(zone.clone()),
        None => zone_of(client, name).await?,
    };
    let Some(zone) = zone else { return Ok(None) };
    let asked = client.list_resource_record_sets().hosted_zone_id(zone).start_record_name(name);
    let answer = asked
        .send()
        .await
        .map_err(|error| aws::fault(&format!("list the records of {name}"), error))?;
    let of_name = answer.resource_record_sets().iter().filter(|set| {
        set.name().trim_end_matches('.') == name.as_str()
            && ["A", "AAAA"].contains(&set.r#type().as_str())
    });
    let records = of_name.map(|set| Record {
        failover: set.failover().map(|side| side.as_str().to_owned()),
        has_health_check: set.health_check_id().is_some(),
        ttl: set.ttl(),
    });
    Ok(Some(records.collect()))
}

/// The public zone of this account with the longest name that the app's name ends in.
async fn zone_of(client: &aws_sdk_route53::Client, name: &str) -> Result<Option<String>, Fault> {
    let mut pages = client.list_hosted_zones().into_paginator().send();
    let mut longest: Option<(usize, String)> = None;
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| aws::fault("list the hosted zones", error))?;
        for zone in page.hosted_zones() {
            let own = zone.name().trim_end_matches('.');
            let holds = name == own || name.ends_with(&format!(".{own}"));
            let is_private = zone.config().is_some_and(|config| config.private_zone());
            let is_longer = longest.as_ref().is_none_or(|(length, _)| own.len() > *length);
            if holds && !is_private && is_longer {
                let id = zone.id().trim_start_matches("/hostedzone/").to_owned();
                longest = Some((own.len(), id));
            }
        }
    }
    Ok(longest.map(|(_, id)| id))
}
