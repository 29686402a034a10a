//! The Lambda function `plan-recovery`.

mod aws;

use std::sync::Arc;

use lifeboat_core::Region;
use lifeboat_ledger::S3Store;
use lifeboat_parameters::Parameters;
use lifeboat_runtime::{clock, env, serve};
use plan_recovery::{Ports, handle};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lifeboat_runtime::Error> {
    let config = lifeboat_runtime::aws::config().await;
    let region: Region = env::required("AWS_REGION")?.parse()?;
    let ports = Ports {
        plans: aws::StoredPlans(Parameters::new(&config)),
        store: Arc::new(S3Store::new(&config, region.clone())),
        prefix: env::required("LEDGER_BUCKET_PREFIX")?,
        region,
    };
    serve("plan-recovery", |request, _| handle(request, &ports, clock::now())).await
}
