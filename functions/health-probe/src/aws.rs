//! CloudWatch.

use std::time::Duration;

use aws_sdk_cloudwatch::{
    Client,
    primitives::DateTime,
    types::{Dimension, Metric, MetricDataQuery, MetricDatum, MetricStat, ScanBy, StandardUnit},
};
use health_probe::{Memory, RoundMetrics};
use jiff::{SignedDuration, Timestamp};
use lifeboat_core::{AppName, Fault, SiteName};
use lifeboat_runtime::{aws, metrics::NAMESPACE};

/// The finest period of CloudWatch, in seconds; datapoints put with a storage resolution of 1 have
/// it, for three hours.
const PERIOD: i32 = 1;

/// The metrics of this region.
#[derive(Debug)]
pub(crate) struct CloudWatch {
    put: Client,
    get: Client,
}

impl CloudWatch {
    pub(crate) fn new(config: &aws_config::SdkConfig) -> Self {
        // One attempt: CloudWatch counts a datapoint that is put twice as two, and the alarm adds
        // them up.
        let put =
            aws::with_limits(config, Duration::from_millis(1400), Duration::from_millis(1400), 1);
        let get =
            aws::with_limits(config, Duration::from_millis(1100), Duration::from_millis(2300), 2);
        Self { put: Client::new(&put), get: Client::new(&get) }
    }

    pub(crate) async fn put(&self, round: &RoundMetrics) -> Result<(), Fault> {
        let at = time(round.at);
        let datum = |name: &str, site: &SiteName, value: f64, unit: StandardUnit| {
            MetricDatum::builder()
                .metric_name(name)
                .set_dimensions(Some(dimensions(&round.app, site)))
                .timestamp(at)
                .value(value)
                .unit(unit)
                .storage_resolution(PERIOD)
                .build()
        };
        let mut data: Vec<MetricDatum> = round
            .site_down
            .iter()
            .map(|(site, down)| datum("SiteDown", site, *down, StandardUnit::Count))
            .collect();
        data.push(datum("SightBlind", &round.own_site, round.blind, StandardUnit::Count));
        if let Some(seconds) = round.lag_seconds {
            data.push(datum("ReplicaLagSeconds", &round.own_site, seconds, StandardUnit::Seconds));
        }
        if let Some(seconds) = round.behind_seconds {
            let unit = StandardUnit::Seconds;
            data.push(datum("ReplicaBehindSeconds", &round.own_site, seconds, unit));
        }
        if let Some(broken) = round.broken {
            data.push(datum("ReplicationBroken", &round.own_site, broken, StandardUnit::Count));
        }
        if let Some((site, degraded)) = &round.degraded {
            data.push(datum("SiteDegraded", site, *degraded, StandardUnit::Count));
        }
        self.put
            .put_metric_data()
            .namespace(NAMESPACE)
            .set_metric_data(Some(data))
            .send()
            .await
            .map(|_| ())
            .map_err(|error| aws::fault("put the round's metrics", error))
    }

    pub(crate) async fn recall(
        &self,
        app: &AppName,
        sites: &[SiteName],
        own: &SiteName,
        from: Timestamp,
        now: Timestamp,
    ) -> Result<Memory, Fault> {
        let mut queries: Vec<MetricDataQuery> = sites
            .iter()
            .enumerate()
            .map(|(place, site)| query(&format!("down{place}"), "SiteDown", "Minimum", app, site))
            .collect();
        queries.push(query("lag", "ReplicaLagSeconds", "Maximum", app, own));
        let answer = self
            .get
            .get_metric_data()
            .set_metric_data_queries(Some(queries))
            .start_time(time(from))
            // The end is exclusive, and the round under way may be written by now.
            .end_time(time(now + SignedDuration::from_secs(1)))
            .scan_by(ScanBy::TimestampAscending)
            .send()
            .await
            .map_err(|error| aws::fault("read the metrics of the last minutes", error))?;
        let mut memory = Memory::default();
        for result in answer.metric_data_results() {
            let mut series: Vec<(Timestamp, f64)> = result
                .timestamps()
                .iter()
                .zip(result.values())
                .filter_map(|(at, value)| Some((moment(at)?, *value)))
                .collect();
            series.sort_by_key(|(at, _)| *at);
            let id = result.id().unwrap_or_default();
            let site =
                id.strip_prefix("down").and_then(|place| sites.get(place.parse::<usize>().ok()?));
            match site {
                Some(site) => drop(memory.site_down.insert(site.clone(), series)),
                None => memory.lag_seconds = series,
            }
        }
        Ok(memory)
    }
}

fn query(id: &str, metric: &str, stat: &str, app: &AppName, site: &SiteName) -> MetricDataQuery {
    let metric = Metric::builder()
        .namespace(NAMESPACE)
        .metric_name(metric)
        .set_dimensions(Some(dimensions(app, site)))
        .build();
    let stat = MetricStat::builder().metric(metric).period(PERIOD).stat(stat).build();
    MetricDataQuery::builder().id(id).metric_stat(stat).return_data(true).build()
}

fn dimensions(app: &AppName, site: &SiteName) -> Vec<Dimension> {
    [("app", app.as_str()), ("site", site.as_str())]
        .into_iter()
        .map(|(name, value)| Dimension::builder().name(name).value(value).build())
        .collect()
}

fn time(at: Timestamp) -> DateTime {
    DateTime::from_millis(at.as_millisecond())
}

fn moment(at: &DateTime) -> Option<Timestamp> {
    Timestamp::from_millisecond(at.to_millis().ok()?).ok()
}
