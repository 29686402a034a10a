//! One call through the gateway: read, hold against the model, log, fault, authorise, forward, answer.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::http::request::Parts;
use hyper::{Request, Response, StatusCode};
use tokio::sync::watch;

use super::authorize::{Authorizer, Refusal};
use super::body::{AnswerError, GuardedBody, HeldBody};
use super::call::{self, Call};
use super::calls::{CallLog, OpenRecord, arrival};
use super::config::GatewayConfig;
use super::connection::Ending;
use super::faults::{Faults, Standing};
use super::inspect::Inspector;
use super::quota::Limits;
use super::route::{self, Upstream};
use super::rule::FaultAction;
use super::upstreams::Upstreams;
use super::wire_error::WireError;
use crate::clock::pause;

/// How much of a body is read to tell what a form or JSON call is about. Larger ones are forwarded all
/// the same, without the detail; AWS's own limit for these protocols is 1 MB or less.
const READ_AHEAD: usize = 1 << 20;

/// How much of a held call's body is read. A hang has to read, for that is how it learns that the
/// client has given up; it stops here, as a full socket buffer does.
const HOLD: usize = 16 << 20;

/// The body of an answer to a client.
pub(super) type AnswerBody = UnsyncBoxBody<Bytes, AnswerError>;

/// The call gets no answer; the connection is reset.
#[derive(Debug, thiserror::Error)]
#[error("no answer: {0}")]
pub(super) struct NoAnswer(String);

/// What all calls share.
#[derive(Clone, Debug)]
pub(super) struct Proxy {
    pub(super) default_region: Arc<str>,
    pub(super) faults: Faults,
    pub(super) calls: CallLog,
    pub(super) upstreams: Upstreams,
    pub(super) authorizer: Authorizer,
    pub(super) inspector: Inspector,
    limits: Limits,
}

/// A call under way.
struct Exchange<'a> {
    proxy: &'a Proxy,
    call: Arc<Call>,
    ending: Ending,
    record: OpenRecord,
    /// How the service refuses the request, which does not fit its model.
    refusal: Option<WireError>,
}

impl Proxy {
    pub(super) fn new(
        config: &GatewayConfig,
        calls: CallLog,
        upstreams: Upstreams,
        inspector: Inspector,
    ) -> Self {
        Self {
            default_region: config.default_region.as_str().into(),
            faults: Faults::default(),
            calls,
            authorizer: Authorizer::new(config, upstreams.clone()),
            upstreams,
            inspector,
            limits: Limits::default(),
        }
    }

    /// Serves one call of the caller whose port it came in by.
    pub(super) async fn serve(
        &self,
        caller: &str,
        ending: Ending,
        request: Request<Incoming>,
    ) -> Result<Response<AnswerBody>, NoAnswer> {
        let arrived = arrival();
        let (parts, body) = request.into_parts();
        let mut body = HeldBody::new(body);
        if call::wants_body(&parts) {
            body.read_ahead(READ_AHEAD).await.map_err(|error| NoAnswer(error.to_string()))?;
        }
        let mut call = call::identify(caller, &parts, &body.bytes(), &self.default_region);
        if let Some(key) = call.access_key.as_deref()
            && let Some(principal) = self.authorizer.principal(key, &call.region).await
        {
            call.role = Some(principal);
        }
        if self.inspector.needs_body(&call, &parts).await {
            body.read_ahead(READ_AHEAD).await.map_err(|error| NoAnswer(error.to_string()))?;
        }
        let inspected = self.inspector.request(&mut call, &parts, &body);
        let call = Arc::new(call);
        let mut record = OpenRecord::new(self.calls.clone(), Arc::clone(&call), arrived);
        record.violations(inspected.texts);
        let refusal = inspected.refusal;
        Exchange { proxy: self, call, ending, record, refusal }.run(parts, body).await
    }
}

impl Exchange<'_> {
    async fn run(
        mut self,
        parts: Parts,
        mut body: HeldBody,
    ) -> Result<Response<AnswerBody>, NoAnswer> {
        let faults = &self.proxy.faults;
        let verdict = faults.admit(&self.call);
        for (id, duration) in verdict.delays {
            self.record.fault("delay", &id);
            tokio::select! {
                () = pause(duration) => {}
                () = faults.gone(&id) => {}
            }
        }
        let mut answer_lost = None;
        if let Some((id, action)) = verdict.fault {
            self.record.fault(action.name(), &id);
            match action {
                FaultAction::Refuse => return Err(self.reset(&id)),
                FaultAction::Hang => {
                    self.hold(&id, &mut body).await?;
                }
                FaultAction::Throttle => {
                    let error = WireError::throttled(&self.call);
                    return self.refuse_with(error, body).await;
                }
                FaultAction::Status { code } => {
                    let status =
                        StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                    let message = format!("injected by fault rule {id}");
                    let error = WireError::with_status(&self.call, status, message);
                    return self.refuse_with(error, body).await;
                }
                FaultAction::AnswerLost => answer_lost = Some(id),
                FaultAction::Delay { .. } => {}
            }
        }
        // Subscribed before the rules are looked at, so that no change falls between.
        let changes = self.proxy.faults.subscribe();
        self.wait_until_passable(&mut body).await?;

        if !self.proxy.limits.takes(&self.call, Instant::now()) {
            let error = WireError::throttled(&self.call);
            return self.refuse_with(error, body).await;
        }
        if let Some(error) = self.refusal.take() {
            return self.refuse_with(error, body).await;
        }
        let upstream = route::upstream(&self.call);
        if upstream != Upstream::Emulator {
            match self.proxy.authorizer.check(&self.call, &body.bytes()).await {
                Ok(()) => {}
                Err(Refusal::Denied { code, message }) => {
                    let error = WireError::denied(&self.call, code, message);
                    return self.refuse_with(error, body).await;
                }
                Err(Refusal::Unknown(message)) => {
                    let message = format!("the gateway cannot authorize the call: {message}");
                    self.record.error(message.clone());
                    let error = WireError::with_status(
                        &self.call,
                        StatusCode::SERVICE_UNAVAILABLE,
                        message,
                    );
                    return self.refuse_with(error, body).await;
                }
            }
        }
        self.forward(upstream, (parts, body), changes, answer_lost).await
    }

    /// Holds the call until the rule is gone, or the client is. The body is read meanwhile.
    async fn hold(&self, id: &str, body: &mut HeldBody) -> Result<(), NoAnswer> {
        let client_gone = async {
            match body.read_ahead(HOLD).await {
                // From here on, a client that leaves takes this future with it.
                Ok(()) => std::future::pending().await,
                Err(error) => NoAnswer(error.to_string()),
            }
        };
        tokio::select! {
            broken = client_gone => Err(broken),
            () = self.proxy.faults.gone(id) => Ok(()),
        }
    }

    /// Holds the call while a rule without a count hangs it, and resets it when one refuses it.
    async fn wait_until_passable(&mut self, body: &mut HeldBody) -> Result<(), NoAnswer> {
        while let Some(standing) = self.proxy.faults.standing(&self.call) {
            match standing {
                Standing::Refuse(id) => {
                    self.record.fault("refuse", &id);
                    return Err(self.reset(&id));
                }
                Standing::Hang(id) => {
                    self.record.fault("hang", &id);
                    self.hold(&id, body).await?;
                }
            }
        }
        Ok(())
    }

    async fn forward(
        mut self,
        upstream: Upstream,
        (parts, body): (Parts, HeldBody),
        mut changes: watch::Receiver<u64>,
        answer_lost: Option<String>,
    ) -> Result<Response<AnswerBody>, NoAnswer> {
        let exchange = self.proxy.upstreams.forward(upstream, parts, body);
        tokio::pin!(exchange);
        // While the upstream works, a new refusal breaks the call off.
        let answer = loop {
            tokio::select! {
                answer = &mut exchange => break answer,
                changed = changes.changed() => {
                    if changed.is_err() {
                        break exchange.await;
                    }
                    if let Some(Standing::Refuse(id)) = self.proxy.faults.standing(&self.call) {
                        self.record.fault("refuse", &id);
                        return Err(self.reset(&id));
                    }
                }
            }
        };
        let response = match answer {
            Ok(response) => response,
            Err(error) => {
                let message = error.to_string();
                self.record.error(message.clone());
                let error = WireError::with_status(&self.call, StatusCode::BAD_GATEWAY, message);
                return Ok(self.answer_error(&error));
            }
        };
        if let Some(id) = answer_lost {
            // Read to the end, so that nothing of the effect is cut short.
            let lost = response.into_body().collect().await;
            if let Err(error) = lost {
                self.record.error(error.to_string());
            }
            return Err(self.reset(&id));
        }
        // A hang that began while the upstream worked holds the answer back.
        self.wait_until_passable(&mut HeldBody::default()).await?;

        let (parts, incoming) = response.into_parts();
        let inspector = route::is_ours(upstream, &self.call)
            .then(|| self.proxy.inspector.answer(&self.call, parts.status.as_u16()))
            .flatten();
        let guarded = GuardedBody::new(
            incoming,
            self.proxy.faults.clone(),
            Arc::clone(&self.call),
            self.ending.clone(),
            changes,
            inspector,
        );
        self.record.answered(parts.status.as_u16());
        Ok(Response::from_parts(parts, guarded.boxed_unsync()))
    }

    /// Answers with an error of the gateway's own, once the request has been read.
    async fn refuse_with(
        self,
        error: WireError,
        body: HeldBody,
    ) -> Result<Response<AnswerBody>, NoAnswer> {
        body.discard().await.map_err(|error| NoAnswer(error.to_string()))?;
        Ok(self.answer_error(&error))
    }

    fn answer_error(self, error: &WireError) -> Response<AnswerBody> {
        let request_id = format!("lab-{}", self.proxy.calls.last_seq() + 1);
        let answer = error.answer(&self.call, &request_id);
        self.record.answered(answer.status().as_u16());
        answer.map(|bytes| Full::new(bytes).map_err(|never| match never {}).boxed_unsync())
    }

    fn reset(&self, id: &str) -> NoAnswer {
        self.ending.reset();
        NoAnswer(format!("fault rule {id}"))
    }
}
