//! Error answers in the format of the service that was called.
//!
//! Formats and codes: the "Common Errors" page of each service's API reference; S3 "Error responses";
//! Lambda "Invoke" (429 `TooManyRequestsException`); Smithy RPC v2 CBOR protocol (`__type`).

use std::borrow::Cow;

use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use lifeboat_lab_aws_model::Refusal;

use super::call::{Call, Wire};

/// An error as a service would give it.
#[derive(Debug)]
pub(super) struct WireError {
    pub(super) status: StatusCode,
    pub(super) code: Cow<'static, str>,
    pub(super) message: String,
}

impl From<Refusal> for WireError {
    fn from(refusal: Refusal) -> Self {
        let Refusal { status, code, message } = refusal;
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
        Self { status, code: code.into(), message }
    }
}

impl WireError {
    /// The throttling error of the service called.
    pub(super) fn throttled(call: &Call) -> Self {
        let (status, code, message) = match (call.wire, call.service.as_str()) {
            (Wire::S3, _) => {
                (StatusCode::SERVICE_UNAVAILABLE, "SlowDown", "Please reduce your request rate.")
            }
            (Wire::RestJson, "lambda") => {
                (StatusCode::TOO_MANY_REQUESTS, "TooManyRequestsException", "Rate Exceeded.")
            }
            (Wire::RestJson, _) => {
                (StatusCode::TOO_MANY_REQUESTS, "ThrottlingException", "Rate exceeded")
            }
            (Wire::Query | Wire::Route53, _) => {
                (StatusCode::BAD_REQUEST, "Throttling", "Rate exceeded")
            }
            (Wire::Json10 | Wire::Json11 | Wire::Cbor, _) => {
                (StatusCode::BAD_REQUEST, "ThrottlingException", "Rate exceeded")
            }
        };
        Self { status, code: code.into(), message: message.to_owned() }
    }

    /// The refusal of a caller whose role does not allow the call, or whose key is not good. `code` is
    /// IAM's; empty or `AccessDenied` becomes the service's own name for a plain refusal.
    pub(super) fn denied(call: &Call, code: String, message: String) -> Self {
        let (status, plain) = match call.wire {
            Wire::Query | Wire::S3 | Wire::Route53 => (StatusCode::FORBIDDEN, "AccessDenied"),
            Wire::RestJson => (StatusCode::FORBIDDEN, "AccessDeniedException"),
            Wire::Json10 | Wire::Json11 | Wire::Cbor => {
                (StatusCode::BAD_REQUEST, "AccessDeniedException")
            }
        };
        // The XML protocols have shorter names for a key that is not good (IAM, "Common Errors").
        let is_xml = matches!(call.wire, Wire::Query | Wire::S3 | Wire::Route53);
        let code = match code.as_str() {
            "" | "AccessDenied" | "AccessDeniedException" => Cow::Borrowed(plain),
            "UnrecognizedClientException" if is_xml => Cow::Borrowed("InvalidClientTokenId"),
            "ExpiredTokenException" if is_xml => Cow::Borrowed("ExpiredToken"),
            _ => Cow::Owned(code),
        };
        Self { status, code, message }
    }

    /// An error with the HTTP status asked for, named as the service names its own failures.
    pub(super) fn with_status(call: &Call, status: StatusCode, message: String) -> Self {
        let code = match (call.wire, status.as_u16()) {
            (Wire::S3, 503) | (_, 503) => "ServiceUnavailable",
            (Wire::S3, 500..) => "InternalError",
            (Wire::Query | Wire::Route53, 500..) => "InternalFailure",
            (_, 500..) => "InternalServerError",
            (_, 403) => "AccessDenied",
            (_, 404) => "NotFound",
            (_, 429) => "TooManyRequestsException",
            _ => "ValidationException",
        };
        Self { status, code: code.into(), message }
    }

    /// The answer as bytes on the wire.
    pub(super) fn answer(&self, call: &Call, request_id: &str) -> Response<Bytes> {
        let (code, message) = (self.code.as_ref(), xml_text(&self.message));
        let side = if self.status.is_server_error() { "Receiver" } else { "Sender" };
        let (content_type, body) = match call.wire {
            Wire::Query => (
                "text/xml",
                format!(
                    "<ErrorResponse><Error><Type>{side}</Type><Code>{code}</Code><Message>{message}</Message></Error><RequestId>{request_id}</RequestId></ErrorResponse>"
                ),
            ),
            Wire::Route53 => (
                "text/xml",
                format!(
                    r#"<?xml version="1.0"?><ErrorResponse xmlns="https://route53.amazonaws.com/doc/2013-04-01/"><Error><Type>{side}</Type><Code>{code}</Code><Message>{message}</Message></Error><RequestId>{request_id}</RequestId></ErrorResponse>"#
                ),
            ),
            Wire::S3 => (
                "application/xml",
                format!(
                    r#"<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>{message}</Message><RequestId>{request_id}</RequestId></Error>"#
                ),
            ),
            Wire::Json10 | Wire::Json11 | Wire::RestJson => {
                let content_type = match call.wire {
                    Wire::Json10 => "application/x-amz-json-1.0",
                    Wire::Json11 => "application/x-amz-json-1.1",
                    Wire::Query | Wire::Cbor | Wire::RestJson | Wire::Route53 | Wire::S3 => {
                        "application/json"
                    }
                };
                (
                    content_type,
                    serde_json::json!({"__type": code, "message": self.message}).to_string(),
                )
            }
            Wire::Cbor => {
                let mut response = Response::new(Bytes::from(cbor_error(code, &self.message)));
                *response.status_mut() = self.status;
                let headers = response.headers_mut();
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/cbor"));
                headers.insert("smithy-protocol", HeaderValue::from_static("rpc-v2-cbor"));
                return response;
            }
        };
        let mut response = Response::new(Bytes::from(body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        if matches!(call.wire, Wire::Json10 | Wire::Json11 | Wire::RestJson)
            && let Ok(code) = HeaderValue::from_str(code)
        {
            headers.insert("x-amzn-errortype", code);
        }
        if let Ok(id) = HeaderValue::from_str(request_id) {
            headers.insert("x-amzn-requestid", id);
        }
        response
    }
}

fn xml_text(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// `{"__type": code, "message": message}` in CBOR (RFC 8949): a map of two pairs of text strings.
fn cbor_error(code: &str, message: &str) -> Vec<u8> {
    let mut out = vec![0xa2];
    for text in ["__type", code, "message", message] {
        cbor_text(text, &mut out);
    }
    out
}

fn cbor_text(text: &str, out: &mut Vec<u8>) {
    // Major type 3, with the length in the head, in one byte, or in two; longer texts are cut.
    const LONGEST: usize = 0xffff;
    let bytes = text.as_bytes();
    let bytes = bytes.get(..LONGEST).unwrap_or(bytes);
    match (u8::try_from(bytes.len()), u16::try_from(bytes.len())) {
        (Ok(short @ 0..24), _) => out.push(0x60 | short),
        (Ok(short), _) => out.extend([0x78, short]),
        (Err(_), Ok(long)) => {
            out.push(0x79);
            out.extend(long.to_be_bytes());
        }
        (Err(_), Err(_)) => return,
    }
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(service: &str, wire: Wire) -> Call {
        Call {
            caller: "us-east-1".into(),
            region: "us-east-1".into(),
            service: service.into(),
            operation: "X".into(),
            access_key: None,
            role: None,
            resource: None,
            expected_bucket_owner: None,
            agent: None,
            wire,
        }
    }

    #[track_caller]
    fn check_throttle(service: &str, wire: Wire, status: u16, part: &str) {
        let call = call(service, wire);
        let answer = WireError::throttled(&call).answer(&call, "r-1");
        assert_eq!(answer.status(), status);
        let body = String::from_utf8_lossy(answer.body()).into_owned();
        assert!(body.contains(part), "{body}");
    }

    #[test]
    fn each_service_throttles_in_its_own_words() {
        check_throttle("s3", Wire::S3, 503, "<Code>SlowDown</Code>");
        check_throttle("lambda", Wire::RestJson, 429, "TooManyRequestsException");
        check_throttle("scheduler", Wire::RestJson, 429, "ThrottlingException");
        check_throttle("rds", Wire::Query, 400, "<Code>Throttling</Code>");
        check_throttle("route53", Wire::Route53, 400, "<Code>Throttling</Code>");
        check_throttle("ssm", Wire::Json11, 400, r#""__type":"ThrottlingException""#);
        check_throttle("monitoring", Wire::Cbor, 400, "ThrottlingException");
    }

    #[test]
    fn cbor_lengths() {
        let mut out = Vec::new();
        cbor_text("abc", &mut out);
        assert_eq!(out, b"\x63abc");
        out.clear();
        cbor_text(&"x".repeat(30), &mut out);
        assert_eq!(out.get(..2), Some([0x78, 30].as_slice()));
        out.clear();
        cbor_text(&"x".repeat(300), &mut out);
        assert_eq!(out.get(..3), Some([0x79, 1, 44].as_slice()));
    }

    #[test]
    fn text_is_escaped() {
        let call = call("rds", Wire::Query);
        let answer = WireError::denied(&call, String::new(), "a <b> & c".into()).answer(&call, "r");
        assert_eq!(answer.status(), 403);
        assert!(String::from_utf8_lossy(answer.body()).contains("a &lt;b&gt; &amp; c"));
    }

    #[test]
    fn a_bad_key_is_named_in_the_words_of_the_protocol() {
        let code = |wire| {
            WireError::denied(
                &call("rds", wire),
                "UnrecognizedClientException".into(),
                String::new(),
            )
            .code
        };
        assert_eq!(code(Wire::Query), "InvalidClientTokenId");
        assert_eq!(code(Wire::Json11), "UnrecognizedClientException");
    }
}
