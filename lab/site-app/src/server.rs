//! The HTTP side of the app.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::clock::pause;
use crate::database::Database;
use crate::health::Status;
use crate::page::page;
use crate::redis::Redis;
use crate::site::SiteFiles;
use crate::tickets::{TicketError, Tickets};

/// The longest id of a ticket, in bytes.
const MAX_ID_BYTES: usize = 200;

/// The largest body: a drill's client asks for all its tickets in one request.
const MAX_BODY_BYTES: usize = 32 * 1024 * 1024;

/// What the app is started with.
#[derive(Debug, Clone)]
pub struct AppConfig {
    /// `site.json` and `permit.json`.
    pub files: SiteFiles,
    /// Redis, as `host:port`.
    pub redis: String,
    /// The database's user.
    pub db_user: String,
    /// Its password. Where it is, is given on the command line; itself it never is.
    pub db_password: String,
    /// While this file exists, the number of milliseconds in it is added to each answer: the lab's slow-primary fault.
    pub slow_file: Option<PathBuf>,
}

/// The app's routes.
pub fn router(config: AppConfig) -> Router {
    let tickets = Arc::new(Tickets {
        files: config.files,
        database: Database::new(config.db_user, config.db_password),
        redis: Redis::new(config.redis),
    });
    Router::new()
        .route("/", get(home))
        .route("/health", get(health))
        .route("/tickets", post(issue))
        .route("/tickets/exists", post(exists))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(from_fn_with_state(Arc::new(config.slow_file), slow))
        .with_state(tickets)
}

fn answer(status: StatusCode, body: &impl serde::Serialize) -> Response {
    match serde_json::to_string(body) {
        Ok(body) => (
            status,
            [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")],
            body,
        )
            .into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

fn invalid(detail: impl std::fmt::Display) -> Response {
    answer(
        StatusCode::BAD_REQUEST,
        &json!({ "error": "invalid_request", "detail": detail.to_string() }),
    )
}

fn refused(error: &TicketError) -> Response {
    let mut body = json!({ "error": error.code(), "detail": error.to_string() });
    if let (Some(object), Some(reason)) = (body.as_object_mut(), error.reason()) {
        object.insert("reason".to_owned(), Value::from(reason));
    }
    answer(StatusCode::SERVICE_UNAVAILABLE, &body)
}

async fn issue(State(tickets): State<Arc<Tickets>>, body: Bytes) -> Response {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Wanted {
        id: String,
    }
    match serde_json::from_slice::<Wanted>(&body) {
        Err(error) => invalid(error),
        Ok(Wanted { id }) if id.is_empty() || id.len() > MAX_ID_BYTES || id.contains('\0') => {
            invalid(format!("id must have 1 to {MAX_ID_BYTES} bytes, none of them zero"))
        }
        Ok(Wanted { id }) => match tickets.issue(&id).await {
            Ok(ticket) => answer(StatusCode::CREATED, &ticket),
            Err(error) => refused(&error),
        },
    }
}

async fn exists(State(tickets): State<Arc<Tickets>>, body: Bytes) -> Response {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Wanted {
        ids: Vec<String>,
    }
    match serde_json::from_slice::<Wanted>(&body) {
        Err(error) => invalid(error),
        Ok(Wanted { ids }) => match tickets.missing(ids).await {
            Ok(missing) => answer(StatusCode::OK, &json!({ "missing": missing })),
            Err(error) => refused(&error),
        },
    }
}

async fn health(State(tickets): State<Arc<Tickets>>) -> Response {
    let health = tickets.health().await;
    let status = match health.status {
        Status::Ok => StatusCode::OK,
        Status::Degraded | Status::Down => StatusCode::SERVICE_UNAVAILABLE,
    };
    answer(status, &health)
}

async fn home(State(tickets): State<Arc<Tickets>>) -> Html<String> {
    let health = tickets.health().await;
    let summary = match tickets.files.site() {
        Ok(site) => tickets.summary(&site).await.map_err(|error| error.to_string()),
        Err(why) => Err(why),
    };
    Html(page(&health, summary))
}

/// Adds the milliseconds in the slow file, when there is one, to an answer.
async fn slow(State(file): State<Arc<Option<PathBuf>>>, request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    let text = file.as_deref().and_then(|path| std::fs::read_to_string(path).ok());
    if let Some(milliseconds) = text.and_then(|text| text.trim().parse().ok()) {
        pause(Duration::from_millis(milliseconds)).await;
    }
    response
}
