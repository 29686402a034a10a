//! Tags of instances, parameter groups and snapshots.

use super::{Answer, Call, render};
use crate::model::{Key, State};
use crate::query::{ApiError, Tag};
use crate::xml::Element;

/// `AddTagsToResource`: a key that exists gets the new value.
pub(super) fn add(call: &Call) -> Answer {
    let new = call.params.tags();
    change(call, |tags| {
        tags.retain(|(key, _)| !new.iter().any(|(other, _)| other == key));
        tags.extend(new.clone());
    })?;
    Ok(None)
}

/// `RemoveTagsFromResource`: a key that does not exist is no error.
pub(super) fn remove(call: &Call) -> Answer {
    let keys = call.params.list("TagKeys", "member");
    change(call, |tags| tags.retain(|(key, _)| !keys.contains(key)))?;
    Ok(None)
}

/// `ListTagsForResource`.
pub(super) fn list(call: &Call) -> Answer {
    let tags = change(call, |tags| tags.clone())?;
    Ok(Some(Element::new("ListTagsForResourceResult").list("TagList", render::tags(&tags))))
}

fn change<R>(call: &Call, change: impl FnOnce(&mut Vec<Tag>) -> R) -> Result<R, ApiError> {
    let arn = call.params.need("ResourceName")?;
    call.service.store.change(|state| find(call, state, arn).map(change))
}

fn find<'a>(call: &Call, state: &'a mut State, arn: &str) -> Result<&'a mut Vec<Tag>, ApiError> {
    let kind = arn.split(':').nth(5).unwrap_or_default();
    let key: Key = call.service.key(&call.region, kind, arn)?;
    if !arn.starts_with("arn:") || key.region != call.region {
        return Err(ApiError::value(format!("Invalid resource name: {arn}")));
    }
    match kind {
        "db" => state.instance_mut(&key).map(|i| &mut i.tags),
        "pg" => state
            .groups
            .get_mut(&key)
            .map(|g| &mut g.tags)
            .ok_or_else(|| super::groups::not_found(&key.id)),
        "snapshot" => state.snapshots.get_mut(&key).map(|s| &mut s.tags).ok_or_else(|| {
            ApiError::new("DBSnapshotNotFound", 404, format!("DBSnapshot {} not found.", key.id))
        }),
        _ => Err(ApiError::value(format!("Resources of type {kind} do not exist in this lab."))),
    }
}
