//! What an operator should know of an app's registers, and what to do about it.

use std::fmt;

use jiff::Timestamp;

use super::{Claim, Registers, claim_of};
use crate::{
    ids::{AppName, Region},
    ledger::{Holder, HolderState, under_way},
};

/// One thing that is not as in a quiet app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// No claim has a majority: no site may write.
    NoMajority,
    /// This region did not answer.
    Silent(Region),
    /// This region has no register.
    Absent(Region),
    /// The register is behind the claim that counts.
    Lags(Region),
    /// The register holds a newer claim than the one that counts.
    Ahead(Region, Claim),
    /// A recovery holds the register, and may be acting.
    Held(Region, Holder),
    /// A recovery that ended in failure, or died, still holds the register.
    Unfinished(Region, Holder),
}

/// Everything there is to say of the registers, the most urgent first.
#[must_use]
pub fn notices(registers: &Registers, now: Timestamp) -> Vec<Notice> {
    let agreed = registers.agreed();
    let mut notices = Vec::new();
    if agreed.is_none() {
        notices.push(Notice::NoMajority);
    }
    notices.extend(registers.silent().map(|(region, _)| Notice::Silent(region.clone())));
    notices.extend(registers.absent().map(|region| Notice::Absent(region.clone())));
    for (region, record) in registers.held() {
        let claim = claim_of(record);
        let region = || region.clone();
        match &agreed {
            Some(agreed) if claim < *agreed => notices.push(Notice::Lags(region())),
            Some(agreed) if claim > *agreed => notices.push(Notice::Ahead(region(), claim)),
            Some(_) | None => {}
        }
        if let Some(holder) = &record.recovery {
            let holder = holder.clone();
            notices.push(match under_way(record, now) {
                Some(_) => Notice::Held(region(), holder),
                None => Notice::Unfinished(region(), holder),
            });
        }
    }
    notices
}

impl Notice {
    /// What to do; none where nothing has to be.
    #[must_use]
    pub fn next(&self, app: &AppName) -> Option<String> {
        let ledger = |what: &str, region: &Region| {
            format!("lifeboat ledger {what} --app {app} --region {region}")
        };
        match self {
            Self::NoMajority => {
                Some(format!("lifeboat recover --app {app} --region REGION-OF-THE-SITE-TO-SERVE"))
            }
            Self::Absent(_) => Some("lifeboat plan apply".to_owned()),
            Self::Ahead(region, _) => Some(ledger("abandon", region)),
            Self::Held(region, _) => Some(format!(
                "{}, once its execution has ended without releasing it",
                ledger("release", region)
            )),
            Self::Unfinished(region, _) => {
                Some(format!("lifeboat recover --app {app} --region {region}"))
            }
            Self::Silent(_) | Self::Lags(_) => None,
        }
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoMajority => {
                write!(f, "no claim has a majority of the registers: no site may write")
            }
            Self::Silent(region) => write!(f, "{region} does not answer"),
            Self::Absent(region) => write!(f, "{region} has no register"),
            Self::Lags(region) => {
                write!(f, "{region} is behind; the next look of a region that sees it moves it up")
            }
            Self::Ahead(region, claim) => write!(
                f,
                "{region} holds a claim of site {} under epoch {} that has no majority: while it does, \
                 the loss of one more region ends all writes",
                claim.site, claim.epoch
            ),
            Self::Held(region, holder) => write!(
                f,
                "recovery {} holds the register in {region} since {:.0} and activates site {}",
                holder.incident, holder.opened_at, holder.target
            ),
            Self::Unfinished(region, holder) => {
                let how = match holder.state {
                    HolderState::Failed => "ended in failure",
                    HolderState::Open | HolderState::Claimed => "acts no more",
                };
                write!(
                    f,
                    "recovery {} of site {}, in {region}, {how}, and is not finished",
                    holder.incident, holder.target
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ids::Epoch,
        ledger::ControlRecord,
        registers::{Answer, fresh},
    };

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_767_268_800 + second).unwrap()
    }

    fn record(epoch: u64, site: &str) -> ControlRecord {
        let claim = Claim { epoch: Epoch(epoch), site: site.parse().unwrap() };
        fresh(&"queue".parse().unwrap(), &claim, at(0))
    }

    fn said(answers: [Answer; 3]) -> Vec<(String, Option<String>)> {
        let regions = ["us-east-1", "us-west-2", "us-east-2"].map(|name| name.parse().unwrap());
        let registers = Registers::new(regions.into_iter().zip(answers));
        let app = "queue".parse().unwrap();
        let notices = notices(&registers, at(10));
        notices.iter().map(|notice| (notice.to_string(), notice.next(&app))).collect()
    }

    #[test]
    fn a_quiet_app_has_nothing_to_say() {
        assert_eq!(said([1, 1, 1].map(|epoch| Answer::Holds(record(epoch, "a")))), []);
    }

    #[test]
    fn each_notice_has_the_command_that_mends_it() {
        let holder = |state| {
            Some(Holder {
                incident: "i-1".parse().unwrap(),
                execution: "arn".into(),
                target: "b".parse().unwrap(),
                epoch: Epoch(2),
                opened_at: at(0),
                state,
                agreed_at: None,
                agreed_before: None,
            })
        };
        let first = || Answer::Holds(record(1, "a"));
        let failed = ControlRecord { recovery: holder(HolderState::Failed), ..record(2, "b") };
        let open = ControlRecord { recovery: holder(HolderState::Open), ..record(1, "a") };
        let cases = [
            (
                [first(), Answer::Holds(failed), first()],
                vec!["lifeboat ledger abandon --app queue --region us-west-2", "lifeboat recover"],
            ),
            ([first(), Answer::Holds(open), first()], vec!["lifeboat ledger release"]),
            ([first(), Answer::Absent, first()], vec!["lifeboat plan apply"]),
            (
                [first(), Answer::Holds(record(2, "b")), Answer::Silent("dark".into())],
                vec!["lifeboat recover"],
            ),
        ];
        for (answers, commands) in cases {
            let said = said(answers);
            let next: Vec<&String> = said.iter().filter_map(|(_, next)| next.as_ref()).collect();
            assert_eq!(next.len(), commands.len(), "{said:?}");
            for (next, command) in next.iter().zip(commands) {
                assert!(next.starts_with(command), "{next} {command}");
            }
        }
        let behind = said([2, 1, 2].map(|epoch| Answer::Holds(record(epoch, "b"))));
        assert!(behind[0].0.contains("us-west-2 is behind") && behind[0].1.is_none(), "{behind:?}");
    }
}
