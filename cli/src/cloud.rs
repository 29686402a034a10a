//! The AWS calls that only the operator's command makes.

mod watch;

use aws_config::SdkConfig;
use aws_sdk_cloudwatch::{
    operation::put_metric_alarm::builders::PutMetricAlarmFluentBuilder,
    types::{
        AlarmType, ComparisonOperator, Dimension, MetricAlarm, MetricDatum, StandardUnit, Statistic,
    },
};
use jiff::{SignedDuration, Timestamp};
use lifeboat_core::{
    AppName, Fault, Region, SiteName,
    backup::Kind,
    plan_file::AppPlan,
    registers::{Claim, Registers},
};
use lifeboat_ledger::Ledger;
use lifeboat_runtime::aws;

use crate::{
    alarms::{Alarm, Watch},
    output::Failure,
};

pub(crate) use watch::{Entered, Status};

/// The namespace of our metrics.
const NAMESPACE: &str = "Lifeboat";

/// The region that is asked for, or that of the environment.
pub(crate) fn region(config: &SdkConfig, asked: Option<&str>) -> Result<String, Failure> {
    asked
        .map(str::to_owned)
        .or_else(|| config.region().map(ToString::to_string))
        .ok_or_else(|| Failure::input("no region: give --region, or set AWS_REGION"))
}

/// The recover machine of a region.
pub(crate) async fn recover_machine(config: &SdkConfig, region: &str) -> Result<Machine, Fault> {
    machine(config, region, "lifeboat-recover").await
}

/// The machine of this name in a region.
pub(crate) async fn machine(
    config: &SdkConfig,
    region: &str,
    name: &str,
) -> Result<Machine, Fault> {
    let client = aws_sdk_sfn::Client::new(&aws::in_region(config, region));
    let mut pages = client.list_state_machines().into_paginator().send();
    while let Some(page) = pages.next().await {
        let page =
            page.map_err(|error| aws::fault(&format!("list machines in {region}"), error))?;
        if let Some(found) = page.state_machines.iter().find(|m| m.name == name) {
            let arn = found.state_machine_arn.clone();
            let part = |place: usize| arn.split(':').nth(place).unwrap_or_default().to_owned();
            let (partition, account) = (part(1), part(4));
            return Ok(Machine { arn, partition, account, client });
        }
    }
    Err(Fault::invalid(format!(
        "region {region} has no machine {name}: deploy infra/template.yaml there first"
    )))
}

/// The registers, as a region sees them.
pub(crate) fn ledger(
    config: &SdkConfig,
    machine: &Machine,
    plan: &AppPlan,
    region: &Region,
) -> Ledger {
    let prefix = format!("lifeboat-ledger-{}", machine.account);
    Ledger::new(config, prefix, region.clone(), plan.registers().cloned().collect())
        .over_a_round_trip(plan.round_trip())
}

/// What the registers of an app say, and the claim that counts.
///
/// # Errors
/// There is none, or the own region's cannot be read.
pub(crate) async fn registers(
    config: &SdkConfig,
    machine: &Machine,
    plan: &AppPlan,
    region: &Region,
) -> Result<(Registers, Claim), Failure> {
    let seen = ledger(config, machine, plan, region).look(&plan.app).await?;
    let claim = seen.registers.presumed().ok_or_else(|| {
        let app = &plan.app;
        Failure::input(format!("{app} has no register: run `lifeboat plan apply` first"))
    })?;
    Ok((seen.registers, claim))
}

/// A state machine of a region.
pub(crate) struct Machine {
    /// Its ARN.
    pub(crate) arn: String,
    /// The partition that it is in: `aws`, `aws-cn`, `aws-us-gov`.
    partition: String,
    /// The account that it is in.
    pub(crate) account: String,
    client: aws_sdk_sfn::Client,
}

impl Machine {
    /// The region that it is in.
    pub(crate) fn region(&self) -> &str {
        self.arn.split(':').nth(3).unwrap_or_default()
    }

    /// Starts an execution; the flag says whether it is new. The same name is the same execution.
    pub(crate) async fn start(&self, name: &str, input: &str) -> Result<(String, bool), Fault> {
        let sent = self
            .client
            .start_execution()
            .state_machine_arn(&self.arn)
            .name(name)
            .input(input)
            .send()
            .await;
        match sent {
            Ok(started) => Ok((started.execution_arn, true)),
            Err(error)
                if error.as_service_error().is_some_and(
                    aws_sdk_sfn::operation::start_execution::StartExecutionError::is_execution_already_exists,
                ) =>
            {
                let arn = self.arn.replace(":stateMachine:", ":execution:");
                Ok((format!("{arn}:{name}"), false))
            }
            Err(error) => Err(aws::fault(&format!("start {name}"), error)),
        }
    }
}

/// The alarms of an app in the region of `config`.
pub(crate) async fn alarms_of(
    config: &SdkConfig,
    app: &AppName,
) -> Result<Vec<MetricAlarm>, Fault> {
    let client = aws_sdk_cloudwatch::Client::new(config);
    let asked = client.describe_alarms().alarm_name_prefix("lifeboat-");
    let mut pages = asked.alarm_types(AlarmType::MetricAlarm).into_paginator().send();
    let mut found = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| aws::fault(&format!("list the alarms of {app}"), error))?;
        found.extend(page.metric_alarms.unwrap_or_default().into_iter().filter(|alarm| {
            let mut dimensions = alarm.dimensions().iter();
            alarm.namespace() == Some(NAMESPACE)
                && dimensions.any(|d| d.name() == Some("app") && d.value() == Some(app.as_str()))
        }));
    }
    Ok(found)
}

/// The metric of the alarms on the age of backups.
const AGE: &str = "VerifiedBackupAgeSeconds";

/// Reports that these kinds are as old as nothing, because they are scheduled from now on: what
/// `lifeboat-verify` says of them once an hour. Without it a new alarm finds silence, and takes it for the
/// worst. It is said of the hour that has ended too, for an alarm looks at periods that have.
pub(crate) async fn begin_ages(
    config: &SdkConfig,
    app: &AppName,
    kinds: &[Kind],
    now: Timestamp,
) -> Result<(), Fault> {
    let client = aws_sdk_cloudwatch::Client::new(config);
    let mut request = client.put_metric_data().namespace(NAMESPACE);
    for kind in kinds {
        for at in [now - SignedDuration::from_hours(1), now] {
            let datum = MetricDatum::builder()
                .metric_name(AGE)
                .value(0.0)
                .unit(StandardUnit::Seconds)
                .timestamp(time(at))
                .set_dimensions(Some(of_kind(app, *kind)));
            request = request.metric_data(datum.build());
        }
    }
    let sent = request.send().await;
    sent.map(|_| ()).map_err(|error| aws::fault("report the first ages of backups", error))
}

/// Whether CloudWatch shows an age of this kind in the last two hours, which an alarm looks at.
pub(crate) async fn is_age_known(
    config: &SdkConfig,
    app: &AppName,
    kind: Kind,
    now: Timestamp,
) -> Result<bool, Fault> {
    let client = aws_sdk_cloudwatch::Client::new(config);
    let two_hours = SignedDuration::from_hours(2);
    let asked = client
        .get_metric_statistics()
        .namespace(NAMESPACE)
        .metric_name(AGE)
        .set_dimensions(Some(of_kind(app, kind)))
        .start_time(time(now - two_hours))
        .end_time(time(now + SignedDuration::from_mins(1)))
        .period(3_600)
        .statistics(Statistic::Minimum)
        .unit(StandardUnit::Seconds)
        .send()
        .await;
    let found = asked.map_err(|error| aws::fault(&format!("look at the age of {kind}"), error))?;
    Ok(!found.datapoints().is_empty())
}

/// The newest lag of a site's database that its region's observer reported in this time, in seconds.
pub(crate) async fn last_lag(
    config: &SdkConfig,
    app: &AppName,
    site: &SiteName,
    from: Timestamp,
    to: Timestamp,
) -> Result<Option<(Timestamp, f64)>, Fault> {
    let client = aws_sdk_cloudwatch::Client::new(config);
    let dimension = |name: &str, value: &str| Dimension::builder().name(name).value(value).build();
    let asked = client
        .get_metric_statistics()
        .namespace(NAMESPACE)
        .metric_name("ReplicaLagSeconds")
        .dimensions(dimension("app", app.as_str()))
        .dimensions(dimension("site", site.as_str()))
        .start_time(time(from))
        .end_time(time(to + SignedDuration::from_mins(1)))
        .period(60)
        .statistics(Statistic::Maximum)
        .send()
        .await;
    let found = asked.map_err(|error| aws::fault("look at the replica's lag", error))?;
    let points = found.datapoints().iter().filter_map(|point| {
        let at = Timestamp::from_second(point.timestamp()?.secs()).ok()?;
        Some((at, point.maximum()?))
    });
    Ok(points.max_by_key(|(at, _)| *at))
}

/// A time as CloudWatch takes it.
fn time(at: Timestamp) -> aws_sdk_cloudwatch::primitives::DateTime {
    aws_sdk_cloudwatch::primitives::DateTime::from_secs(at.as_second())
}

fn of_kind(app: &AppName, kind: Kind) -> Vec<Dimension> {
    [("app", app.as_str()), ("kind", kind.as_str())]
        .map(|(name, value)| Dimension::builder().name(name).value(value).build())
        .to_vec()
}

/// Removes alarms, by name. What is gone already is no failure.
pub(crate) async fn delete_alarms(config: &SdkConfig, names: &[String]) -> Result<(), Fault> {
    let client = aws_sdk_cloudwatch::Client::new(config);
    // API reference, `DeleteAlarms`: 100 in one call.
    for names in names.chunks(100) {
        let sent = client.delete_alarms().set_alarm_names(Some(names.to_vec())).send().await;
        sent.map_err(|error| aws::fault("remove alarms", error))?;
    }
    Ok(())
}

/// Sets an alarm; setting it again changes nothing.
pub(crate) async fn put_alarm(
    config: &SdkConfig,
    app: &AppName,
    machine: &Machine,
    alarm: &Alarm,
) -> Result<(), Fault> {
    let doing = format!("set alarm {} in {}", alarm.name, alarm.region);
    let sent = alarm_request(config, app, machine, alarm).send().await;
    sent.map(|_| ()).map_err(|error| aws::fault(&doing, error))
}

/// How an alarm that is there differs from the one of the plan, a line for each setting.
pub(crate) fn alarm_differs(
    config: &SdkConfig,
    app: &AppName,
    machine: &Machine,
    alarm: &Alarm,
    found: &MetricAlarm,
) -> Vec<String> {
    let wanted = alarm_request(config, app, machine, alarm);
    let mut lines = Vec::new();
    let mut hold = |name: &str, before: String, after: String| {
        if before != after {
            lines.push(format!("~ {name}: {before} -> {after}"));
        }
    };
    let text = |text: Option<&str>| text.unwrap_or("none").to_owned();
    let number = |number: Option<i32>| number.map_or("none".to_owned(), |n| n.to_string());
    let decimal = |number: Option<f64>| number.map_or("none".to_owned(), |n| n.to_string());
    let dimensions = |of: &[Dimension]| {
        let pair = |d: &Dimension| format!("{}={}", text(d.name()), text(d.value()));
        let mut pairs: Vec<String> = of.iter().map(pair).collect();
        pairs.sort();
        pairs.join(" ")
    };
    let ours = |of: &Option<String>| text(of.as_deref());
    hold("metric", text(found.metric_name()), ours(wanted.get_metric_name()));
    hold(
        "dimensions",
        dimensions(found.dimensions()),
        dimensions(wanted.get_dimensions().as_deref().unwrap_or_default()),
    );
    hold("period", number(found.period()), number(*wanted.get_period()));
    hold(
        "evaluation periods",
        number(found.evaluation_periods()),
        number(*wanted.get_evaluation_periods()),
    );
    hold(
        "datapoints to alarm",
        number(found.datapoints_to_alarm()),
        number(*wanted.get_datapoints_to_alarm()),
    );
    hold("threshold", decimal(found.threshold()), decimal(*wanted.get_threshold()));
    let known = |statistic: Option<&Statistic>| text(statistic.map(Statistic::as_str));
    hold("statistic", known(found.statistic()), known(wanted.get_statistic().as_ref()));
    let known = |unit: Option<&StandardUnit>| text(unit.map(StandardUnit::as_str));
    hold("unit", known(found.unit()), known(wanted.get_unit().as_ref()));
    hold("missing data", text(found.treat_missing_data()), ours(wanted.get_treat_missing_data()));
    hold(
        "actions",
        found.alarm_actions().join(" "),
        wanted.get_alarm_actions().as_deref().unwrap_or_default().join(" "),
    );
    let is_on = |on: Option<bool>| if on == Some(false) { "off" } else { "on" }.to_owned();
    hold("actions", is_on(found.actions_enabled()), "on".to_owned());
    hold("description", text(found.alarm_description()), ours(wanted.get_alarm_description()));
    lines
}

/// An alarm of the plan, as it is sent.
fn alarm_request(
    config: &SdkConfig,
    app: &AppName,
    machine: &Machine,
    alarm: &Alarm,
) -> PutMetricAlarmFluentBuilder {
    let region = alarm.region.as_str();
    let client = aws_sdk_cloudwatch::Client::new(&aws::in_region(config, region));
    // An account and all its regions are in one partition.
    let Machine { partition, account, .. } = machine;
    let topic = format!("arn:{partition}:sns:{region}:{account}:lifeboat-notifications");
    let dimension = |name: &str, value: &str| Dimension::builder().name(name).value(value).build();
    let request = client
        .put_metric_alarm()
        .alarm_name(&alarm.name)
        .namespace(NAMESPACE)
        .dimensions(dimension("app", app.as_str()))
        .period(alarm.period_seconds)
        .evaluation_periods(alarm.evaluation_periods)
        .datapoints_to_alarm(alarm.datapoints_to_alarm)
        .threshold(f64::from(alarm.threshold))
        .comparison_operator(ComparisonOperator::GreaterThanOrEqualToThreshold);
    match alarm.watch {
        Watch::SiteDown => request
            .unit(StandardUnit::Count)
            .dimensions(dimension("site", alarm.site.as_str()))
            .metric_name("SiteDown")
            .statistic(Statistic::Sum)
            // People learn of it also when it is the standby that is down, which starts nothing.
            .alarm_actions(&topic)
            // Missing data is neither healthy nor down.
            .treat_missing_data("missing")
            .alarm_description(format!(
                "Site {} of {app} is proven down, as seen from {region}. Starts lifeboat-recover.",
                alarm.site
            )),
        Watch::ObserverUnwell => request
            .unit(StandardUnit::Count)
            .dimensions(dimension("site", alarm.site.as_str()))
            .metric_name("SightBlind")
            .statistic(Statistic::Maximum)
            // An observer that says nothing is as unwell as one that sees nothing.
            .treat_missing_data("breaching")
            .alarm_actions(&topic)
            .alarm_description(format!(
                "The probes of {app} in {region} are blind or silent: no outage would be noticed. \
                 Look at the executions of lifeboat-observe."
            )),
        Watch::BackupAge(kind) => request
            .metric_name(AGE)
            .dimensions(dimension("kind", kind.as_str()))
            .statistic(Statistic::Minimum)
            .unit(StandardUnit::Seconds)
            // No verified backup has no age: silence is the worst that it can say.
            .treat_missing_data("breaching")
            .alarm_actions(&topic)
            .alarm_description(format!(
                "The newest verified {kind} backup of {app} in {region} is older than {} h, or \
                 there has been none for as long. Look at lifeboat backups --app {app}, and at the executions of \
                 lifeboat-backup and lifeboat-verify.",
                alarm.threshold / 3_600
            )),
        Watch::PitrLag => request
            .metric_name("PitrLagSeconds")
            .dimensions(dimension("region", alarm.region.as_str()))
            .statistic(Statistic::Minimum)
            .unit(StandardUnit::Seconds)
            .treat_missing_data("breaching")
            .alarm_actions(&topic)
            .alarm_description(format!(
                "RDS can restore the database of {app} in {region} to no moment of the last {} \
                 minutes. Look at aws rds describe-db-instance-automated-backups --region {region}: \
                 automated backups are off, or their replication has stopped (aws rds \
                 start-db-instance-automated-backups-replication), or the executions of \
                 lifeboat-backup fail.",
                alarm.threshold / 60
            )),
        Watch::SiteDegraded
        | Watch::ReplicationBroken
        | Watch::ReplicaLag
        | Watch::RegisterLost => {
            let (metric, statistic, unit) = match alarm.watch {
                Watch::ReplicaLag => {
                    ("ReplicaBehindSeconds", Statistic::Maximum, StandardUnit::Seconds)
                }
                // In each round of the minute: a single one is a lost packet.
                Watch::ReplicationBroken => {
                    ("ReplicationBroken", Statistic::Minimum, StandardUnit::Count)
                }
                Watch::RegisterLost => {
                    ("RegistersMissing", Statistic::Minimum, StandardUnit::Count)
                }
                Watch::SiteDegraded
                | Watch::SiteDown
                | Watch::ObserverUnwell
                | Watch::BackupAge(_)
                | Watch::PitrLag => ("SiteDegraded", Statistic::Minimum, StandardUnit::Count),
            };
            request
                .dimensions(dimension("site", alarm.site.as_str()))
                .metric_name(metric)
                .statistic(statistic)
                .unit(unit)
                // Only one site is active, and only the other one has a replica; silence is
                // the observer's alarm.
                .treat_missing_data("notBreaching")
                .alarm_actions(&topic)
                .set_alarm_description(alarm.page.clone())
        }
    }
}
