//! `DescribeEvents`.

use jiff::SignedDuration;

use super::describe::page;
use super::{Answer, Call};
use crate::clock;
use crate::model::Event;
use crate::query::ApiError;
use crate::xml::Element;

/// `DescribeEvents`, oldest first; the last hour when no time is given, as on RDS.
pub(super) fn describe(call: &Call) -> Answer {
    let params = &call.params;
    let (id, kind) = (params.get("SourceIdentifier"), params.get("SourceType"));
    if id.is_some() && kind.is_none() {
        return Err(ApiError::combination(
            "SourceType must be specified when SourceIdentifier is.",
        ));
    }
    let minutes = params.number("Duration", 1, 20_160)?.unwrap_or(60);
    let until = params.time("EndTime")?.unwrap_or_else(clock::now);
    let ago = SignedDuration::from_secs(i64::from(minutes) * 60);
    let since = params.time("StartTime")?.map_or_else(|| until.checked_sub(ago), Ok);
    let since = since.map_err(|error| ApiError::value(error.to_string()))?;
    let categories = params.list("EventCategories", "EventCategory");
    let wanted = |event: &Event| {
        event.region == call.region
            && (since..=until).contains(&event.at)
            && id.is_none_or(|id| id.eq_ignore_ascii_case(&event.source))
            && kind.is_none_or(|kind| kind == event.source_type)
            && (categories.is_empty() || categories.contains(&event.category))
    };
    // The place in the log names an event, so that events of one millisecond are all paged through.
    let found: Vec<(usize, Event)> = call.service.store.read(|state| {
        state
            .events
            .iter()
            .enumerate()
            .filter(|(_, e)| wanted(e))
            .map(|(place, e)| (place, e.clone()))
            .collect()
    });
    let (events, marker) = page(params, found, |(place, _)| format!("{place:08}"))?;
    let element = |event: Event| {
        Element::new("Event")
            .text("SourceIdentifier", event.source)
            .text("SourceType", event.source_type)
            .text("SourceArn", event.arn)
            .text("Message", event.message)
            .list("EventCategories", [Element::leaf("EventCategory", event.category)])
            .text("Date", clock::iso(event.at))
    };
    let events = events.into_iter().map(|(_, event)| element(event));
    Ok(Some(Element::new("DescribeEventsResult").list("Events", events).maybe("Marker", marker)))
}
