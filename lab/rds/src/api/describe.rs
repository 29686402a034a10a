//! `DescribeDBInstances`, and the paging that all Describe calls share.

use super::{Answer, Call, render};
use crate::model::{Instance, Key};
use crate::query::{ApiError, Filter, Params};
use crate::xml::Element;

/// `DescribeDBInstances`.
pub(super) fn instances(call: &Call) -> Answer {
    let filters = call.params.filters(&[
        "db-cluster-id",
        "db-instance-id",
        "dbi-resource-id",
        "domain",
        "engine",
    ])?;
    let only = call.params.get("DBInstanceIdentifier").map(|_| call.instance_key()).transpose()?;
    let (page, marker) = call.service.store.read(|state| {
        if let Some(key) = &only {
            state.instance(key)?;
        }
        let here = state.instances.values().filter(|i| i.key.region == call.region);
        let wanted = here.filter(|i| only.as_ref().is_none_or(|key| *key == i.key));
        let matching = wanted.filter(|i| filters.iter().all(|filter| matches(call, i, filter)));
        let (page, marker) = page(&call.params, matching.collect(), |i| i.key.id.clone())?;
        let page: Vec<Element> =
            page.into_iter().map(|i| render::instance(&call.service, state, i)).collect();
        Ok::<_, ApiError>((page, marker))
    })?;
    Ok(Some(
        Element::new("DescribeDBInstancesResult").list("DBInstances", page).maybe("Marker", marker),
    ))
}

fn matches(call: &Call, instance: &Instance, filter: &Filter) -> bool {
    let names = |value: &String| match filter.name.as_str() {
        "db-instance-id" => {
            call.service.key(&call.region, "db", value).is_ok_and(|key: Key| key == instance.key)
        }
        "dbi-resource-id" => *value == instance.resource_id,
        "engine" => value == "postgres",
        // No instance of the lab is in a cluster or a domain.
        _ => false,
    };
    filter.values.iter().any(names)
}

/// The items after `Marker`, at most `MaxRecords` of them, and the marker of the next page: the
/// name of this page's last item. `items` are in the order of their names.
pub(super) fn page<T>(
    params: &Params,
    items: Vec<T>,
    name: impl Fn(&T) -> String,
) -> Result<(Vec<T>, Option<String>), ApiError> {
    let most = params.number("MaxRecords", 20, 100)?.unwrap_or(100);
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let after = params.get("Marker");
    let mut left: Vec<T> = items
        .into_iter()
        .filter(|item| after.is_none_or(|after| name(item).as_str() > after))
        .collect();
    let more = left.len() > most;
    left.truncate(most);
    let marker = left.last().map(name).filter(|_| more);
    Ok((left, marker))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_each_other_without_gap_or_repetition() {
        let items: Vec<u32> = (100..145).collect();
        let name = |item: &u32| item.to_string();
        let (first, marker) = page(&Params::decode(b"MaxRecords=20"), items.clone(), name).unwrap();
        assert_eq!((first.len(), marker.as_deref()), (20, Some("119")));
        let (second, marker) =
            page(&Params::decode(b"MaxRecords=20&Marker=119"), items.clone(), name).unwrap();
        assert_eq!((second.first(), marker.as_deref()), (Some(&120), Some("139")));
        let (third, marker) =
            page(&Params::decode(b"MaxRecords=20&Marker=139"), items, name).unwrap();
        assert_eq!((third.len(), marker), (5, None));
        assert_eq!(
            page(&Params::decode(b"MaxRecords=19"), vec![1], name).unwrap_err().code,
            "InvalidParameterValue"
        );
    }
}
