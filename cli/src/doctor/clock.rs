//! Whether the clock here is right: requests are signed with it, and approvals carry its time.

use aws_config::SdkConfig;
use jiff::{SignedDuration, Timestamp, fmt::rfc2822};
use lifeboat_core::{Fault, Region};
use lifeboat_runtime::{
    aws::{self, ServerDate},
    clock,
};

use super::judge::{Finding, Health};

/// The most that a request's time may differ from AWS's (IAM user guide, "Troubleshooting signed requests":
/// five minutes).
const SIGNED_WITHIN: SignedDuration = SignedDuration::from_mins(5);
/// From here on it is said: well beyond what a `Date` header rounds off.
const RIGHT_WITHIN: SignedDuration = SignedDuration::from_secs(5);

/// Asks STS, whose answer has the time.
pub(super) async fn look(config: &SdkConfig, region: &Region) -> Finding {
    match ask(config).await {
        Ok((began, date, ended)) => judge(region, began, date.as_deref(), ended),
        Err(fault) => Finding::unasked("clock", Some(region), &fault),
    }
}

async fn ask(config: &SdkConfig) -> Result<(Timestamp, Option<String>, Timestamp), Fault> {
    let date = ServerDate::default();
    let config = aws_sdk_sts::config::Builder::from(config).interceptor(date.clone()).build();
    let began = clock::now();
    let asked = aws_sdk_sts::Client::from_conf(config).get_caller_identity().send().await;
    let ended = clock::now();
    // A refusal for the time's sake has a date, too.
    match (asked, date.last()) {
        (Err(error), None) => Err(aws::fault("ask STS for the time", error)),
        (_, date) => Ok((began, date, ended)),
    }
}

/// `date` is what AWS said at some moment between `began` and `ended` of the clock here.
fn judge(region: &Region, began: Timestamp, date: Option<&str>, ended: Timestamp) -> Finding {
    let of = |health, said: String| Finding::new(health, "clock", region, said);
    let Some(date) = date.and_then(|date| rfc2822::parse(date).ok()) else {
        return of(Health::Unknown, "AWS's answer says no time".to_owned());
    };
    let date = date.timestamp();
    // A date stands for the second that begins with it.
    let ahead = began.duration_since(date).checked_sub(SignedDuration::from_secs(1));
    let ahead = ahead.unwrap_or_default().max(SignedDuration::ZERO);
    let behind = date.duration_since(ended).max(SignedDuration::ZERO);
    let (by, way) = if ahead > behind { (ahead, "ahead of") } else { (behind, "behind") };
    let said = format!("this machine's clock is {} s {way} AWS's", by.as_secs());
    let next = "set it right: timedatectl set-ntp true";
    if by > SIGNED_WITHIN {
        of(Health::Fault, format!("{said}, and AWS takes no request that is signed so")).next(next)
    } else if by > RIGHT_WITHIN {
        of(Health::Warning, said).next(next)
    } else {
        of(Health::Ok, "this machine's clock is AWS's, within a few seconds".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_held_against_the_answers_date_with_what_that_rounds_off() {
        let noon: Timestamp = "2026-12-01T12:00:00Z".parse().unwrap();
        let of = |seconds: i64, took: i64| {
            let began = noon + SignedDuration::from_secs(seconds);
            let ended = began + SignedDuration::from_secs(took);
            judge(
                &"us-west-2".parse().unwrap(),
                began,
                Some("Tue, 01 Dec 2026 12:00:00 GMT"),
                ended,
            )
            .health
        };
        assert_eq!(of(0, 0), Health::Ok);
        assert_eq!(of(6, 0), Health::Ok);
        assert_eq!(of(7, 0), Health::Warning);
        assert_eq!(of(-6, 0), Health::Warning);
        assert_eq!(of(-60, 60), Health::Ok, "a slow answer says little");
        assert_eq!(of(302, 0), Health::Fault);
        assert_eq!(of(-301, 0), Health::Fault);
        let region = "us-west-2".parse().unwrap();
        for date in [None, Some("noon")] {
            assert_eq!(judge(&region, noon, date, noon).health, Health::Unknown);
        }
    }
}
