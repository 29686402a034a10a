//! DB parameter groups: what they set is written into the configuration of their instances.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::describe::page;
use super::{Answer, Call};
use crate::model::{Group, Key, Parameter, Status, identifier};
use crate::postgres::settings::{self, RESERVED};
use crate::postgres::{PgError, sql};
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
        changes.push(change(name, value, method.as_deref())?);
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
        call.service.begin(&user, "change of parameters", Status::Available, async move {
            reload(&service, &work_key).await
        });
    }
    Ok(Some(Element::new("ModifyDBParameterGroupResult").text("DBParameterGroupName", key.id)))
}

fn change(
    name: Option<String>,
    value: Option<String>,
    method: Option<&str>,
) -> Result<(String, Parameter), ApiError> {
    let name = name.unwrap_or_default().to_ascii_lowercase();
    let fits = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '.'));
    if !fits {
        return Err(ApiError::value(format!("Could not find parameter with name: {name}")));
    }
    if RESERVED.contains(&name.as_str()) {
        return Err(ApiError::value(format!("The parameter {name} cannot be modified.")));
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
    Ok((name, Parameter { value: value.unwrap_or_default(), at_reboot }))
}

/// Puts the group's immediate parameters into force. A name or value that the server does not take
/// is told in the event log; it would keep the server from starting later, so it is taken out of the file.
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
    let file = sql::literal("parameters.conf");
    let wrong = session
        .texts(&format!(
            "SELECT name || ': ' || error FROM pg_file_settings WHERE sourcefile LIKE '%' || {file} AND error IS NOT NULL AND error <> 'setting could not be applied'"
        ))
        .await?;
    session.run("SELECT pg_reload_conf()").await?;
    match wrong.first() {
        Some(reason) => Err(PgError::Sql(format!("parameter {reason}"))),
        None => Ok(()),
    }
}

/// `DescribeDBParameters`: what the group sets (`user`). The engine's defaults are not listed.
pub(super) fn describe_parameters(call: &Call) -> Answer {
    let key = group_key(call)?;
    let parameters = call.service.store.read(|state| match state.groups.get(&key) {
        Some(group) => Ok(group.parameters.clone()),
        None if key.id == default_name(&call.service) => Ok(BTreeMap::new()),
        None => Err(not_found(&key.id)),
    })?;
    let wanted = call.params.get("Source").is_none_or(|source| source == "user");
    let all: Vec<_> = parameters.into_iter().filter(|_| wanted).collect();
    let (shown, marker) = page(&call.params, all, |(name, _)| name.clone())?;
    let element = |(name, parameter): (String, Parameter)| {
        Element::new("Parameter")
            .text("ParameterName", name)
            .text("ParameterValue", parameter.value)
            .text("Source", "user")
            .text("ApplyMethod", if parameter.at_reboot { "pending-reboot" } else { "immediate" })
            .text("IsModifiable", true)
    };
    let shown = shown.into_iter().map(element);
    Ok(Some(
        Element::new("DescribeDBParametersResult")
            .list("Parameters", shown)
            .maybe("Marker", marker),
    ))
}
