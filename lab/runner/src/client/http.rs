//! The app's API, as its users call it.

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use reqwest::{StatusCode, header, redirect::Policy};
use serde::Deserialize;
use serde_json::json;

use super::ClientError;

/// Ids in one question: below 300 KB, which the app reads in a few milliseconds.
const IDS_AT_ONCE: usize = 5_000;
/// How long the app may take to say which of them exist.
const ASK_WITHIN: Duration = Duration::from_secs(10);
/// A reason is for one line of a report.
const LONGEST_REASON: usize = 160;

/// A client that opens a connection for every request: a kept one would hide that the name now
/// leads elsewhere.
pub(super) fn client() -> Result<reqwest::Client, String> {
    reqwest::Client::builder()
        .no_proxy()
        .redirect(Policy::none())
        .pool_max_idle_per_host(0)
        .build()
        .map_err(|error| reason(&error))
}

/// Writes one ticket at `address`.
pub(super) async fn issue(
    http: &reqwest::Client,
    address: SocketAddr,
    name: &str,
    id: &str,
) -> Result<(), String> {
    #[derive(Deserialize)]
    struct Ticket {
        id: String,
    }
    let answer = http
        .post(format!("http://{address}/tickets"))
        .header(header::HOST, format!("{name}:{}", address.port()))
        .json(&json!({ "id": id }))
        .send()
        .await
        .map_err(|error| reason(&error))?;
    let status = answer.status();
    let body = answer.bytes().await.map_err(|error| reason(&error))?;
    if status != StatusCode::CREATED && status != StatusCode::OK {
        return Err(refusal(status, &body));
    }
    match serde_json::from_slice::<Ticket>(&body) {
        Ok(ticket) if ticket.id == id => Ok(()),
        Ok(ticket) => Err(shorten(&format!("acknowledges another id: {}", ticket.id))),
        Err(error) => {
            Err(shorten(&format!("HTTP {} without the ticket: {error}", status.as_u16())))
        }
    }
}

/// Which of these ids have no ticket at the site behind `address`.
///
/// # Errors
/// [`ClientError::Ask`] when the site's app does not answer: nothing is known about any of them.
pub async fn missing_at(
    address: SocketAddr,
    ids: &[String],
) -> Result<BTreeSet<String>, ClientError> {
    #[derive(Deserialize)]
    struct Found {
        missing: Vec<String>,
    }
    let fail = |reason| ClientError::Ask { address, reason };
    let http = client().map_err(ClientError::Start)?;
    let mut missing = BTreeSet::new();
    for ids in ids.chunks(IDS_AT_ONCE) {
        let answer = http
            .post(format!("http://{address}/tickets/exists"))
            .timeout(ASK_WITHIN)
            .json(&json!({ "ids": ids }))
            .send()
            .await
            .map_err(|error| fail(reason(&error)))?;
        let status = answer.status();
        let body = answer.bytes().await.map_err(|error| fail(reason(&error)))?;
        if status != StatusCode::OK {
            return Err(fail(refusal(status, &body)));
        }
        let found: Found =
            serde_json::from_slice(&body).map_err(|error| fail(error.to_string()))?;
        missing.extend(found.missing);
    }
    Ok(missing)
}

/// The app's refusal: its own words where it has any.
fn refusal(status: StatusCode, body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Refusal {
        detail: String,
    }
    match serde_json::from_slice::<Refusal>(body) {
        Ok(Refusal { detail }) => shorten(&format!("HTTP {}: {detail}", status.as_u16())),
        Err(_) => format!("HTTP {}", status.as_u16()),
    }
}

/// The last cause of an error: those above it only say that a request failed.
fn reason(error: &dyn std::error::Error) -> String {
    let mut last = error;
    while let Some(cause) = last.source() {
        last = cause;
    }
    shorten(&last.to_string())
}

fn shorten(text: &str) -> String {
    if text.chars().count() <= LONGEST_REASON {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(LONGEST_REASON).collect();
    short.push('…');
    short
}
