//! Asks the emulator's IAM whether a caller may do what it asks of one of the lab's own services.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::Request;
use hyper::header::CONTENT_TYPE;
use serde::Deserialize;

use super::body::HeldBody;
use super::call::Call;
use super::config::{GatewayConfig, HostTags};
use super::resource::Host;
use super::route::Upstream;
use super::upstreams::Upstreams;

/// IAM answers from memory; an emulator that takes longer is not going to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// The emulator's answer to `POST /_lab/authorize`.
#[derive(Debug, Deserialize)]
struct Answer {
    allowed: bool,
    /// The error code to answer with, such as `AccessDenied` or `ExpiredToken`; empty when allowed.
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
    /// The session's ARN; empty when the key belongs to nobody.
    #[serde(default)]
    principal: String,
}

impl Answer {
    fn principal(&self) -> Option<String> {
        (!self.principal.is_empty()).then(|| self.principal.clone())
    }
}

/// Why a call goes no further.
#[derive(Debug)]
pub(super) enum Refusal {
    /// IAM says no, with this code and in these words.
    Denied {
        /// IAM's error code; empty for a plain refusal.
        code: String,
        /// IAM's words.
        message: String,
    },
    /// IAM could not be asked; the call is not let through.
    Unknown(String),
}

/// The link to the emulator's IAM, and the principals learned from it.
#[derive(Clone, Debug)]
pub(super) struct Authorizer {
    upstreams: Upstreams,
    enabled: bool,
    account: String,
    root_keys: Vec<String>,
    host_tags: HostTags,
    /// Access key id to principal; `None` when the emulator does not say.
    principals: Arc<Mutex<HashMap<String, Option<String>>>>,
}

impl Authorizer {
    pub(super) fn new(config: &GatewayConfig, upstreams: Upstreams) -> Self {
        Self {
            upstreams,
            enabled: config.authorize,
            account: config.account_id.clone(),
            root_keys: config.root_access_keys.clone(),
            host_tags: config.host_tags.clone(),
            principals: Arc::default(),
        }
    }

    /// The principal behind an access key: asked for when first seen, then remembered.
    pub(super) async fn principal(&self, access_key: &str, region: &str) -> Option<String> {
        if !self.enabled || self.is_root(access_key) {
            return None;
        }
        let known = self.lock().get(access_key).cloned();
        match known {
            Some(principal) => principal,
            None => {
                let answer = self
                    .ask(access_key, "sts:GetCallerIdentity", "*", region, &BTreeMap::new())
                    .await
                    .ok()?;
                answer.principal()
            }
        }
    }

    /// Lets a call pass when the caller's role allows the action on every resource of the call.
    pub(super) async fn check(&self, call: &Call, body: &[u8]) -> Result<(), Refusal> {
        if !self.enabled {
            return Ok(());
        }
        let action = format!("{}:{}", call.service, call.operation);
        let Some(access_key) = call.access_key.as_deref() else {
            let message =
                format!("anonymous is not authorized to perform: {action}: sign the request");
            return Err(Refusal::Denied { code: String::new(), message });
        };
        if self.is_root(access_key) {
            return Ok(());
        }
        let arns = super::resource::arns(call, &self.account, body);
        let mut asked: Vec<Host> = arns.into_iter().map(|arn| (arn, BTreeMap::new())).collect();
        asked.extend(super::resource::hosts(call, &self.account, body, &self.host_tags));
        for (resource, context) in asked {
            let answer = self
                .ask(access_key, &action, &resource, &call.region, &context)
                .await
                .map_err(Refusal::Unknown)?;
            if !answer.allowed {
                let who = call.role.as_deref().unwrap_or(access_key);
                let message = if answer.message.is_empty() {
                    format!(
                        "User: {who} is not authorized to perform: {action} on resource: {resource}"
                    )
                } else {
                    answer.message
                };
                return Err(Refusal::Denied { code: answer.code, message });
            }
        }
        Ok(())
    }

    /// Forgets the principals, for an emulator that was started anew.
    pub(super) fn forget(&self) {
        self.lock().clear();
    }

    async fn ask(
        &self,
        access_key: &str,
        action: &str,
        resource: &str,
        region: &str,
        context: &BTreeMap<String, String>,
    ) -> Result<Answer, String> {
        let mut question = serde_json::json!({
            "access_key_id": access_key, "action": action, "resource": resource, "region": region,
        });
        if let Some(question) = question.as_object_mut().filter(|_| !context.is_empty()) {
            question.insert("context".to_owned(), serde_json::json!(context));
        }
        let request = Request::post("/_lab/authorize")
            .header(CONTENT_TYPE, "application/json")
            .header("host", "emulator")
            .body(())
            .map_err(|error| error.to_string())?;
        let (parts, ()) = request.into_parts();
        let body = HeldBody::full(Bytes::from(question.to_string()));
        let exchange = async {
            let response = self
                .upstreams
                .forward(Upstream::Emulator, parts, body)
                .await
                .map_err(|error| error.to_string())?;
            let status = response.status();
            let bytes =
                response.into_body().collect().await.map_err(|error| error.to_string())?.to_bytes();
            if !status.is_success() {
                return Err(format!("POST /_lab/authorize answered {status}"));
            }
            serde_json::from_slice::<Answer>(&bytes)
                .map_err(|error| format!("POST /_lab/authorize: {error}"))
        };
        let answer = tokio::time::timeout(PATIENCE, exchange).await.map_err(|_| {
            format!("POST /_lab/authorize gave no answer in {} s", PATIENCE.as_secs())
        })??;
        self.lock().insert(access_key.to_owned(), answer.principal());
        Ok(answer)
    }

    fn is_root(&self, access_key: &str) -> bool {
        self.root_keys.iter().any(|root| root == access_key)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Option<String>>> {
        self.principals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
