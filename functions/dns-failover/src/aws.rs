//! The ports on AWS: Parameter Store, the registers, the switch bucket.

use std::sync::Arc;

use aws_config::SdkConfig;
use aws_sdk_s3::{Client, config::Builder, primitives::ByteStream};
use lifeboat_core::{AppName, Epoch, Fault, Region, contract::Authority, plan_file::AppPlan};
use lifeboat_ledger::{Ledger, S3Store};
use lifeboat_parameters::Parameters;
use lifeboat_runtime::{aws, env};

use dns_failover::{Authorizer, Held, Mark, Marks, Place, Plans, is_note};

/// Everything that the function needs of the world.
pub(crate) struct Aws {
    parameters: Parameters,
    registers: Arc<S3Store>,
    prefix: String,
    region: Region,
    /// The switch objects; none when the stack was deployed without them.
    switches: Option<S3>,
    /// The notes, beside the registers.
    notes: S3,
    pub(crate) route53: aws_sdk_route53::Client,
    pub(crate) http: reqwest::Client,
}

/// A bucket of this region.
struct S3 {
    client: Client,
    bucket: String,
}

impl S3 {
    fn new(config: &SdkConfig, bucket: String) -> Self {
        let owner = aws::ExpectedBucketOwner::of(&bucket);
        let config = Builder::from(config).interceptor(owner).build();
        Self { client: Client::from_conf(config), bucket }
    }
}

/// The place and the ports of this deployment.
pub(crate) async fn ports() -> Result<(Place, Aws), Fault> {
    let region = Region::new(env::required("AWS_REGION")?)
        .map_err(|error| Fault::needs_human(error.to_string()))?;
    let bucket = env::optional("SWITCH_BUCKET");
    let prefix = env::required("LEDGER_BUCKET_PREFIX")?;
    let config = aws::config().await;
    let notes = format!("{prefix}-{region}");
    let aws = Aws {
        parameters: Parameters::new(&config),
        registers: Arc::new(S3Store::new(&config, region.clone())),
        prefix,
        region: region.clone(),
        switches: bucket.clone().map(|bucket| S3::new(&config, bucket)),
        notes: S3::new(&config, notes),
        route53: aws_sdk_route53::Client::new(&config),
        http: crate::network::http()?,
    };
    Ok((Place { region, bucket }, aws))
}

impl Aws {
    /// The bucket in which the mark under this key lies.
    fn bucket_of(&self, key: &str) -> Result<&S3, Fault> {
        let bucket = if is_note(key) { Some(&self.notes) } else { self.switches.as_ref() };
        bucket.ok_or_else(|| Fault::needs_human(format!("there is no switch bucket for {key}")))
    }
}

impl Plans for Aws {
    async fn plan(&self, app: &AppName) -> Result<AppPlan, Fault> {
        self.parameters.plan(app).await
    }
}

impl Authorizer for Aws {
    async fn authorize(&self, authority: &Authority, plan: &AppPlan) -> Result<(), Fault> {
        let ledger = Ledger::of_plan(&self.registers, &self.prefix, &self.region, plan);
        ledger.may_act(authority).await.map(|_| ())
    }
}

impl Marks for Aws {
    async fn read(&self, key: &str) -> Result<Option<Held>, Fault> {
        let S3 { client, bucket } = self.bucket_of(key)?;
        let found = match client.head_object().bucket(bucket).key(key).send().await {
            Ok(found) => found,
            Err(error) if error.as_service_error().is_some_and(|e| e.is_not_found()) => {
                return Ok(None);
            }
            Err(error) => {
                let doing = format!("read s3://{bucket}/{key}");
                return Err(aws::fault(&doing, error));
            }
        };
        let told = |name: &str| found.metadata().and_then(|all| all.get(name)).cloned();
        Ok(Some(Held {
            epoch: Epoch(told("epoch").and_then(|epoch| epoch.parse().ok()).unwrap_or_default()),
            change: told("change"),
            version: found.e_tag().unwrap_or_default().to_owned(),
        }))
    }

    async fn write(&self, key: &str, mark: &Mark, over: Option<&Held>) -> Result<(), Fault> {
        let S3 { client, bucket } = self.bucket_of(key)?;
        let mut request = client
            .put_object()
            .bucket(bucket)
            .key(key)
            .content_type("text/plain")
            // A health check must never be answered from a cache.
            .cache_control("no-store")
            .metadata("epoch", mark.epoch.to_string())
            .metadata("incident", mark.incident.to_string())
            .body(ByteStream::from(mark.text().into_bytes()));
        if let Some(change) = &mark.change {
            request = request.metadata("change", change);
        }
        request = match over {
            Some(held) => request.if_match(&held.version),
            None => request.if_none_match("*"),
        };
        match request.send().await {
            Ok(_) => Ok(()),
            Err(error) if error.raw_response().is_some_and(|r| r.status().as_u16() == 412) => {
                Err(Fault::transient(format!(
                    "s3://{bucket}/{key} changed meanwhile; it is read again"
                )))
            }
            Err(error) => Err(aws::fault(&format!("write s3://{bucket}/{key}"), error)),
        }
    }
}
