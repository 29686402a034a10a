//! What people would have received: a server that takes Slack webhooks and SNS deliveries.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{Router, extract::State, http::StatusCode, routing::post};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use tokio::{net::TcpListener, sync::Notify, task::JoinHandle};

use super::{Aws, LabError};
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

    /// The page as whoever subscribed by mail reads it; none of a webhook, which says the same.
    #[must_use]
    pub fn page(&self) -> Option<String> {
        let subject = text_of(&self.body, "Subject").filter(|_| self.channel == "sns")?;
        let message = text_of(&self.body, "Message").unwrap_or_default();
        let lines: Vec<String> = message.lines().map(|line| format!("        {line}")).collect();
        Some(format!("  page  {subject}\n{}", lines.join("\n")))
    }
}

type Deliveries = Arc<Mutex<Vec<Captured>>>;

/// What the server's handlers share.
#[derive(Debug, Clone)]
struct Shared {
    deliveries: Deliveries,
    arrived: Arc<Notify>,
    aws: Aws,
}

/// The running server.
#[derive(Debug)]
pub struct Capture {
    deliveries: Deliveries,
    arrived: Arc<Notify>,
    server: JoinHandle<()>,
}

impl Capture {
    pub(crate) async fn start(listen: SocketAddr, aws: Aws) -> Result<Self, LabError> {
        let listener = TcpListener::bind(listen)
            .await
            .map_err(|error| LabError::from_error(&format!("listen on {listen}"), &error))?;
        let (deliveries, arrived) = (Deliveries::default(), Arc::<Notify>::default());
        let router =
            Router::new().route("/slack/{token}", post(slack)).route("/sns", post(sns)).with_state(
                Shared { deliveries: Arc::clone(&deliveries), arrived: Arc::clone(&arrived), aws },
            );
        let server = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!(%error, "the capture server ended");
            }
        });
        Ok(Self { deliveries, arrived, server })
    }

    /// Everything that has arrived, oldest first.
    #[must_use]
    pub fn deliveries(&self) -> Vec<Captured> {
        self.deliveries.lock().map(|list| list.clone()).unwrap_or_default()
    }

    /// What arrives after the first `seen`, as soon as there is any. One may wait at a time.
    pub async fn after(&self, seen: usize) -> Vec<Captured> {
        loop {
            let new: Vec<Captured> = self.deliveries().into_iter().skip(seen).collect();
            if !new.is_empty() {
                return new;
            }
            self.arrived.notified().await;
        }
    }

    pub(crate) async fn stop(self) {
        self.server.abort();
        // An aborted task ends with an error, which is what was asked for.
        let _ = self.server.await;
    }
}

fn keep(shared: &Shared, channel: &'static str, text: &str) {
    let body = serde_json::from_str(text).unwrap_or_else(|_| Value::from(text));
    if let Ok(mut list) = shared.deliveries.lock() {
        list.push(Captured { channel, at: clock::now(), body });
    }
    shared.arrived.notify_one();
}

fn text_of<'a>(body: &'a Value, key: &str) -> Option<&'a str> {
    body.get(key).and_then(Value::as_str)
}

/// Slack answers `ok` to what it takes, and refuses what has no text.
async fn slack(State(shared): State<Shared>, text: String) -> (StatusCode, &'static str) {
    let body: Value = serde_json::from_str(&text).unwrap_or_default();
    if text_of(&body, "text").is_none_or(str::is_empty) && body.get("attachments").is_none() {
        return (StatusCode::BAD_REQUEST, "no_text");
    }
    keep(&shared, "slack", &text);
    (StatusCode::OK, "ok")
}

/// A subscriber confirms its subscription with the token that SNS sends it.
async fn sns(State(shared): State<Shared>, text: String) -> StatusCode {
    let body: Value = serde_json::from_str(&text).unwrap_or_default();
    if text_of(&body, "Type") == Some("SubscriptionConfirmation") {
        let word = |key: &str| text_of(&body, key).unwrap_or_default().to_owned();
        let (topic, token) = (word("TopicArn"), word("Token"));
        tokio::spawn(async move {
            let region = topic.split(':').nth(3).unwrap_or_default();
            let answer = [("TopicArn", topic.as_str()), ("Token", token.as_str())];
            let action = "ConfirmSubscription";
            if let Err(error) = shared.aws.query(region, "sns", "2010-03-31", action, &answer).await
            {
                tracing::error!(%error, "confirm the SNS subscription");
            }
        });
    } else {
        keep(&shared, "sns", &text);
    }
    StatusCode::OK
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Captured;
    use crate::clock;

    #[test]
    fn a_page_is_shown_once_with_its_message_below_its_subject() {
        let body = json!({ "Subject": "recovery started", "Message": "site a\nis down" });
        let sns = Captured { channel: "sns", at: clock::now(), body };
        let shown = "  page  recovery started\n        site a\n        is down";
        assert_eq!(sns.page().as_deref(), Some(shown));
        assert_eq!(Captured { channel: "slack", ..sns }.page(), None);
    }
}
