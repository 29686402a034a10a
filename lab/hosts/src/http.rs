//! The HTTP side: AWS's JSON 1.1 on `/`, the hosts' service manager and the lab's own actions below `/lab`.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};

use crate::api::Request;
use crate::error::{ApiError, HostsError};
use crate::host::Host;
use crate::server::Lab;
use crate::service::ServiceState;

/// The routes.
pub(crate) fn router(lab: Arc<Lab>) -> Router {
    Router::new()
        .route("/", post(aws))
        .route("/lab/hosts", get(list_hosts))
        .route("/lab/hosts/{host}/{action}", post(host_action))
        .route("/lab/hosts/{host}/services/{service}/{action}", post(service_action))
        .with_state(lab)
}

/// The region of a request: the third part of the credential in its SigV4 signature.
fn region(headers: &HeaderMap) -> Option<String> {
    let authorization = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let credential = authorization.split_once("Credential=")?.1.split(',').next()?;
    credential.split('/').nth(2).map(str::to_owned)
}

/// AWS's JSON 1.1: the operation is in a header, errors are a name and a message.
async fn aws(State(lab): State<Arc<Lab>>, headers: HeaderMap, body: Bytes) -> Response {
    let answer = || {
        let region = region(&headers).ok_or_else(|| {
            ApiError::new(
                "MissingAuthenticationTokenException",
                "the request has no SigV4 signature",
            )
        })?;
        let target =
            headers.get("x-amz-target").and_then(|value| value.to_str().ok()).unwrap_or_default();
        let operation = target.strip_prefix("AmazonSSM.").ok_or_else(|| {
            ApiError::new(
                "UnknownOperationException",
                format!("{target:?} is not an operation of SSM"),
            )
        })?;
        let input: Value = serde_json::from_slice(if body.is_empty() { b"{}" } else { &body })
            .map_err(|error| ApiError::new("SerializationException", error.to_string()))?;
        let input = input
            .as_object()
            .ok_or_else(|| ApiError::new("SerializationException", "the body is not an object"))?;
        Request { lab: &lab, region: &region, input }.answer(operation)
    };
    let (status, body) = match answer() {
        Ok(body) => (StatusCode::OK, body),
        Err(error) => {
            (StatusCode::BAD_REQUEST, json!({ "__type": error.code, "message": error.message }))
        }
    };
    (status, [(header::CONTENT_TYPE, "application/x-amz-json-1.1")], body.to_string())
        .into_response()
}

/// An error and its causes, on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

fn reply(result: Result<Value, HostsError>) -> Response {
    let (status, body) = match result {
        Ok(body) => (StatusCode::OK, body),
        Err(error @ (HostsError::UnknownHost(_) | HostsError::UnknownService { .. })) => {
            (StatusCode::NOT_FOUND, json!({ "error": chain(&error) }))
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, json!({ "error": chain(&error) })),
    };
    (status, [(header::CONTENT_TYPE, "application/json")], format!("{body}\n")).into_response()
}

fn describe(host: &Host) -> Value {
    let services: BTreeMap<&String, Value> = host
        .services
        .iter()
        .map(|(name, service)| match service.state() {
            ServiceState::Running(pid) => (name, json!({ "state": "running", "pid": pid })),
            ServiceState::Stopped => (name, json!({ "state": "stopped" })),
        })
        .collect();
    json!({
        "instance_id": host.spec.instance_id,
        "name": host.spec.name,
        "region": host.spec.region,
        "home": host.spec.home,
        "state": host.state().as_str(),
        "services": services,
        "pids": host.pids(),
    })
}

async fn list_hosts(State(lab): State<Arc<Lab>>) -> Response {
    reply(Ok(lab.all_hosts().iter().map(|host| describe(host)).collect()))
}

async fn host_action(
    State(lab): State<Arc<Lab>>,
    Path((id, action)): Path<(String, String)>,
) -> Response {
    let act = async {
        let host = lab.host(&id)?;
        match action.as_str() {
            "boot" => host.boot().await?,
            "kill" => host.kill().await?,
            "freeze" => host.freeze().await?,
            "thaw" => host.thaw().await,
            _ => return Ok(None),
        }
        Ok(Some(describe(&host)))
    };
    match act.await {
        Ok(None) => (StatusCode::NOT_FOUND, "actions: boot, kill, freeze, thaw\n").into_response(),
        Ok(Some(body)) => reply(Ok(body)),
        Err(error) => reply(Err(error)),
    }
}

async fn service_action(
    State(lab): State<Arc<Lab>>,
    Path((id, name, action)): Path<(String, String, String)>,
) -> Response {
    let act = async {
        let host = lab.host(&id)?;
        match action.as_str() {
            "start" => {
                host.start_service(&name).await?;
            }
            "stop" => host.stop_service(&name).await?,
            "restart" => {
                host.stop_service(&name).await?;
                host.start_service(&name).await?;
            }
            "status" => {}
            _ => return Ok(None),
        }
        Ok(Some(match host.service(&name)?.state() {
            ServiceState::Running(pid) => {
                json!({ "service": name, "state": "running", "pid": pid })
            }
            ServiceState::Stopped => json!({ "service": name, "state": "stopped" }),
        }))
    };
    match act.await {
        Ok(None) => {
            (StatusCode::NOT_FOUND, "actions: start, stop, restart, status\n").into_response()
        }
        Ok(Some(body)) => reply(Ok(body)),
        Err(error) => reply(Err(error)),
    }
}
