//! What people would have received: a server that takes Slack webhooks and SNS deliveries.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{Router, extract::State, http::StatusCode, routing::post};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use tokio::{net::TcpListener, task::JoinHandle};

use super::LabError;
use crate::clock;

/// One delivery.
#[derive(Debug, Clone, Serialize)]
pub struct Captured {
    /// `slack` or `sns`.
    pub channel: &'static str,
    /// When it arrived.
    pub at: Timestamp,
    /// What arrived.
    pub body: Value,
}

impl Captured {
    /// Whether the delivery speaks of this stage of a recovery.
    #[must_use]
    pub fn mentions(&self, word: &str) -> bool {
        self.body.to_string().contains(word)
    }
}

type Deliveries = Arc<Mutex<Vec<Captured>>>;

/// The running server.
#[derive(Debug)]
pub struct Capture {
    deliveries: Deliveries,
    server: JoinHandle<()>,
}

impl Capture {
    pub(crate) async fn start(listen: SocketAddr) -> Result<Self, LabError> {
        let listener = TcpListener::bind(listen)
            .await
            .map_err(|error| LabError::from_error(&format!("listen on {listen}"), &error))?;
        let deliveries = Deliveries::default();
        let router = Router::new()
            .route("/slack/{token}", post(slack))
            .route("/sns", post(sns))
            .with_state(Arc::clone(&deliveries));
        let server = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!(%error, "the capture server ended");
            }
        });
        Ok(Self { deliveries, server })
    }

    /// Everything that has arrived, oldest first.
    #[must_use]
    pub fn deliveries(&self) -> Vec<Captured> {
        self.deliveries.lock().map(|list| list.clone()).unwrap_or_default()
    }

    pub(crate) async fn stop(self) {
        self.server.abort();
        // An aborted task ends with an error, which is what was asked for.
        let _ = self.server.await;
    }
}

fn keep(deliveries: &Deliveries, channel: &'static str, text: &str) {
    let body = serde_json::from_str(text).unwrap_or_else(|_| Value::from(text));
    if let Ok(mut list) = deliveries.lock() {
        list.push(Captured { channel, at: clock::now(), body });
    }
}

fn text_of<'a>(body: &'a Value, key: &str) -> Option<&'a str> {
    body.get(key).and_then(Value::as_str)
}

/// Slack answers `ok` to what it takes, and refuses what has no text.
async fn slack(State(deliveries): State<Deliveries>, text: String) -> (StatusCode, &'static str) {
    let body: Value = serde_json::from_str(&text).unwrap_or_default();
    if text_of(&body, "text").is_none_or(str::is_empty) && body.get("attachments").is_none() {
        return (StatusCode::BAD_REQUEST, "no_text");
    }
    keep(&deliveries, "slack", &text);
    (StatusCode::OK, "ok")
}

/// A subscriber confirms its subscription by fetching the address that SNS sends it.
async fn sns(State(deliveries): State<Deliveries>, text: String) -> StatusCode {
    let body: Value = serde_json::from_str(&text).unwrap_or_default();
    if text_of(&body, "Type") == Some("SubscriptionConfirmation") {
        if let Some(url) = text_of(&body, "SubscribeURL").and_then(|url| url.parse().ok()) {
            tokio::spawn(confirm(url));
        }
    } else {
        keep(&deliveries, "sns", &text);
    }
    StatusCode::OK
}

/// Fetches the confirmation from the emulator, whatever host name the URL has: nothing of the lab
/// leaves this machine.
async fn confirm(mut url: reqwest::Url) {
    let emulator = super::config::EMULATOR;
    let here = url.set_ip_host(emulator.ip()).and_then(|()| url.set_port(Some(emulator.port())));
    if here.is_err() || url.set_scheme("http").is_err() {
        return;
    }
    if let Err(error) = reqwest::get(url).await {
        tracing::warn!(%error, "confirm the SNS subscription");
    }
}
