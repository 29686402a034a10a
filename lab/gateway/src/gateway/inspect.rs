//! Holds what passes against the services' models.

use std::sync::Arc;

use bytes::Bytes;
use hyper::http::request::Parts;
use lifeboat_lab_aws_model::{
    Answer, Models, Request, Rule, Violation, Wire as ModelWire, refusal,
};

use super::body::HeldBody;
use super::call::{self, Call, Wire};
use super::s3_operation;
use super::violations::{Side, Violations};
use super::wire_error::WireError;

/// The largest answer that is kept to be checked. The lab's services page long before.
const LARGEST_ANSWER: usize = 4 << 20;

/// The models, and what was found with them.
#[derive(Clone, Debug)]
pub(super) struct Inspector {
    models: Option<Arc<Models>>,
    pub(super) violations: Violations,
}

/// What is left of a request once its head was taken apart.
struct Read<'a> {
    path: String,
    query: &'a str,
    headers: Vec<(&'a str, &'a str)>,
    target_prefix: Option<&'a str>,
}

/// A request that was checked.
#[derive(Debug, Default)]
pub(super) struct Inspected {
    /// What does not fit, in words.
    pub(super) texts: Vec<String>,
    /// How the service refuses the request.
    pub(super) refusal: Option<WireError>,
}

impl Inspector {
    pub(super) fn new(models: Option<Models>) -> Self {
        Self { models: models.map(Arc::new), violations: Violations::default() }
    }

    /// Whether a call's body has to be read to check it.
    pub(super) async fn needs_body(&self, call: &Call, parts: &Parts) -> bool {
        let Some(models) = &self.models else { return false };
        if !models.is_read(&call.service) {
            let (models, service) = (Arc::clone(models), call.service.clone());
            // A thread of its own: the other calls do not wait for it.
            let read = tokio::task::spawn_blocking(move || models.read_now(&service)).await;
            if let Err(error) = read {
                tracing::error!(%error, "read a service's model");
            }
        }
        let read = Read::of(call, parts);
        models.needs_body(&read.request(call, parts, None))
    }

    /// Checks a request, notes what is wrong, and says what the call is named in the model.
    pub(super) fn request(&self, call: &mut Call, parts: &Parts, body: &HeldBody) -> Inspected {
        let Some(models) = &self.models else { return Inspected::default() };
        let read = Read::of(call, parts);
        let bytes = body.is_whole().then(|| body.bytes());
        let request = read.request(call, parts, bytes.as_deref());
        let checked = models.request(&request);
        let wire = request.wire;
        if !checked.violations.iter().any(|found| found.rule == Rule::UnknownOperation) {
            call.operation.clone_from(&checked.operation);
        }
        self.violations.add(Side::Request, call, &checked.operation, &checked.violations);
        Inspected {
            texts: checked.violations.iter().map(Violation::to_string).collect(),
            refusal: checked
                .violations
                .iter()
                .find_map(|found| refusal(wire, found))
                .map(WireError::from),
        }
    }

    /// Something to check a call's answer with, when it is one of the lab's own.
    pub(super) fn answer(&self, call: &Arc<Call>, status: u16) -> Option<AnswerInspector> {
        let models = Arc::clone(self.models.as_ref()?);
        Some(AnswerInspector {
            models,
            violations: self.violations.clone(),
            call: Arc::clone(call),
            status,
            body: Vec::new(),
        })
    }
}

/// Takes an answer as it streams by, and checks it at its end.
#[derive(Debug)]
pub(super) struct AnswerInspector {
    models: Arc<Models>,
    violations: Violations,
    call: Arc<Call>,
    status: u16,
    body: Vec<u8>,
}

impl AnswerInspector {
    pub(super) fn take(&mut self, bytes: &Bytes) {
        if self.body.len() < LARGEST_ANSWER {
            self.body.extend_from_slice(bytes);
        }
    }

    pub(super) fn finish(self) {
        let Self { models, violations, call, status, body } = self;
        let found = if body.len() < LARGEST_ANSWER {
            models.answer(&Answer {
                service: &call.service,
                operation: &call.operation,
                wire: model_wire(call.wire),
                status,
                body: &body,
            })
        } else {
            vec![Violation {
                service: call.service.clone(),
                operation: call.operation.clone(),
                member: String::new(),
                rule: Rule::NotCovered("the answer is larger than what is kept".to_owned()),
            }]
        };
        violations.add(Side::Answer, &call, &call.operation, &found);
    }
}

impl<'a> Read<'a> {
    fn of(call: &Call, parts: &'a Parts) -> Self {
        let path = parts.uri.path();
        let host = call::host(parts);
        let path = match s3_operation::bucket_of_host(&host).filter(|_| call.wire == Wire::S3) {
            Some(bucket) => format!("/{bucket}{path}"),
            None => path.to_owned(),
        };
        let headers = parts.headers.iter();
        let headers =
            headers.filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
        let target = call::header(parts, "x-amz-target").and_then(|target| target.rsplit_once('.'));
        Self {
            path,
            query: parts.uri.query().unwrap_or_default(),
            headers: headers.collect(),
            target_prefix: target.map(|(prefix, _)| prefix),
        }
    }

    fn request<'r>(
        &'r self,
        call: &'r Call,
        parts: &'r Parts,
        body: Option<&'r [u8]>,
    ) -> Request<'r> {
        Request {
            service: &call.service,
            wire: model_wire(call.wire),
            operation: &call.operation,
            target_prefix: self.target_prefix,
            method: parts.method.as_str(),
            path: &self.path,
            query: self.query,
            headers: &self.headers,
            body,
        }
    }
}

fn model_wire(wire: Wire) -> ModelWire {
    match wire {
        Wire::Query => ModelWire::Query,
        Wire::Json10 | Wire::Json11 => ModelWire::Json,
        Wire::Cbor => ModelWire::Cbor,
        Wire::RestJson => ModelWire::RestJson,
        Wire::Route53 | Wire::S3 => ModelWire::RestXml,
    }
}
