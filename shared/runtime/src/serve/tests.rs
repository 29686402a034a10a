use std::{
    io::Write,
    sync::{Arc, Mutex},
};

use lifeboat_core::{AppName, ErrorName};
use serde::Deserialize;
use serde_json::json;

use super::*;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    app: AppName,
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Lines {
    fn read(&self) -> Vec<Value> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// The answer of a handler that fails with `outcome`, and the lines it logged.
fn run(payload: Value, outcome: Result<(), Fault>) -> (Result<Value, Diagnostic>, Vec<Value>) {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = logs::subscriber(Some("info"), move || writer.clone());
    let handler = |request: Request, invocation: Invocation| {
        let outcome = outcome.clone();
        async move {
            assert_ne!(request.app.as_str(), "panics", "asked to");
            outcome.map(|()| json!({"app": request.app, "id": invocation.request_id}))
        }
    };
    let invocation = Invocation { request_id: "r-1".into(), deadline: Timestamp::UNIX_EPOCH };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let result = tracing::subscriber::with_default(subscriber, || {
        runtime.block_on(invoke("probe", &handler, payload, invocation, true))
    });
    (result, lines.read())
}

#[test]
fn an_answer_passes_through_and_the_span_says_whom_it_was_for() {
    let (result, lines) = run(json!({"app": "queue"}), Ok(()));
    assert_eq!(result.unwrap(), json!({"app": "queue", "id": "r-1"}));
    assert_eq!(lines.len(), 1);
    let span = &lines[0]["span"];
    assert_eq!(span["service"], "probe");
    assert_eq!(span["app"], "queue");
    assert_eq!(span["request_id"], "r-1");
    assert_eq!(span["cold_start"], true);
    assert_eq!(span.get("incident"), None);
}

#[test]
fn a_fault_reaches_the_machine_by_its_name_and_the_log_once() {
    for name in ErrorName::ALL {
        let (result, lines) = run(json!({"app": "queue"}), Err(Fault::new(name, "why")));
        let expected = Diagnostic { error_type: name.as_str().into(), error_message: "why".into() };
        assert_eq!(result.unwrap_err(), expected);
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert_eq!(lines[0]["error"], name.as_str());
        assert_eq!(lines[0]["message"], "why");
        let human = matches!(name, ErrorName::NeedsHuman | ErrorName::InvalidInput);
        assert_eq!(lines[0]["level"] == "ERROR", human, "{lines:?}");
    }
}

#[test]
fn a_request_that_breaks_the_contract_is_invalid_input_and_names_the_place() {
    for (payload, says) in [
        (json!({}), "`app`"),
        (json!({"app": "q ueue"}), "at app: `q ueue` is not an app name"),
        (json!({"app": "queue", "extra": 1}), "`extra`"),
        (json!([]), "the contract"),
    ] {
        let diagnostic = run(payload, Ok(())).0.unwrap_err();
        assert_eq!(diagnostic.error_type, "InvalidInput");
        assert!(diagnostic.error_message.contains(says), "{diagnostic:?}");
    }
}

#[test]
fn a_panic_is_a_fault_that_needs_a_human() {
    let (result, _) = run(json!({"app": "panics"}), Ok(()));
    let diagnostic = result.unwrap_err();
    assert_eq!(diagnostic.error_type, "NeedsHuman");
    assert!(!diagnostic.error_message.contains("asked to"));
}

#[test]
fn a_panic_is_logged_by_its_place() {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = logs::subscriber(None, move || writer.clone());
    let here = std::panic::Location::caller();
    tracing::subscriber::with_default(subscriber, || logs::panicked(Some(here)));
    assert_eq!(lines.read()[0]["location"], here.to_string());
    assert_eq!(lines.read()[0]["level"], "ERROR");
}

#[test]
fn the_span_looks_into_the_authority_first() {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = logs::subscriber(None, move || writer.clone());
    let request = json!({
        "action": "claim",
        "authority": {"app": "queue", "incident": "i-1", "epoch": 2, "site": "b"},
    });
    tracing::subscriber::with_default(subscriber, || {
        let _entered = logs::span("recovery-log", "r", &request, false).entered();
        tracing::info!("x");
        tracing::debug!("below the level");
        tracing::info!(target: "aws_smithy_runtime", "may show credentials");
    });
    let lines = lines.read();
    assert_eq!(lines.len(), 1);
    let span = &lines[0]["span"];
    assert_eq!((&span["incident"], &span["epoch"]), (&json!("i-1"), &json!(2)));
    assert_eq!((&span["action"], &span["app"]), (&json!("claim"), &json!("queue")));
}

#[tokio::test]
async fn a_handler_is_stopped_before_the_service_would_stop_the_process() {
    let deadline = clock::now() + jiff::SignedDuration::from_millis(350);
    let fault = in_time(deadline, std::future::pending::<Result<(), Fault>>()).await.unwrap_err();
    assert_eq!(fault.name, ErrorName::Transient);
    assert!(clock::now() < deadline);
    // A clock that is wrong must not stop everything.
    assert_eq!(in_time(Timestamp::UNIX_EPOCH, async { Ok(1) }).await, Ok(1));
}
