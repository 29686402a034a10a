//! Structured logs: one JSON object a line, one span per invocation.
//!
//! ERROR means that a person is needed, WARN that something was refused or has to be tried again.

use lifeboat_core::{ErrorName, Fault};
use serde_json::Value;
use tracing::{Span, field::Empty};
use tracing_subscriber::{EnvFilter, filter::LevelFilter, fmt::MakeWriter};

/// The subscriber that [`crate::serve()`] installs. `level` is `LOG_LEVEL`; anything that is not a
/// level is read as `info`.
///
/// Other crates never go below `warn`, whatever the level, because the AWS SDK's and the HTTP
/// client's traces show requests, credentials included. The Lambda runtime's own line for a failed
/// handler is off: a fault is logged once, here, with the name that says how bad it is.
pub(crate) fn subscriber<W>(level: Option<&str>, writer: W) -> impl tracing::Subscriber
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let level = level.and_then(|level| level.parse::<LevelFilter>().ok());
    let level = level.unwrap_or(LevelFilter::INFO);
    let filter = EnvFilter::new(format!(
        "{level},aws=warn,hyper=warn,h2=warn,rustls=warn,tokio_postgres=warn,tower=warn,\
         lambda_runtime=warn,lambda_runtime::layers::panic=off"
    ));
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_span_list(false)
        .with_env_filter(filter)
        .with_writer(writer)
        .finish()
}

/// The span of one invocation, with what the request says about whom it is for.
pub(crate) fn span(service: &str, request_id: &str, request: &Value, cold_start: bool) -> Span {
    let span = tracing::info_span!(
        "invocation",
        service,
        request_id,
        cold_start,
        action = Empty,
        app = Empty,
        incident = Empty,
        epoch = Empty,
    );
    let find = |name| request.get("authority").and_then(|a| a.get(name)).or(request.get(name));
    for name in ["action", "app", "incident"] {
        if let Some(text) = find(name).and_then(Value::as_str) {
            span.record(name, text);
        }
    }
    if let Some(epoch) = find("epoch").and_then(Value::as_u64) {
        span.record("epoch", epoch);
    }
    span
}

/// Logs where a panic happened. Not what it said: that may hold anything, a secret included.
pub(crate) fn panicked(location: Option<&std::panic::Location<'_>>) {
    let location = location.map(ToString::to_string).unwrap_or_default();
    tracing::error!(location, "panicked");
}

/// Logs a fault once, at the level that its name deserves.
pub(crate) fn fault(fault: &Fault) {
    let error = fault.name.as_str();
    match fault.name {
        ErrorName::NeedsHuman | ErrorName::InvalidInput => {
            tracing::error!(error, "{}", fault.message);
        }
        ErrorName::Transient | ErrorName::Refused | ErrorName::StaleEpoch => {
            tracing::warn!(error, "{}", fault.message);
        }
        ErrorName::NotReady => tracing::info!(error, "{}", fault.message),
    }
}
