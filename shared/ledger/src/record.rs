//! One bucket's register: read, written on a condition, moved up.

use jiff::Timestamp;
use lifeboat_core::{
    AppName, Fault,
    ledger::ControlRecord,
    registers::{Claim, Raise, fresh, raise},
};

use crate::store::{Bucket, Condition, ETag, Put, Store};

/// A record and what a write must be conditional on; none when there is none.
pub(crate) type Found = Option<(ControlRecord, ETag)>;

pub(crate) fn control_key(app: &AppName) -> String {
    format!("control/{app}.json")
}

pub(crate) async fn read_record<S: Store>(
    store: &S,
    bucket: &Bucket,
    key: &str,
) -> Result<Found, Fault> {
    let Some(object) = store.get(bucket, key).await? else { return Ok(None) };
    let record = serde_json::from_slice(&object.body).map_err(|error| {
        Fault::needs_human(format!(
            "the register s3://{}/{key} cannot be read ({error}); restore an earlier version \
             of the object",
            bucket.name
        ))
    })?;
    Ok(Some((record, object.etag)))
}

pub(crate) async fn write_record<S: Store>(
    store: &S,
    bucket: &Bucket,
    record: &ControlRecord,
    expected: Option<&ETag>,
) -> Result<ETag, Fault> {
    let key = control_key(&record.app);
    let body = serde_json::to_vec(record)
        .map_err(|error| Fault::needs_human(format!("the record is not JSON: {error}")))?;
    let condition = expected.map_or(Condition::Absent, |etag| Condition::Unchanged(etag.clone()));
    let failure = match store.put(bucket, &key, body, &condition).await {
        Ok(Put::Written(etag)) => return Ok(etag),
        Ok(Put::Refused) => Fault::transient(format!(
            "the register of app {} changed meanwhile; read it again",
            record.app
        )),
        Err(fault) => fault,
    };
    // A refusal may be that of a retry after an attempt that took effect; a failure may have taken
    // effect too. What the bucket holds now tells.
    match read_record(store, bucket, &key).await {
        Ok(Some((stored, etag))) if stored == *record => Ok(etag),
        Ok(_) | Err(_) => Err(failure),
    }
}

/// Why a register does not hold a claim, as far as it is known.
pub(crate) enum Behind {
    /// It holds a newer one.
    Newer(Claim),
    /// It was not reached, or its answer was lost: it may hold the claim yet.
    Unknown(String),
}

impl Behind {
    pub(crate) fn words(self) -> String {
        match self {
            Self::Newer(claim) => {
                format!("it holds site {} under epoch {}", claim.site, claim.epoch)
            }
            Self::Unknown(why) => why,
        }
    }
}

/// Moves one register up to a claim. Done again it changes nothing.
pub(crate) async fn raise_register<S: Store>(
    store: &S,
    bucket: &Bucket,
    app: &AppName,
    claim: &Claim,
    now: Timestamp,
) -> Result<(), Behind> {
    let unknown = |fault: Fault| Behind::Unknown(fault.message);
    let found = read_record(store, bucket, &control_key(app)).await.map_err(unknown)?;
    let (record, etag) = match found {
        None => (fresh(app, claim, now), None),
        Some((theirs, etag)) => match raise(&theirs, claim, now) {
            Raise::Holds => return Ok(()),
            Raise::Newer(newer) => return Err(Behind::Newer(newer)),
            Raise::Write(record) => (record, Some(etag)),
        },
    };
    write_record(store, bucket, &record, etag.as_ref()).await.map(|_| ()).map_err(unknown)
}
