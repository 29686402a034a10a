//! DB parameter groups: what they set is written into the configuration of their instances.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::describe::page;
use super::{Answer, Call};
use crate::model::{Group, Key, Parameter, Status, identifier};
use crate::postgres::PgError;
use crate::postgres::settings::{self, RESERVED};
use crate::query::ApiError;
use crate::service::{STATEMENT, Service};
use crate::xml::Element;

/// The name of the group that instances have without asking: `default.postgres15`.
pub(super) fn default_name(service: &Service) -> String {
    format!("default.{}", family(service))
}

fn family(service: &Service) -> String {
    format!("postgres{}", service.install.major)
}

pub(super) fn not_found(name: &str) -> ApiError {
    ApiError::new("DBParameterGroupNotFound", 404, format!("DBParameterGroup not found: {name}"))
}

/// `CreateDBParameterGroup`.
pub(super) fn create(call: &Call) -> Answer {
    let params = &call.params;
    let name = identifier("DBParameterGroupName", params.need("DBParameterGroupName")?, 255)?;
    let key = Key::new(&call.region, name);
    let asked = params.need("DBParameterGroupFamily")?;
    if asked != family(&call.service) {
        return Err(ApiError::value(format!(
            "ParameterGroupFamily {asked} is not a valid parameter group family: this lab has {}.",
            family(&call.service)
        )));
    }
    let description = params.need("Description")?.to_owned();
    let group = Group {
        key: key.clone(),
        family: asked.to_owned(),
        description,
        tags: params.tags(),
        parameters: BTreeMap::new(),
    };
    let element = element(call, &group);
    call.service.store.change(|state| {
        if state.groups.contains_key(&key) {
            return Err(ApiError::new(
                "DBParameterGroupAlreadyExists",
                400,
                format!("Parameter group {} already exists", key.id),
            ));
        }
        state.groups.insert(key.clone(), group);
        Ok(())
    })?;
    Ok(Some(Element::new("CreateDBParameterGroupResult").child(element)))
}

fn element(call: &Call, group: &Group) -> Element {
    Element::new("DBParameterGroup")
        .text("DBParameterGroupName", &group.key.id)
        .text("DBParameterGroupFamily", &group.family)
        .text("Description", &group.description)
        .text("DBParameterGroupArn", call.service.arn("pg", &group.key))
}

fn group_key(call: &Call) -> Result<Key, ApiError> {
    let name = call.params.need("DBParameterGroupName")?.to_ascii_lowercase();
    Ok(Key::new(&call.region, name))
}

/// `ModifyDBParameterGroup`: `immediate` parameters are in force in all instances of the group a
/// moment later, `pending-reboot` ones after a reboot.
pub(super) fn modify(call: &Call) -> Answer {
    let key = group_key(call)?;
    if key.id == default_name(&call.service) {
        return Err(ApiError::new(
            "InvalidDBParameterGroupState",
            400,
            format!("The default parameter group {} cannot be modified.", key.id),
        ));
    }
    let fields = ["ParameterName", "ParameterValue", "ApplyMethod"];
    let mut changes = Vec::new();
    for [name, value, method] in call.params.structures("Parameters", "Parameter", fields) {
        changes.push(change(&call.service, name, value, method.as_deref())?);
    }
    if changes.is_empty() {
        return Err(ApiError::value("At least one parameter must be given."));
    }
    let waits = changes.iter().any(|(_, parameter)| parameter.at_reboot);
    let users: Vec<Key> = call.service.store.change(|state| {
        let group = state.groups.get_mut(&key).ok_or_else(|| not_found(&key.id))?;
        group.parameters.extend(changes);
        let users = state
            .instances
            .values_mut()
            .filter(|i| i.key.region == key.region && i.group == key.id);
        Ok(users
            .map(|instance| {
                instance.group_pending |= waits;
                (instance.key.clone(), instance.status)
            })
            .filter(|(_, status)| *status == Status::Available)
            .map(|(key, _)| key)
            .collect())
    })?;
    for user in users {
        let (service, work_key) = (Arc::clone(&call.service), user.clone());
        call.service.begin(&user, "change of parameters", None, async move {
            reload(&service, &work_key).await
        });
    }
    Ok(Some(Element::new("ModifyDBParameterGroupResult").text("DBParameterGroupName", key.id)))
}

fn change(
    service: &Service,
    name: Option<String>,
    value: Option<String>,
    method: Option<&str>,
) -> Result<(String, Parameter), ApiError> {
    let (name, value) = (name.unwrap_or_default().to_ascii_lowercase(), value.unwrap_or_default());
    let known = service.catalogue.get(&name);
    if known.is_none() && !is_extension_parameter(&name) {
        return Err(ApiError::value(format!("Could not find parameter with name: {name}")));
    }
    if RESERVED.contains(&name.as_str()) {
        return Err(ApiError::value(format!("The parameter {name} cannot be modified.")));
    }
    if let Some(reason) = known.and_then(|known| known.refusal(&value)) {
        return Err(ApiError::value(format!(
            "Invalid parameter value: {value} for: {name}: {reason}"
        )));
    }
    let at_reboot = match method {
        Some("pending-reboot") => true,
        Some("immediate") | None => false,
        Some(other) => {
            return Err(ApiError::value(format!(
                "Invalid ApplyMethod {other}: immediate or pending-reboot."
            )));
        }
    };
    if !at_reboot && known.is_some_and(|known| known.is_static) {
        return Err(ApiError::combination(
            "cannot use immediate apply method for static parameter",
        ));
    }
    Ok((name, Parameter { value, at_reboot }))
}

/// A name such as `auto_explain.log_min_duration`.
fn is_extension_parameter(name: &str) -> bool {
    let word = |word: &str| {
        word.starts_with(|c: char| c.is_ascii_lowercase())
            && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    };
    name.split_once('.').is_some_and(|(extension, parameter)| word(extension) && word(parameter))
}

/// Puts the group's immediate parameters into force. A value that the server does not take is told
/// in the event log, and makes the instance `incompatible-parameters` at its next start, as on RDS.
async fn reload(service: &Service, key: &Key) -> Result<(), PgError> {
    let instance = service.instance(key)?;
    if instance.group_pending {
        // The file is written as a whole, so waiting parameters must stay out of it.
        let group = Key::new(&key.region, &instance.group);
        let now: BTreeMap<String, String> = service.store.read(|state| {
            let parameters = state.groups.get(&group).map(|group| group.parameters.iter());
            parameters
                .into_iter()
                .flatten()
                .filter(|(_, p)| !p.at_reboot)
                .map(|(n, p)| (n.clone(), p.value.clone()))
                .collect()
        });
        settings::write_parameters(&service.pgdata(key), &now)?;
    } else {
        settings::write_parameters(&service.pgdata(key), &service.parameters(&instance))?;
    }
    let session = service.session(key, STATEMENT).await?;
    // A static parameter that waits for its reboot is listed as "setting could not be applied".
    let wrong = session
        .texts(
            "SELECT name || ': ' || error FROM pg_file_settings WHERE sourcefile LIKE '%/parameters.conf' AND error NOT IN ('setting could not be applied')",
        )
        .await?;
    session.run("SELECT pg_reload_conf()").await?;
    match wrong.first() {
        Some(reason) => Err(PgError::Sql(format!("parameter {reason}"))),
        None => Ok(()),
    }
}

/// `DescribeDBParameters`: what the group sets (`user`), and what else the engine knows
/// (`engine-default`, without values).
pub(super) fn describe_parameters(call: &Call) -> Answer {
    let key = group_key(call)?;
    let set = call.service.store.read(|state| match state.groups.get(&key) {
        Some(group) => Ok(group.parameters.clone()),
        None if key.id == default_name(&call.service) => Ok(BTreeMap::new()),
        None => Err(not_found(&key.id)),
    })?;
    let names: BTreeSet<&String> = set.keys().chain(call.service.catalogue.keys()).collect();
    let source = |name: &str| if set.contains_key(name) { "user" } else { "engine-default" };
    let wanted = call.params.get("Source");
    let names = names.into_iter().filter(|name| wanted.is_none_or(|wanted| wanted == source(name)));
    let (names, marker) = page(&call.params, names.collect(), |name| (*name).clone())?;
    let element = |name: &String| {
        let (set, known) = (set.get(name), call.service.catalogue.get(name));
        let at_reboot = set.map_or_else(|| known.is_some_and(|k| k.is_static), |set| set.at_reboot);
        Element::new("Parameter")
            .text("ParameterName", name)
            .maybe("ParameterValue", set.map(|set| &set.value))
            .maybe("Description", known.map(|known| &known.description))
            .text("Source", source(name))
            .maybe(
                "ApplyType",
                known.map(|known| if known.is_static { "static" } else { "dynamic" }),
            )
            .maybe("DataType", known.map(|known| &known.data_type))
            .text("ApplyMethod", if at_reboot { "pending-reboot" } else { "immediate" })
            .text("IsModifiable", !RESERVED.contains(&name.as_str()))
    };
    let shown = names.into_iter().map(element);
    Ok(Some(
        Element::new("DescribeDBParametersResult")
            .list("Parameters", shown)
            .maybe("Marker", marker),
    ))
}

/// `DescribeDBParameterGroups`: those that were made; the family's default is not listed.
pub(super) fn describe(call: &Call) -> Answer {
    let only = call.params.get("DBParameterGroupName").map(|_| group_key(call)).transpose()?;
    let groups: Vec<Group> = call.service.store.read(|state| {
        let here = state.groups.values().filter(|group| group.key.region == call.region);
        here.filter(|group| only.as_ref().is_none_or(|key| *key == group.key)).cloned().collect()
    });
    if let Some(key) = only.filter(|_| groups.is_empty()) {
        return Err(not_found(&key.id));
    }
    let (groups, marker) = page(&call.params, groups, |group| group.key.id.clone())?;
    let groups = groups.iter().map(|group| element(call, group));
    Ok(Some(
        Element::new("DescribeDBParameterGroupsResult")
            .list("DBParameterGroups", groups)
            .maybe("Marker", marker),
    ))
}

/// `DeleteDBParameterGroup`: refused while an instance has it.
pub(super) fn delete(call: &Call) -> Answer {
    let key = group_key(call)?;
    call.service.store.change(|state| {
        if !state.groups.contains_key(&key) {
            return Err(not_found(&key.id));
        }
        let used = state.instances.values().any(|i| i.key.region == key.region && i.group == key.id);
        if used {
            let message = "One or more database instances are still members of this parameter group, so the group cannot be deleted";
            return Err(ApiError::new("InvalidDBParameterGroupState", 400, message));
        }
        state.groups.remove(&key);
        Ok(None)
    })
}
