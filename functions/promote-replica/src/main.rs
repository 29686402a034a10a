//! `promote-replica`: wiring.

mod aws;
mod sql;

use std::sync::Arc;

use lifeboat_core::{
    AppName, Fault, IncidentId, Region,
    contract::{Authority, promote_replica::Request},
    ledger::Holder,
    plan_file::{AppPlan, Engine},
};
use lifeboat_ledger::{Ledger, S3Store};
use lifeboat_parameters::Parameters;
use lifeboat_runtime::{Error, clock, env};
use promote_replica::{Authorizer, Database, Plans, Replica, State};

use crate::{aws::Rds, sql::Sql};

/// Everything outside, as it really is.
#[derive(Debug)]
struct Outside {
    parameters: Parameters,
    registers: Arc<S3Store>,
    prefix: String,
    region: Region,
    rds: Rds,
    sql: Sql,
}

impl Plans for Outside {
    async fn plan(&self, app: &AppName) -> Result<AppPlan, Fault> {
        self.parameters.plan(app).await
    }
}

impl Authorizer for Outside {
    async fn authorize(&self, authority: &Authority, plan: &AppPlan) -> Result<Holder, Fault> {
        Ledger::of_plan(&self.registers, &self.prefix, &self.region, plan).may_act(authority).await
    }
}

impl Replica for Outside {
    async fn state(&self, database: &Database) -> Result<State, Fault> {
        match database.engine {
            Engine::Rds => self.rds.state(database, &self.sql).await,
            Engine::Postgres => self.sql.state(database).await,
        }
    }

    async fn promote(&self, database: &Database, incident: &IncidentId) -> Result<(), Fault> {
        match database.engine {
            Engine::Rds => self.rds.promote(database, incident).await,
            Engine::Postgres => self.sql.promote(database).await,
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let region = env::required("AWS_REGION").and_then(|region| {
        Region::new(region).map_err(|error| Fault::invalid(format!("AWS_REGION: {error}")))
    })?;
    let prefix = env::required("LEDGER_BUCKET_PREFIX")?;
    let config = lifeboat_runtime::aws::config().await;
    let outside = Arc::new(Outside {
        parameters: Parameters::new(&config),
        registers: Arc::new(S3Store::new(&config, region.clone())),
        prefix,
        region: region.clone(),
        rds: Rds::new(&config),
        sql: Sql { parameters: Parameters::new(&config) },
    });
    lifeboat_runtime::serve("promote-replica", move |request: Request, _| {
        let (outside, region) = (Arc::clone(&outside), region.clone());
        Box::pin(async move {
            let outside = outside.as_ref();
            promote_replica::handle(request, outside, outside, outside, &region, clock::now()).await
        })
    })
    .await
}
