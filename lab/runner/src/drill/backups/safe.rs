//! What must hold for every backup, whatever was found in it.

use std::time::Duration;

use lifeboat_core::backup::{Kind, PointId};
use serde_json::{Value, json};

use super::{super::evidence::invariant, KINDS, VAULT};
use crate::{
    clock,
    lab::{APP, Lab, LabError, SITES, STANDBY, SiteConfig, backup_bucket},
    report::InvariantResult,
};

/// Until an alarm has taken note of silence: alarms of an hour are evaluated each minute.
const ALARM_WITHIN: Duration = Duration::from_secs(90);
/// How far back an age is looked for: a drill takes minutes.
const REPORTED_WITHIN: jiff::SignedDuration = jiff::SignedDuration::from_mins(15);

impl Lab {
    /// The first object of a recovery point.
    pub(super) async fn first_artifact(
        &self,
        region: &str,
        app: &str,
        kind: Kind,
        id: &PointId,
    ) -> Result<String, LabError> {
        let prefix = format!("artifacts/{app}/{kind}/{id}/");
        let keys = self.aws.keys(region, &backup_bucket(region), &prefix).await?;
        keys.into_iter().next().ok_or_else(|| LabError::new(format!("nothing is under {prefix}")))
    }

    /// WAL is archived without a gap, is in both regions, and was read in both.
    pub(super) async fn wal_is_proven(&self) -> Result<InvariantResult, LabError> {
        let mut told = Vec::new();
        let mut held = true;
        for site in SITES {
            let bucket = backup_bucket(site.region);
            let segments = self.aws.keys(site.region, &bucket, &format!("wal/{APP}/")).await?;
            let prefix = format!("evidence/{APP}/{}/", Kind::DatabaseWal);
            let evidence = self.aws.keys(site.region, &bucket, &prefix).await?;
            let damaged = evidence.iter().any(|key| key.contains("damaged"));
            held &= !segments.is_empty() && !evidence.is_empty() && !damaged;
            told.push(format!(
                "{}: {} segments, {} pieces of evidence",
                site.region,
                segments.len(),
                evidence.len()
            ));
        }
        Ok(invariant("6-wal-is-proven", held, told.join("; ")))
    }

    /// Encrypted, versioned, and locked, in both regions.
    pub(super) async fn stored_safely(&self) -> Result<InvariantResult, LabError> {
        let mut weak = Vec::new();
        let mut looked = 0;
        for site in SITES {
            let bucket = backup_bucket(site.region);
            let keys = self.aws.keys(site.region, &bucket, "artifacts/").await?;
            for key in keys {
                let arguments = ["s3api", "head-object", "--bucket", &bucket, "--key", &key];
                let head: Value =
                    serde_json::from_str(&self.aws.cli(site.region, &arguments).await?)
                        .map_err(|error| LabError::from_error("head-object", &error))?;
                let has = |name: &str| head.get(name).and_then(Value::as_str).unwrap_or_default();
                looked += 1;
                if has("ServerSideEncryption") != "aws:kms"
                    || has("ObjectLockRetainUntilDate").is_empty()
                    || has("VersionId").is_empty()
                {
                    weak.push(format!("{key} in {}", site.region));
                }
            }
        }
        Ok(invariant(
            "9-encrypted-and-locked",
            weak.is_empty() && looked > 0,
            if weak.is_empty() {
                format!("{looked} objects: encrypted with KMS, versioned, under object lock")
            } else {
                format!("not all of encrypted, versioned and locked: {}", weak.join(", "))
            },
        ))
    }

    /// No alarm on the age of the newest verified backup rings before its first slot is due, and each of
    /// them takes silence for the worst: the same alarm over an app of which nobody ever reports
    /// anything goes off.
    pub(super) async fn absence_is_alarmed(&self) -> Result<InvariantResult, LabError> {
        let name = |kind: Kind| format!("lifeboat-backup-age-{APP}--{kind}");
        let mut kinds: Vec<Kind> =
            KINDS.into_iter().filter(|(app, _)| *app == APP).map(|(_, kind)| kind).collect();
        kinds.push(Kind::DatabaseWal);
        let mut wrong = Vec::new();
        let mut twins = Vec::new();
        for kind in &kinds {
            let state = self.alarm_state(STANDBY.region, &name(*kind)).await?;
            if state == "ALARM" {
                wrong.push(format!("{} rings before its first slot is due", name(*kind)));
            }
            twins.push(self.over_silence(&name(*kind)).await?);
        }
        let silent = std::sync::Mutex::new(Vec::new());
        clock::find(ALARM_WITHIN, || async {
            let mut quiet = Vec::new();
            for twin in &twins {
                let state = self.alarm_state(STANDBY.region, twin).await.ok()?;
                if state != "ALARM" {
                    quiet.push(format!("{twin} is {state}"));
                }
            }
            let none = quiet.is_empty();
            if let Ok(mut silent) = silent.lock() {
                *silent = quiet;
            }
            none.then_some(())
        })
        .await;
        wrong.extend(silent.lock().map(|silent| silent.clone()).unwrap_or_default());
        Ok(invariant(
            "6-absence-is-alarmed",
            wrong.is_empty(),
            if wrong.is_empty() {
                format!(
                    "no alarm in {} rings before the first slot is due; over silence {} went off",
                    STANDBY.region,
                    kinds.len()
                )
            } else {
                wrong.join(", ")
            },
        ))
    }

    /// Sets an alarm like this one over an app of which nobody reports anything; its name.
    async fn over_silence(&self, name: &str) -> Result<String, LabError> {
        let call = |action: &str| format!("GraniteServiceVersion20100801.{action}");
        let found = self
            .aws
            .json(
                STANDBY.region,
                "monitoring",
                &call("DescribeAlarms"),
                &json!({ "AlarmNames": [name] }),
            )
            .await?;
        let alarm = found
            .pointer("/MetricAlarms/0")
            .ok_or_else(|| LabError::new(format!("there is no alarm {name}")))?;
        let twin = format!("silence-{name}");
        let mut settings = json!({
            "AlarmName": twin,
            "Dimensions": [{ "Name": "app", "Value": "nobody" }],
        });
        if let Some(settings) = settings.as_object_mut() {
            for key in [
                "Namespace",
                "MetricName",
                "Statistic",
                "Unit",
                "Period",
                "EvaluationPeriods",
                "DatapointsToAlarm",
                "Threshold",
                "ComparisonOperator",
                "TreatMissingData",
            ] {
                let value =
                    alarm.get(key).ok_or_else(|| LabError::new(format!("{name} has no {key}")))?;
                settings.insert(key.to_owned(), value.clone());
            }
        }
        self.aws.json(STANDBY.region, "monitoring", &call("PutMetricAlarm"), &settings).await?;
        Ok(twin)
    }

    /// The age of the newest verified backup of every kind is a metric in both regions, and so is how
    /// old the newest moment is to which RDS can restore.
    pub(super) async fn ages_are_reported(&self) -> Result<InvariantResult, LabError> {
        let mut missing = Vec::new();
        let mut oldest = 0.0_f64;
        let kinds = KINDS.into_iter().chain([(APP, Kind::DatabaseWal)]);
        for (site, (app, kind)) in
            SITES.iter().flat_map(|site| kinds.clone().map(move |k| (site, k)))
        {
            let metric = "VerifiedBackupAgeSeconds";
            let of = ("kind", kind.as_str());
            match self.reported(site.region, metric, app, of).await? {
                Some(age) => oldest = oldest.max(age),
                None => missing.push(format!("{kind} of {app} in {}", site.region)),
            }
        }
        let mut lag = 0.0_f64;
        for site in SITES {
            let of = ("region", site.region);
            match self.reported(site.region, "PitrLagSeconds", VAULT, of).await? {
                Some(seconds) => lag = lag.max(seconds),
                None => missing.push(format!("the moments of {VAULT} in {}", site.region)),
            }
        }
        Ok(invariant(
            "6-age-of-the-newest-verified",
            missing.is_empty(),
            if missing.is_empty() {
                let hours = oldest / 3600.0;
                format!(
                    "reported for {} kinds and for WAL in both regions; the oldest has {hours:.1} h; \
                     RDS restores to {lag:.0} s ago in both",
                    KINDS.len()
                )
            } else {
                format!("not reported: {}", missing.join(", "))
            },
        ))
    }

    /// The least value of a metric of an app in the last minutes; none when there is no datapoint.
    async fn reported(
        &self,
        region: &str,
        metric: &str,
        app: &str,
        of: (&str, &str),
    ) -> Result<Option<f64>, LabError> {
        let now = clock::now();
        let dimension = |name: &str, value: &str| json!({ "Name": name, "Value": value });
        let body = json!({
            "Namespace": "Lifeboat", "MetricName": metric,
            "Dimensions": [dimension("app", app), dimension(of.0, of.1)],
            "StartTime": (now - REPORTED_WITHIN).as_second(), "EndTime": now.as_second() + 60,
            "Period": 60, "Statistics": ["Minimum"],
        });
        let target = "GraniteServiceVersion20100801.GetMetricStatistics";
        let answer = self.aws.json(region, "monitoring", target, &body).await?;
        let points = answer.get("Datapoints").and_then(Value::as_array);
        let ages = points.into_iter().flatten().filter_map(|p| p.get("Minimum")?.as_f64());
        Ok(ages.reduce(f64::min))
    }

    /// No secret in what the functions and hosts wrote, nor in the configuration of Redis as it was
    /// backed up.
    pub(super) async fn no_secret_in_backups(&self) -> InvariantResult {
        let mut texts = vec![
            ("the call log".to_owned(), read(&self.home.join("calls.jsonl"))),
            ("the emulator's log".to_owned(), read(&self.home.join("emulator.log"))),
        ];
        for function in crate::lab::FUNCTIONS {
            let logs = self.function_logs(function).await.unwrap_or_default();
            texts.push((function.to_owned(), logs));
        }
        for site in SITES {
            let bucket = backup_bucket(site.region);
            for prefix in ["manifests/", "evidence/"] {
                let keys = self.aws.keys(site.region, &bucket, prefix).await.unwrap_or_default();
                for key in keys {
                    let bytes = self.aws.object(site.region, &bucket, &key).await;
                    let text = String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned();
                    texts.push((key, text));
                }
            }
        }
        let bytes: usize = texts.iter().map(|(_, text)| text.len()).sum();
        let shown: Vec<&str> = texts
            .iter()
            .filter(|(_, text)| self.secrets().iter().any(|secret| text.contains(secret)))
            .map(|(name, _)| name.as_str())
            .collect();
        invariant(
            "9-no-secret-shown",
            shown.is_empty() && bytes > 0,
            if shown.is_empty() {
                format!("3 secrets searched for in {} texts, {bytes} bytes", texts.len())
            } else {
                format!("shown in {}", shown.join(", "))
            },
        )
    }

    /// No scratch server, folder or instance is left of the restores.
    pub(super) async fn nothing_left_on_hosts(&self) -> Result<InvariantResult, LabError> {
        let mut left = Vec::new();
        for site in SITES {
            let action = "DescribeDBInstances";
            let answer = self.aws.query(site.region, "rds", "2014-10-31", action, &[]).await?;
            if answer.contains("<DBInstanceIdentifier>lifeboat-scratch") {
                left.push(format!("a scratch instance in {}", site.region));
            }
            left.extend(scratch_in(&self.host_home(&site)));
        }
        Ok(invariant(
            "restores-leave-nothing",
            left.is_empty(),
            if left.is_empty() {
                "no scratch instance, server or folder is left".to_owned()
            } else {
                left.join(", ")
            },
        ))
    }

    /// A session of the role of a site's hosts.
    pub(super) async fn host_session(
        &self,
        site: &SiteConfig,
    ) -> Result<Vec<(String, String)>, LabError> {
        let role = format!("arn:aws:iam::000000000000:role/queue-host-{}", site.name);
        let assume = [("RoleArn", role.as_str()), ("RoleSessionName", "drill")];
        let answer =
            self.aws.query(site.region, "sts", "2011-06-15", "AssumeRole", &assume).await?;
        let part = |tag: &str| {
            let rest = answer.split_once(&format!("<{tag}>"))?.1;
            Some(rest.split_once('<')?.0.to_owned())
        };
        let names = [
            ("AWS_ACCESS_KEY_ID", "AccessKeyId"),
            ("AWS_SECRET_ACCESS_KEY", "SecretAccessKey"),
            ("AWS_SESSION_TOKEN", "SessionToken"),
        ];
        Ok(names
            .into_iter()
            .filter_map(|(name, tag)| Some((name.to_owned(), part(tag)?)))
            .collect())
    }
}

/// Scratch folders of restores under a host's home.
fn scratch_in(home: &std::path::Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(home.join("scratch")) else { return Vec::new() };
    entries.flatten().map(|entry| entry.path().display().to_string()).collect()
}

fn read(path: &std::path::Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}
