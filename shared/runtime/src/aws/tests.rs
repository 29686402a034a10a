use aws_smithy_runtime_api::{client::result::ConnectorError, http::StatusCode};
use aws_smithy_types::{body::SdkBody, error::ErrorMetadata};

use super::*;

#[derive(Debug, thiserror::Error)]
#[error("service error")]
struct ServiceError(ErrorMetadata);

impl ProvideErrorMetadata for ServiceError {
    fn meta(&self) -> &ErrorMetadata {
        &self.0
    }
}

fn answered(code: &str, message: &str, status: u16) -> Fault {
    let mut meta = ErrorMetadata::builder();
    if !code.is_empty() {
        meta = meta.code(code).message(message);
    }
    let raw = HttpResponse::new(StatusCode::try_from(status).unwrap(), SdkBody::empty());
    fault("read the plan", SdkError::service_error(ServiceError(meta.build()), raw))
}

fn unanswered(error: SdkError<ServiceError, HttpResponse>) -> Fault {
    fault("read the plan", error)
}

#[test]
fn what_passes_by_itself_is_transient() {
    for (code, status) in [
        ("ThrottlingException", 400),
        ("SlowDown", 503),
        ("", 500),
        ("Unheard", 502),
        ("TooManyRequestsException", 429),
        ("ConditionalRequestConflict", 409),
    ] {
        assert_eq!(answered(code, "m", status).name, ErrorName::Transient, "{code} {status}");
    }
    for error in [
        SdkError::timeout_error("deadline"),
        SdkError::dispatch_failure(ConnectorError::timeout("deadline".into())),
        SdkError::dispatch_failure(ConnectorError::io("refused".into())),
        SdkError::dispatch_failure(ConnectorError::other("dns".into(), None)),
    ] {
        assert_eq!(unanswered(error).name, ErrorName::Transient);
    }
}

#[test]
fn what_needs_a_hand_needs_a_human() {
    for code in
        ["AccessDenied", "AccessDeniedException", "UnrecognizedClientException", "NoSuchBucket"]
    {
        let fault = answered(code, "not authorized to perform: s3:PutObject", 403);
        assert_eq!(fault.name, ErrorName::NeedsHuman, "{code}");
        assert_eq!(
            fault.message,
            format!("read the plan failed: {code}: not authorized to perform: s3:PutObject")
        );
    }
    for error in [
        SdkError::construction_failure("no bucket"),
        SdkError::dispatch_failure(ConnectorError::user("bad endpoint".into())),
    ] {
        assert_eq!(unanswered(error).name, ErrorName::NeedsHuman);
    }
}

#[test]
fn a_message_is_one_line_and_never_the_signed_request() {
    let fault = answered("InvalidThing", "first\n  second\t third", 400);
    assert_eq!(fault.message, "read the plan failed: InvalidThing: first second third");
    let fault = answered("SignatureDoesNotMatch", "x-amz-security-token:s3cr3t", 403);
    assert!(!fault.message.contains("s3cr3t"), "{fault}");
    let fault = answered("InvalidThing", &"long ".repeat(1000), 400);
    assert!(fault.message.chars().count() <= 400);
}

/// An error of a layer around another one.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Layer(&'static str, #[source] Box<dyn Error + Send + Sync>);

#[test]
fn a_call_that_nobody_answers_says_what_happened_and_not_the_layers_around_it() {
    let refused = std::io::Error::from_raw_os_error(111);
    let layers = Layer("client error (Connect)", Layer("tcp connect error", refused.into()).into());
    let fault = unanswered(SdkError::dispatch_failure(ConnectorError::io(layers.into())));
    assert_eq!(fault.message, "read the plan failed: no answer: Connection refused");
    let lookup = "failed to lookup address information: Name or service not known";
    let layers = Layer("client error (Connect)", Layer("dns error", lookup.into()).into());
    let fault = unanswered(SdkError::dispatch_failure(ConnectorError::io(layers.into())));
    assert_eq!(fault.message, format!("read the plan failed: no answer: {lookup}"));
    let late = ConnectorError::timeout(Layer("HTTP connect timeout", "1s".into()).into());
    let fault = unanswered(SdkError::dispatch_failure(late));
    assert_eq!(fault.message, "read the plan failed: no answer in time");
    let ours = Layer("an interceptor encountered an error", "bucket b has no account".into());
    let fault = unanswered(SdkError::construction_failure(ours));
    assert_eq!(
        fault.message,
        "read the plan failed: the request could not be made: bucket b has no account"
    );
}

#[test]
fn another_region_or_other_limits_keep_the_rest() {
    let base = SdkConfig::builder().region(Region::new("us-west-2")).build();
    let other = in_region(&base, "us-east-1");
    assert_eq!(other.region().unwrap().as_ref(), "us-east-1");
    let quick = with_limits(&other, Duration::from_millis(300), Duration::from_millis(700), 1);
    assert_eq!(quick.region().unwrap().as_ref(), "us-east-1");
    let timeouts = quick.timeout_config().unwrap();
    assert_eq!(timeouts.operation_timeout(), Some(Duration::from_millis(700)));
    assert_eq!(timeouts.connect_timeout(), Some(Duration::from_millis(300)));
    assert_eq!(quick.retry_config().unwrap().max_attempts(), 1);
}
