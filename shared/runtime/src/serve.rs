//! The loop of a function: request, handler, answer.

use std::{
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::atomic::{AtomicBool, Ordering},
    task::Poll,
    time::Duration,
};

use jiff::Timestamp;
use lambda_runtime::{Diagnostic, LambdaEvent, Runtime, service_fn};
use lifeboat_core::Fault;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use tracing::Instrument;

use crate::{clock, env, logs};

/// How long before the Lambda service would stop the process a handler is stopped instead, so that
/// the caller gets a named fault and the log gets its line: a fault takes a few milliseconds.
const MARGIN: Duration = Duration::from_millis(300);

/// What the Lambda service says of an invocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invocation {
    /// The id that the log lines of this invocation carry.
    pub request_id: String,
    /// When the function will be stopped.
    pub deadline: Timestamp,
}

/// Serves invocations until the Lambda service stops the process.
///
/// Each request is read as `Req`, with unknown fields refused by the contract; a [`Fault`] reaches
/// the state machine as its name and its message. A handler that panics is a fault that needs a
/// human, like any other defect, and one that outlives the invocation's time is `Transient`: what
/// it was doing may have taken effect, and every request may be made again.
///
/// # Errors
/// When the Lambda runtime API cannot be reached or speaks another protocol.
pub async fn serve<Req, Resp, F, Fut>(
    service: &'static str,
    handler: F,
) -> Result<(), lambda_runtime::Error>
where
    Req: DeserializeOwned,
    Resp: Serialize,
    F: Fn(Req, Invocation) -> Fut,
    Fut: Future<Output = Result<Resp, Fault>>,
{
    let subscriber = logs::subscriber(env::optional("LOG_LEVEL").as_deref(), std::io::stdout);
    tracing::subscriber::set_global_default(subscriber)?;
    std::panic::set_hook(Box::new(|panic| logs::panicked(panic.location())));
    let cold = AtomicBool::new(true);
    let (handler, cold) = (&handler, &cold);
    Runtime::new(service_fn(move |event: LambdaEvent<Value>| async move {
        let invocation = Invocation {
            request_id: event.context.request_id,
            deadline: deadline(event.context.deadline),
        };
        let cold_start = cold.swap(false, Ordering::Relaxed);
        // On the heap: a handler's future holds whole SDK calls.
        Box::pin(invoke(service, handler, event.payload, invocation, cold_start)).await
    }))
    .run()
    .await
}

/// One invocation, from the request's JSON to the answer's.
async fn invoke<Req, Resp, F, Fut>(
    service: &str,
    handler: &F,
    payload: Value,
    invocation: Invocation,
    cold_start: bool,
) -> Result<Value, Diagnostic>
where
    Req: DeserializeOwned,
    Resp: Serialize,
    F: Fn(Req, Invocation) -> Fut,
    Fut: Future<Output = Result<Resp, Fault>>,
{
    let span = logs::span(service, &invocation.request_id, &payload, cold_start);
    let deadline = invocation.deadline;
    let work = async {
        let request = read(payload)?;
        let response = in_time(deadline, handler(request, invocation)).await?;
        serde_json::to_value(&response)
            .map_err(|error| Fault::needs_human(format!("the answer is not JSON: {error}")))
    };
    async {
        let result = contain(work).await;
        match &result {
            Ok(_) => tracing::info!("done"),
            Err(fault) => logs::fault(fault),
        }
        result.map_err(diagnostic)
    }
    .instrument(span)
    .await
}

/// A fault as Step Functions sees it: `ErrorEquals` matches the name.
fn diagnostic(fault: Fault) -> Diagnostic {
    Diagnostic { error_type: fault.name.as_str().to_owned(), error_message: fault.message }
}

fn read<Req: DeserializeOwned>(payload: Value) -> Result<Req, Fault> {
    serde_path_to_error::deserialize(payload).map_err(|error| {
        let place = error.path().to_string();
        let cause = error.into_inner();
        if place == "." {
            Fault::invalid(format!("the request does not follow the contract: {cause}"))
        } else {
            Fault::invalid(format!("the request does not follow the contract at {place}: {cause}"))
        }
    })
}

fn deadline(milliseconds: u64) -> Timestamp {
    i64::try_from(milliseconds)
        .ok()
        .and_then(|milliseconds| Timestamp::from_millisecond(milliseconds).ok())
        .unwrap_or_else(clock::now)
}

/// The outcome of `work`, or a fault shortly before `deadline`. A deadline that has passed already
/// is a clock that disagrees with the service's, and limits nothing.
async fn in_time<T>(
    deadline: Timestamp,
    work: impl Future<Output = Result<T, Fault>>,
) -> Result<T, Fault> {
    let left = Duration::try_from(deadline.duration_since(clock::now())).unwrap_or_default();
    let Some(limit) = left.checked_sub(MARGIN) else { return work.await };
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| {
        Err(Fault::transient(format!(
            "the function had {:.1} s and was not done; make the same request again",
            limit.as_secs_f64()
        )))
    })
}

/// The outcome of `work`, with a panic in it turned into a fault. What it panicked with stays out
/// of the message: it was not written for the person who reads it, and may hold anything.
async fn contain<T>(work: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
    let mut work = pin!(work);
    std::future::poll_fn(|context| {
        catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))).unwrap_or_else(|_| {
            Poll::Ready(Err(Fault::needs_human(
                "the function panicked, which is a defect; the line before this one in its log \
                 says where",
            )))
        })
    })
    .await
}

#[cfg(test)]
mod tests;
