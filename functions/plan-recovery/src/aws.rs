//! The port on AWS.

use lifeboat_core::{AppName, Fault, plan_file::AppPlan};
use lifeboat_parameters::Parameters;
use plan_recovery::Plans;

/// The plans in Parameter Store.
pub(crate) struct StoredPlans(pub(crate) Parameters);

impl Plans for StoredPlans {
    async fn plan(&self, app: &AppName) -> Result<AppPlan, Fault> {
        self.0.plan(app).await
    }
}
