//! The admin API: the same operations as [`Faults`] and [`CallLog`], for other processes.

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;

use super::authorize::Authorizer;
use super::calls::CallLog;
use super::faults::{DarkRegion, Faults};
use super::rule::FaultRule;
use super::violations::{Declared, Violations};

#[derive(Clone, Debug)]
pub(super) struct Admin {
    pub(super) faults: Faults,
    pub(super) calls: CallLog,
    pub(super) violations: Violations,
    pub(super) authorizer: Authorizer,
}

#[derive(Debug, Deserialize)]
struct Since {
    #[serde(default)]
    since: u64,
}

pub(super) fn router(admin: Admin) -> Router {
    Router::new()
        .route("/health", get(health))
        .route("/faults", get(list_faults).post(add_fault).delete(clear_faults))
        .route("/faults/{id}", delete(remove_fault))
        .route("/dark", get(list_dark).post(darken))
        .route("/dark/{region}", delete(lighten))
        .route("/calls", get(calls))
        .route("/violations", get(violations))
        .route("/violations/declared", post(declare))
        .route("/reset", post(reset))
        .with_state(admin)
}

async fn health(State(admin): State<Admin>) -> Response {
    Json(json!({"status": "ok", "faults": admin.faults.list().len(), "last_seq": admin.calls.last_seq()}))
        .into_response()
}

async fn list_faults(State(admin): State<Admin>) -> Response {
    Json(admin.faults.list()).into_response()
}

async fn add_fault(State(admin): State<Admin>, Json(rule): Json<FaultRule>) -> Response {
    match admin.faults.add(rule) {
        Ok(id) => (StatusCode::CREATED, Json(json!({"id": id}))).into_response(),
        Err(error) => {
            (StatusCode::BAD_REQUEST, Json(json!({"error": error.to_string()}))).into_response()
        }
    }
}

async fn clear_faults(State(admin): State<Admin>) -> StatusCode {
    admin.faults.clear();
    StatusCode::NO_CONTENT
}

async fn remove_fault(State(admin): State<Admin>, Path(id): Path<String>) -> Response {
    if admin.faults.remove(&id) {
        StatusCode::NO_CONTENT.into_response()
    } else {
        let error = format!("no fault rule {id}; GET /faults lists them");
        (StatusCode::NOT_FOUND, Json(json!({"error": error}))).into_response()
    }
}

async fn list_dark(State(admin): State<Admin>) -> Response {
    Json(admin.faults.dark()).into_response()
}

async fn darken(State(admin): State<Admin>, Json(dark): Json<DarkRegion>) -> StatusCode {
    admin.faults.darken(&dark);
    StatusCode::NO_CONTENT
}

async fn lighten(State(admin): State<Admin>, Path(region): Path<String>) -> Response {
    if admin.faults.lighten(&region) {
        StatusCode::NO_CONTENT.into_response()
    } else {
        let error = format!("region {region} is not dark; GET /dark lists those that are");
        (StatusCode::NOT_FOUND, Json(json!({"error": error}))).into_response()
    }
}

async fn calls(State(admin): State<Admin>, Query(query): Query<Since>) -> Response {
    Json(admin.calls.since(query.since)).into_response()
}

async fn violations(State(admin): State<Admin>) -> Response {
    Json(json!({"found": admin.violations.all(), "held": admin.violations.held()})).into_response()
}

async fn declare(State(admin): State<Admin>, Json(declared): Json<Declared>) -> StatusCode {
    admin.violations.declare(declared);
    StatusCode::NO_CONTENT
}

async fn reset(State(admin): State<Admin>) -> StatusCode {
    admin.faults.clear();
    admin.calls.clear();
    admin.authorizer.forget();
    StatusCode::NO_CONTENT
}
