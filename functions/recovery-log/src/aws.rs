//! The ports on AWS.

use jiff::Timestamp;
use lifeboat_core::{AppName, Fault, SiteName, plan_file::AppPlan};
use lifeboat_parameters::Parameters;
use lifeboat_runtime::metrics::{Metric, Unit, emf};
use recovery_log::{Meter, Plans};

/// The plans in Parameter Store.
pub(crate) struct StoredPlans(pub(crate) Parameters);

impl Plans for StoredPlans {
    async fn plan(&self, app: &AppName) -> Result<AppPlan, Fault> {
        self.0.plan(app).await
    }
}

/// CloudWatch, through the log.
pub(crate) struct CloudWatch;

impl Meter for CloudWatch {
    fn recovered(&self, app: &AppName, site: &SiteName, seconds: f64, now: Timestamp) {
        let dimensions = [("app", app.as_str()), ("site", site.as_str())];
        emf(now, &dimensions, &[Metric::new("AchievedRecoverySeconds", seconds, Unit::Seconds)]);
    }

    fn registers_missing(&self, app: &AppName, site: &SiteName, missing: usize, now: Timestamp) {
        let dimensions = [("app", app.as_str()), ("site", site.as_str())];
        // Three at the most.
        let missing = f64::from(u32::try_from(missing).unwrap_or(u32::MAX));
        emf(now, &dimensions, &[Metric::new("RegistersMissing", missing, Unit::Count)]);
    }
}
