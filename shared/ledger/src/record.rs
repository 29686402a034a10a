//! One bucket's control record: read, written on a condition, copied.

use lifeboat_core::{
    AppName, Fault,
    ledger::{self, ControlRecord},
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

/// Copies `record` over the bucket's own when that one is older.
pub(crate) async fn copy_record<S: Store>(
    store: &S,
    bucket: &Bucket,
    record: &ControlRecord,
) -> Result<(), Fault> {
    let found = read_record(store, bucket, &control_key(&record.app)).await?;
    let expected = match found {
        Some((theirs, etag)) => {
            if ledger::newest([record, &theirs]) == Some(&theirs) {
                return Ok(());
            }
            Some(etag)
        }
        None => None,
    };
    write_record(store, bucket, record, expected.as_ref()).await.map(|_| ())
}
