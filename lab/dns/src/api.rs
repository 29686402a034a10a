//! The status API over HTTP: JSON of our own, and AWS's `GetHealthCheckStatus`.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Path, State as Shared},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use serde::Serialize;

use crate::{
    report::{AnswerChange, CheckerReport, Records},
    state::State,
};

/// Namespace of Route 53's XML.
const NAMESPACE: &str = "https://route53.amazonaws.com/doc/2013-04-01/";

pub(crate) fn router(state: Arc<State>) -> Router {
    Router::new()
        .route("/health", get(health))
        .route("/records", get(records))
        .route("/changes", get(changes))
        .route("/2013-04-01/healthcheck/{id}/status", get(status))
        .with_state(state)
}

/// 200 once the control plane was read, 503 before: until then there is nothing to answer with.
async fn health(Shared(state): Shared<Arc<State>>) -> Response {
    let mirror = state.report().mirror;
    let code = if mirror.loaded { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, Json(mirror)).into_response()
}

async fn records(Shared(state): Shared<Arc<State>>) -> Json<Records> {
    Json(state.report())
}

async fn changes(Shared(state): Shared<Arc<State>>) -> Json<Vec<AnswerChange>> {
    Json(state.changes())
}

/// `GetHealthCheckStatus`:
/// <https://docs.aws.amazon.com/Route53/latest/APIReference/API_GetHealthCheckStatus.html>.
async fn status(Shared(state): Shared<Arc<State>>, Path(id): Path<String>) -> Response {
    let check = state.report().health_checks.into_iter().find(|check| check.id == id);
    match check {
        None => error(
            StatusCode::NOT_FOUND,
            "NoSuchHealthCheck",
            format!("A health check with id {id} does not exist."),
        ),
        Some(check) if check.calculated => error(
            StatusCode::BAD_REQUEST,
            "InvalidInput",
            "The status of a calculated health check is not available through this operation; \
             GET /records shows it."
                .to_owned(),
        ),
        Some(check) => xml(
            StatusCode::OK,
            "GetHealthCheckStatusResponse",
            &Status {
                namespace: NAMESPACE,
                observations: Observations {
                    items: check.checkers.into_iter().filter_map(observation).collect(),
                },
            },
        ),
    }
}

fn observation(checker: CheckerReport) -> Option<Observation> {
    Some(Observation {
        region: checker.region,
        // Every checker of the lab asks from this machine.
        address: "127.0.0.1",
        report: StatusReport {
            status: checker.status?,
            checked_time: format!("{:.3}", checker.checked_at?),
        },
    })
}

fn error(code: StatusCode, name: &'static str, message: String) -> Response {
    let error = ErrorDetail { kind: "Sender", code: name, message };
    xml(code, "ErrorResponse", &Failure { namespace: NAMESPACE, error, request_id: "lab" })
}

fn xml(code: StatusCode, root: &str, body: &impl Serialize) -> Response {
    match quick_xml::se::to_string_with_root(root, body) {
        Ok(body) => {
            let body = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{body}");
            (code, [(header::CONTENT_TYPE, "text/xml")], body).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

#[derive(Serialize)]
struct Status {
    #[serde(rename = "@xmlns")]
    namespace: &'static str,
    #[serde(rename = "HealthCheckObservations")]
    observations: Observations,
}

#[derive(Serialize)]
struct Observations {
    #[serde(rename = "HealthCheckObservation")]
    items: Vec<Observation>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Observation {
    region: String,
    #[serde(rename = "IPAddress")]
    address: &'static str,
    #[serde(rename = "StatusReport")]
    report: StatusReport,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct StatusReport {
    status: String,
    checked_time: String,
}

#[derive(Serialize)]
struct Failure {
    #[serde(rename = "@xmlns")]
    namespace: &'static str,
    #[serde(rename = "Error")]
    error: ErrorDetail,
    #[serde(rename = "RequestId")]
    request_id: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ErrorDetail {
    #[serde(rename = "Type")]
    kind: &'static str,
    code: &'static str,
    message: String,
}
