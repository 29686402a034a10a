//! What the probe in the standby region saw, round by round, as its own metrics have it.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use lifeboat_core::vote::Vote;
use serde_json::{Value, json};

use crate::{
    clock,
    lab::{ACTIVE, APP, Lab, LabError, STANDBY},
    report::Observation,
};

/// How long before the drill's first moment the drawing begins, at most.
const BEFORE: SignedDuration = SignedDuration::from_secs(10);

impl Lab {
    /// The verdict of each round on the active site, since the drill began.
    ///
    /// # Errors
    /// CloudWatch of the standby region does not answer, or knows of no round.
    pub(super) async fn rounds(&self, since: Timestamp) -> Result<Vec<Observation>, LabError> {
        let series = |id: &str, metric: &str, site: &str| {
            json!({
                "Id": id,
                "MetricStat": {
                    "Metric": {
                        "Namespace": "Lifeboat",
                        "MetricName": metric,
                        "Dimensions": [{ "Name": "app", "Value": APP }, { "Name": "site", "Value": site }],
                    },
                    "Period": 1,
                    "Stat": "Maximum",
                },
            })
        };
        let body = json!({
            "MetricDataQueries": [
                series("down", "SiteDown", ACTIVE.name),
                series("blind", "SightBlind", STANDBY.name),
            ],
            "StartTime": (since - BEFORE).as_second(),
            "EndTime": clock::now().as_second() + 1,
            "ScanBy": "TimestampAscending",
        });
        let target = "GraniteServiceVersion20100801.GetMetricData";
        let answer = self.aws.json(STANDBY.region, "monitoring", target, &body).await?;
        let (down, blind) = (points(&answer, "down"), points(&answer, "blind"));
        if blind.is_empty() {
            return Err(LabError::new("the probe of the standby region has reported no round"));
        }
        let seen = blind.into_iter().map(|(second, blind)| {
            let (vote, detail) = told(down.get(&second).copied(), blind > 0.0);
            Some(Observation { at: Timestamp::from_second(second).ok()?, vote, detail })
        });
        Ok(seen.flatten().collect())
    }
}

/// A round writes `SiteDown` only when it knows, and `SightBlind` always.
fn told(down: Option<f64>, is_blind: bool) -> (Vote, String) {
    let site = ACTIVE.name;
    match down {
        Some(down) if down > 0.0 => (Vote::Down, format!("site {site} is down")),
        Some(_) => (Vote::Up, format!("site {site} is not down")),
        None if is_blind => (Vote::Unknown, "nothing was seen, not even next door".to_owned()),
        None => (Vote::Unknown, format!("too few checks of site {site} had an answer")),
    }
}

/// The datapoints of one query, by their second.
fn points(answer: &Value, id: &str) -> BTreeMap<i64, f64> {
    let results = answer["MetricDataResults"].as_array().into_iter().flatten();
    let mut found = BTreeMap::new();
    for result in results.filter(|result| result["Id"] == id) {
        let times = result["Timestamps"].as_array().into_iter().flatten();
        let values = result["Values"].as_array().into_iter().flatten();
        for (at, value) in times.zip(values) {
            let at = at.as_f64().map(|seconds| SignedDuration::from_secs_f64(seconds).as_secs());
            found.extend(at.zip(value.as_f64()));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_without_an_answer_is_unknown_whether_or_not_it_was_blind() {
        assert_eq!(told(Some(1.0), false).0, Vote::Down);
        assert_eq!(told(Some(0.0), false).0, Vote::Up);
        assert_eq!(told(None, false).0, Vote::Unknown);
        assert_eq!(told(None, true).0, Vote::Unknown);
        assert_ne!(told(None, true).1, told(None, false).1);
    }

    #[test]
    fn datapoints_are_read_by_their_query() {
        let answer = json!({ "MetricDataResults": [
            { "Id": "down", "Timestamps": [1_700_000_000.0], "Values": [1.0] },
            { "Id": "blind", "Timestamps": [1_700_000_000, 1_700_000_002.5], "Values": [0.0, 1.0] },
        ]});
        assert_eq!(points(&answer, "down"), BTreeMap::from([(1_700_000_000, 1.0)]));
        let blind = BTreeMap::from([(1_700_000_000, 0.0), (1_700_000_002, 1.0)]);
        assert_eq!(points(&answer, "blind"), blind);
        assert_eq!(points(&answer, "lag"), BTreeMap::new());
    }
}
