//! Whose credentials the command uses, and what to do when there are none.

use std::{error::Error, fmt, sync::OnceLock, time::Duration};

use aws_config::{ConfigLoader, SdkConfig, profile::ProfileFileCredentialsProvider};
use aws_credential_types::{
    Credentials,
    provider::{ProvideCredentials, SharedCredentialsProvider, error::CredentialsError, future},
};
use jiff::{SignedDuration, Timestamp};
use lifeboat_core::Fault;
use lifeboat_runtime::{aws, clock, env};
use tokio::sync::Mutex;

use crate::output::Failure;

/// For the first credentials: a `credential_process` may ask its user for a second factor.
const PATIENCE: Duration = Duration::from_secs(120);
/// Credentials are fetched anew when less than this is left of them.
const MARGIN: SignedDuration = SignedDuration::from_secs(60);

/// What `--profile` says. Every client of the process is made with it, so it is said once.
static PROFILE: OnceLock<String> = OnceLock::new();

/// Uses this profile for everything that follows.
pub(crate) fn use_profile(name: String) {
    // Said once, by `main`.
    let _again = PROFILE.set(name);
}

/// The configuration for clients, whose credentials were found: those of `--profile`, or what the
/// environment, the shared files, a web identity, the container or the instance give, in this order.
///
/// # Errors
/// There are none, with what to do about it.
pub(crate) async fn config() -> Result<SdkConfig, Failure> {
    let config = patient_config().await;
    if let Some(provider) = config.credentials_provider() {
        match tokio::time::timeout(PATIENCE, provider.provide_credentials()).await {
            Ok(found) => found.map(|_| ()).map_err(|error| advice(&error, profile().as_deref()))?,
            Err(_) => {
                let waited = PATIENCE.as_secs();
                return Err(Failure::work(format!(
                    "the credentials did not come within {waited} s"
                )));
            }
        }
    }
    Ok(config)
}

/// The same for a service that goes on asking: on an instance that starts, the role may come later than
/// the program.
pub(crate) async fn patient_config() -> SdkConfig {
    let mut loader: ConfigLoader = aws::loader();
    if let Some(name) = PROFILE.get() {
        // Named by hand, so that it goes before the environment, as it does in the AWS CLI.
        let named = ProfileFileCredentialsProvider::builder().profile_name(name).build();
        loader = loader.profile_name(name).credentials_provider(named);
    }
    let config = loader.load().await;
    match config.credentials_provider() {
        Some(found) => {
            let kept = SharedCredentialsProvider::new(Kept { found, last: Mutex::default() });
            config.to_builder().credentials_provider(kept).build()
        }
        None => config,
    }
}

/// The profile that is used: that of the option, or that of the environment.
fn profile() -> Option<String> {
    PROFILE.get().cloned().or_else(|| env::optional("AWS_PROFILE"))
}

/// What a command that is shown to be typed needs to be this caller's; empty without `--profile`.
pub(crate) fn option() -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./@+".contains(c);
    match PROFILE.get() {
        None => String::new(),
        Some(name) if name.chars().all(plain) => format!(" --profile {name}"),
        Some(name) => format!(" --profile '{}'", name.replace('\'', r"'\''")),
    }
}

/// Keeps what was found until it ends: the clients of several regions and services share it, and a
/// `credential_process` asks its user once.
struct Kept {
    found: SharedCredentialsProvider,
    last: Mutex<Option<Credentials>>,
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept").field("found", &self.found).finish_non_exhaustive()
    }
}

impl Kept {
    async fn provide(&self) -> Result<Credentials, CredentialsError> {
        let mut last = self.last.lock().await;
        match last.as_ref().filter(|last| is_good(last, clock::now())) {
            Some(good) => Ok(good.clone()),
            None => Ok(last.insert(self.found.provide_credentials().await?).clone()),
        }
    }
}

impl ProvideCredentials for Kept {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.provide())
    }
}

fn is_good(credentials: &Credentials, now: Timestamp) -> bool {
    let end = credentials.expiry().map(Timestamp::try_from);
    // An end that cannot be read is none that could be relied on.
    end.is_none_or(|end| end.is_ok_and(|end| end.duration_since(now) > MARGIN))
}

/// What to do when there are no credentials; `profile` is the one that was asked for.
fn advice(error: &CredentialsError, profile: Option<&str>) -> Failure {
    let why = chain(error);
    let login = match profile {
        Some(name) => format!("aws sso login --profile {name}"),
        None => "aws sso login".to_owned(),
    };
    // The SDK has no types by which these could be told apart: its texts are what there is.
    let says = |word: &str| why.contains(word);
    let none = matches!(error, CredentialsError::CredentialsNotLoaded(_)) || says("IMDS");
    Failure::failed(match profile {
        Some(name) if none => vec![
            // What else was tried after the profile tells nothing of it.
            match says("Attempted: ") || says("was not enabled") {
                true => format!("no credentials found for profile {name}"),
                false => format!("no credentials found for profile {name}: {why}"),
            },
            format!(
                "log in with `{login}`, set the profile up with `aws configure sso --profile {name}`, \
                 or name another with --profile"
            ),
        ],
        None if none => vec![
            "no credentials found: not in the environment, the shared files, the container or the \
             instance"
                .to_owned(),
            "run `aws sso login --profile NAME` and give --profile NAME, or set AWS_PROFILE; on a \
             host, give the instance or the container a role"
                .to_owned(),
        ],
        _ if says("dispatch failure") => vec![
            format!("nobody answers who could give credentials: {why}"),
            "look at the network, then give the same command again".to_owned(),
        ],
        // Also what the portal says of a token that was revoked (SSO API reference,
        // `GetRoleCredentials`).
        _ if says("SSO") || says("/sso/cache/") || says("UnauthorizedException") => {
            vec![format!("the SSO login cannot be used: {why}"), format!("log in anew: {login}")]
        }
        profile => vec![
            format!("the credentials cannot be had: {why}"),
            match profile {
                Some(name) => format!("look at profile {name} in ~/.aws/config"),
                None => "see where they come from: aws configure list".to_owned(),
            },
        ],
    })
}

/// What is wrong, innermost last; each said once, on one line.
fn chain(error: &dyn Error) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut next = error.source();
    while let Some(error) = next {
        let text = error.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
        let says_something = !text.starts_with("an error occurred while loading");
        if says_something && parts.last().is_none_or(|last| !last.contains(&text)) {
            parts.push(text);
        }
        next = error.source();
    }
    if parts.is_empty() { error.to_string() } else { parts.join(": ") }
}

/// Who calls, as an ARN.
///
/// # Errors
/// STS does not answer in this region, or refuses.
pub(crate) async fn caller(config: &SdkConfig) -> Result<String, Fault> {
    let asked = aws_sdk_sts::Client::new(config).get_caller_identity().send().await;
    let arn = asked.map_err(|error| aws::fault("ask STS who calls", error))?.arn;
    arn.filter(|arn| !arn.is_empty()).ok_or_else(|| Fault::transient("STS names no caller"))
}
