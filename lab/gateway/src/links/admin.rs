//! The admin API of the links.

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;

use super::state::{LinkState, Links, UnknownLink};

#[derive(Debug, Deserialize)]
struct Prefix {
    #[serde(default)]
    prefix: String,
}

pub(super) fn router(links: Links) -> Router {
    Router::new()
        .route("/links", get(list).put(set_prefix))
        .route("/links/{name}", get(status).put(set))
        .with_state(links)
}

async fn list(State(links): State<Links>) -> Response {
    Json(links.list()).into_response()
}

async fn set_prefix(
    State(links): State<Links>,
    Query(query): Query<Prefix>,
    Json(state): Json<LinkState>,
) -> Response {
    let names = links.set_prefix(&query.prefix, state);
    if names.is_empty() {
        return unknown(&UnknownLink(format!("{}*", query.prefix)));
    }
    Json(json!({"links": names})).into_response()
}

async fn status(State(links): State<Links>, Path(name): Path<String>) -> Response {
    match links.get(&name) {
        Ok(status) => Json(status).into_response(),
        Err(error) => unknown(&error),
    }
}

async fn set(
    State(links): State<Links>,
    Path(name): Path<String>,
    Json(state): Json<LinkState>,
) -> Response {
    match links.set(&name, state) {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => unknown(&error),
    }
}

fn unknown(error: &UnknownLink) -> Response {
    (StatusCode::NOT_FOUND, Json(json!({"error": error.to_string()}))).into_response()
}
