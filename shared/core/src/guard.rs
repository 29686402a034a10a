//! What may not be done, whoever asks.
//!
//! Guards are asked again at the moment of the action, by the function that acts, with what is true
//! then. A refusal is a value with its reason.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    error::Fault,
    situation::{Loss, lost_seconds},
    vote::{Checks, Vote},
};

/// A person's leave to go on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApprovalGiven {
    /// Who approved.
    pub approver: String,
    /// When.
    pub approved_at: Timestamp,
    /// The loss estimate that the approver saw, in seconds; none when it was shown as unknown.
    pub shown_loss_seconds: Option<f64>,
}

/// Whether a promotion that can lose this much may go on.
///
/// The invariant: no promotion loses more than the RPO unless a person saw that bound and approved it.
/// An unknown loss is more than any RPO. Where the loss counts from a moment on it grows by a second each
/// second, as the person was told, until the claim that follows the approval.
///
/// # Errors
/// [`crate::ErrorName::Refused`] with the reason; ask for approval, or wait for the replica.
pub fn may_promote(
    loss: Loss,
    rpo_seconds: u32,
    approval: Option<&ApprovalGiven>,
    now: Timestamp,
) -> Result<(), Fault> {
    if loss.seconds.is_some_and(|seconds| seconds <= f64::from(rpo_seconds)) {
        return Ok(());
    }
    let shown = match loss.seconds {
        Some(seconds) => format!("promoting may lose {seconds:.1} s of acknowledged writes"),
        None => "how much promoting would lose is unknown".to_owned(),
    };
    let Some(given) = approval else {
        return Err(Fault::refused(format!(
            "{shown}, more than the RPO of {rpo_seconds} s, and nobody approved that"
        )));
    };
    let saw_as_much = match (given.shown_loss_seconds, loss.seconds) {
        (None, None) => true,
        (Some(shown), Some(seconds)) => seconds <= approved_seconds(given, shown, loss.since, now),
        (None, Some(_)) | (Some(_), None) => false,
    };
    if saw_as_much {
        return Ok(());
    }
    let saw = match given.shown_loss_seconds {
        Some(seconds) => format!("{seconds} s"),
        None => "an unknown loss".to_owned(),
    };
    Err(Fault::refused(format!(
        "{shown}, but {} approved {saw}; ask again with the new figure",
        given.approver,
    )))
}

/// From an approval until a majority holds the claim, in seconds: a look, a plan and the claim, each
/// with its retries.
const APPROVED_CLAIM_SECONDS: f64 = 30.0;

/// What a person approved who saw this loss: that, and what was added until the claim. The time of an
/// approval is the approver's clock's, and one that is ahead approves nothing that is still to come.
fn approved_seconds(
    given: &ApprovalGiven,
    shown: f64,
    since: Option<Timestamp>,
    now: Timestamp,
) -> f64 {
    since.map_or(shown, |since| {
        let approved_at = given.approved_at.min(now);
        shown.max(lost_seconds(since, approved_at) + APPROVED_CLAIM_SECONDS)
    })
}

/// Whether traffic may be sent to a site with these checks: every check must vote `up`.
///
/// # Errors
/// [`crate::ErrorName::Refused`] with what is wrong; nobody is sent to a site that cannot serve.
pub fn may_receive_traffic(checks: &Checks) -> Result<(), Fault> {
    let failing: Vec<String> = checks
        .iter()
        .filter(|(_, check)| check.vote != Vote::Up)
        .map(|(kind, check)| format!("{}: {}", kind.as_str(), check.detail))
        .collect();
    if checks.is_empty() {
        Err(Fault::refused("the site has no checks, so nothing shows that it can serve"))
    } else if failing.is_empty() {
        Ok(())
    } else {
        Err(Fault::refused(format!("the site fails its checks ({})", failing.join("; "))))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::error::ErrorName;

    const NOON: &str = "2026-01-01T12:00:00Z";

    fn may(
        seconds: Option<f64>,
        since: Option<Timestamp>,
        rpo: u32,
        given: Option<&ApprovalGiven>,
        now: &str,
    ) -> Result<(), Fault> {
        may_promote(Loss { seconds, since }, rpo, given, now.parse().unwrap())
    }

    fn approval(shown_loss_seconds: Option<f64>) -> ApprovalGiven {
        ApprovalGiven {
            approver: "ada".into(),
            approved_at: NOON.parse().unwrap(),
            shown_loss_seconds,
        }
    }

    proptest! {
        #[test]
        fn nothing_beyond_the_rpo_is_lost_that_nobody_approved(
            loss in proptest::option::of(0.0f64..1e6), rpo in 0u32..10_000,
            shown in proptest::option::of(proptest::option::of(0.0f64..1e6)),
        ) {
            let given = shown.map(approval);
            let allowed = may(loss, None, rpo, given.as_ref(), NOON).is_ok();
            let harmless = loss.is_some_and(|loss| loss <= f64::from(rpo));
            let seen = given.is_some_and(|given| match given.shown_loss_seconds {
                None => loss.is_none(),
                Some(shown) => loss.is_some_and(|loss| loss <= shown),
            });
            prop_assert_eq!(allowed, harmless || seen);
        }
    }

    #[test]
    fn what_is_added_until_the_claim_is_approved_and_no_more() {
        // Everything was there at 11:59:00; shown was what was lost by 11:59:20, 63.5 s are by 12:00:00.
        let since = Some("2026-01-01T11:59:00Z".parse().unwrap());
        let given = approval(Some(25.5));
        assert!(may(Some(70.0), since, 5, Some(&given), NOON).is_ok());
        assert!(may(Some(93.5), since, 5, Some(&given), NOON).is_ok());
        assert!(may(Some(94.0), since, 5, Some(&given), NOON).is_err());
        assert!(may(Some(26.0), None, 5, Some(&given), NOON).is_err());
    }

    #[test]
    fn an_approvers_clock_that_is_ahead_approves_nothing_more() {
        let since = Some("2026-01-01T11:59:00Z".parse().unwrap());
        let given = approval(Some(25.5));
        // It was 11:59:30 when they approved: 33.5 s by then, and 30 s until the claim.
        let now = "2026-01-01T11:59:30Z";
        assert!(may(Some(63.5), since, 5, Some(&given), now).is_ok());
        assert!(may(Some(64.0), since, 5, Some(&given), now).is_err());
    }

    #[test]
    fn a_refusal_says_how_much_would_be_lost() {
        let fault = may(Some(7.25), None, 5, None, NOON).unwrap_err();
        assert_eq!(fault.name, ErrorName::Refused);
        assert!(fault.message.contains("7.2 s") && fault.message.contains("RPO of 5 s"));
    }

    #[test]
    fn traffic_needs_every_check() {
        assert!(may_receive_traffic(&Checks::new()).is_err());
        let mut checks = crate::situation::samples::observation(crate::vote::SiteVerdict::Up, 0)
            .sites
            .remove("a")
            .unwrap()
            .checks;
        assert!(may_receive_traffic(&checks).is_ok());
        checks.values_mut().next().unwrap().vote = Vote::Unknown;
        assert!(may_receive_traffic(&checks).is_err());
    }
}
