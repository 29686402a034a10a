//! `GET /health`: whether this site would accept a write, and what is wrong, dependency by dependency.
//!
//! `ok` (200) means that a write would be accepted. `degraded` (503) means that the database answers and a write
//! would be refused all the same. `down` (503) means that the database does not answer, or the site is not configured.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use crate::clock::uptime;
use crate::database::DatabaseError;
use crate::permit;
use crate::site::{Role, Site};
use crate::tickets::Tickets;

/// How long each dependency may take.
const WITHIN: Duration = Duration::from_millis(500);

/// The state of one part, or of the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It works.
    Ok,
    /// It answers, and cannot do all of its work.
    Degraded,
    /// It does not work.
    Down,
}

/// The database's part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DatabaseCheck {
    /// `degraded` when it answers and is in recovery.
    pub status: Status,
    /// What is wrong, for a person.
    pub detail: String,
    /// `pg_is_in_recovery()`, or null when it does not answer.
    pub in_recovery: Option<bool>,
}

/// Redis's part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RedisCheck {
    /// `ok` or `down`.
    pub status: Status,
    /// What is wrong, for a person.
    pub detail: String,
}

/// The part of the site's role and write permit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EpochCheck {
    /// `ok` when writes are permitted, `down` when not.
    pub status: Status,
    /// Why not, for a person.
    pub detail: String,
    /// Why not, as a stable word: `standby`, `no_permit`, `wrong_site`, `wrong_epoch`, `permit_expired`, `not_configured`.
    pub reason: Option<&'static str>,
    /// The end of the permit.
    pub valid_until: Option<Timestamp>,
}

/// The parts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Checks {
    /// PostgreSQL.
    pub database: DatabaseCheck,
    /// Redis.
    pub redis: RedisCheck,
    /// The right to write.
    pub epoch: EpochCheck,
}

/// The body of `GET /health`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Health {
    /// The whole.
    pub status: Status,
    /// This site, or null when `site.json` cannot be read.
    pub site: Option<String>,
    /// Its epoch.
    pub epoch: Option<i64>,
    /// Its role.
    pub role: Option<Role>,
    /// The parts.
    pub checks: Checks,
}

impl Tickets {
    /// Looks at every dependency at the same time, each with its own deadline.
    pub(crate) async fn health(&self) -> Health {
        let site = self.files.site();
        let (database, redis) =
            tokio::join!(self.check_database(site.as_ref().ok()), self.redis.ping());
        let redis = match redis {
            Ok(()) => RedisCheck { status: Status::Ok, detail: "answers".to_owned() },
            Err(error) => RedisCheck { status: Status::Down, detail: error.to_string() },
        };
        let epoch = self.check_epoch(site.as_ref().map_err(String::as_str));
        let status = match (site.is_ok(), database.status, redis.status, epoch.status) {
            (true, Status::Ok, Status::Ok, Status::Ok) => Status::Ok,
            (false, _, _, _) | (_, Status::Down, _, _) => Status::Down,
            (true, Status::Ok | Status::Degraded, _, _) => Status::Degraded,
        };
        let site = site.ok();
        Health {
            status,
            epoch: site.as_ref().map(|site| site.epoch),
            role: site.as_ref().map(|site| site.role),
            site: site.map(|site| site.site),
            checks: Checks { database, redis, epoch },
        }
    }

    async fn check_database(&self, site: Option<&Site>) -> DatabaseCheck {
        let look = async {
            let pool = self.database.pool(site.and_then(|site| site.database.as_ref()))?;
            let lease = pool.lease().await?;
            let row = lease.client.query_one("SELECT pg_is_in_recovery()", &[]).await?;
            lease.keep();
            Ok::<bool, DatabaseError>(row.try_get(0)?)
        };
        match tokio::time::timeout(WITHIN, look)
            .await
            .unwrap_or(Err(DatabaseError::Timeout(WITHIN)))
        {
            Ok(false) => DatabaseCheck {
                status: Status::Ok,
                detail: "writable".to_owned(),
                in_recovery: Some(false),
            },
            Ok(true) => DatabaseCheck {
                status: Status::Degraded,
                detail: DatabaseError::ReadOnly.to_string(),
                in_recovery: Some(true),
            },
            Err(error) => {
                DatabaseCheck { status: Status::Down, detail: error.to_string(), in_recovery: None }
            }
        }
    }

    fn check_epoch(&self, site: Result<&Site, &str>) -> EpochCheck {
        let refused = |detail: String, reason, valid_until| EpochCheck {
            status: Status::Down,
            detail,
            reason: Some(reason),
            valid_until,
        };
        let site = match site {
            Ok(site) => site,
            Err(why) => return refused(why.to_owned(), "not_configured", None),
        };
        let permit = self.files.permit();
        let end = permit.as_ref().ok().map(|permit| permit.valid_until);
        let now = match uptime() {
            Ok(now) => now,
            Err(why) => return refused(why.to_string(), "no_permit", end),
        };
        match permit::check(site, permit.as_ref().map_err(String::as_str), &now) {
            Ok(permit) => EpochCheck {
                status: Status::Ok,
                detail: format!("epoch {} may write", site.epoch),
                reason: None,
                valid_until: Some(permit.valid_until),
            },
            Err(refusal) => refused(refusal.to_string(), refusal.reason(), end),
        }
    }
}
