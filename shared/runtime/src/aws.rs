//! AWS clients and their failures.
//!
//! Every call has a deadline, because a dark region does not refuse: it hangs.

use std::{error::Error, time::Duration};

use aws_config::{
    BehaviorVersion, ConfigLoader, Region, SdkConfig,
    environment::EnvironmentVariableCredentialsProvider, retry::RetryConfig,
    timeout::TimeoutConfig,
};
use aws_smithy_runtime_api::client::{orchestrator::HttpResponse, result::SdkError};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use lifeboat_core::{ErrorName, Fault};

mod bucket_owner;
mod server_date;

pub use bucket_owner::ExpectedBucketOwner;
pub use server_date::ServerDate;

/// For a connection inside a region, which takes milliseconds when it works at all.
const CONNECT: Duration = Duration::from_secs(1);
/// For one attempt.
const ATTEMPT: Duration = Duration::from_secs(2);
/// For a call with its retries: below every task timeout of the state machines.
const OPERATION: Duration = Duration::from_secs(5);
/// Attempts of a call, the first one included: the default of the AWS SDKs.
const ATTEMPTS: u32 = 3;
/// The longest pause before the first retry. The SDK's own second would use up the deadline.
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
/// The longest message that is kept of an error; the rest of it helps nobody in a page.
const LONGEST_DETAIL: usize = 400;

/// The configuration for clients in the function's own region, with the credentials of its role,
/// which Lambda puts into the environment (Lambda developer guide, "Defined runtime environment
/// variables"). Nothing else is asked for credentials, whatever else is linked.
pub async fn config() -> SdkConfig {
    loader().credentials_provider(EnvironmentVariableCredentialsProvider::new()).load().await
}

/// What every configuration begins with: connect within 1 s, an attempt within 2 s, the call with its
/// retries within 5 s, 3 attempts.
#[must_use]
pub fn loader() -> ConfigLoader {
    aws_config::defaults(BehaviorVersion::latest())
        .timeout_config(timeouts(ATTEMPT, OPERATION))
        .retry_config(retries(ATTEMPTS))
}

/// The same for clients in another region.
#[must_use]
pub fn in_region(config: &SdkConfig, region: &str) -> SdkConfig {
    config.to_builder().region(Region::new(region.to_owned())).build()
}

/// The same with other limits: for one attempt, for the call with its retries, and the attempts.
#[must_use]
pub fn with_limits(
    config: &SdkConfig,
    attempt: Duration,
    total: Duration,
    attempts: u32,
) -> SdkConfig {
    config
        .to_builder()
        .timeout_config(timeouts(attempt, total))
        .retry_config(retries(attempts))
        .build()
}

fn timeouts(attempt: Duration, total: Duration) -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(CONNECT.min(attempt))
        .read_timeout(attempt)
        .operation_attempt_timeout(attempt)
        .operation_timeout(total)
        .build()
}

fn retries(attempts: u32) -> RetryConfig {
    RetryConfig::standard().with_max_attempts(attempts).with_initial_backoff(FIRST_BACKOFF)
}

/// The fault that a failed call is, unless the caller knows better what the service's code means.
///
/// `doing` says what was attempted, as in `read parameter /lifeboat/plans/queue`. Throttles,
/// timeouts, failures on the way and the service's own failures are `Transient`; everything else,
/// a missing permission first, needs a human.
pub fn fault<E>(doing: &str, error: SdkError<E, HttpResponse>) -> Fault
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let status = error.raw_response().map(|response| response.status().as_u16());
    let (name, detail) = match &error {
        SdkError::TimeoutError(_) => (ErrorName::Transient, "no answer in time".to_owned()),
        SdkError::DispatchFailure(failure) => {
            let name = if failure.is_user() { ErrorName::NeedsHuman } else { ErrorName::Transient };
            let detail = match failure.as_connector_error() {
                Some(error) if !error.is_timeout() => format!("no answer: {}", cause(error)),
                Some(_) | None => "no answer in time".to_owned(),
            };
            (name, detail)
        }
        SdkError::ResponseError(_) => {
            (ErrorName::Transient, "the answer cannot be read".to_owned())
        }
        SdkError::ServiceError(service) => {
            let (code, message) = (service.err().code(), service.err().message());
            (name_of(code, status), describe(code, message, status))
        }
        // Construction failures, and whatever the SDK adds: the request was never sent.
        SdkError::ConstructionFailure(_) | _ => {
            (ErrorName::NeedsHuman, format!("the request could not be made: {}", cause(&error)))
        }
    };
    Fault::new(name, one_line(&format!("{doing} failed: {detail}")))
}

/// Whether RDS answered with this code.
pub fn is_rds<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>, code: &str) -> bool {
    // The query protocol sends the code without the suffix that the API reference gives the error.
    error.code().is_some_and(|found| found == code || found.strip_suffix("Fault") == Some(code))
}

/// The codes that pass by themselves. The throttles are those of the AWS SDKs' standard retry
/// mode; the rest are the common and the S3 error codes that AWS documents as retryable.
const PASSING: [&str; 23] = [
    "BandwidthLimitExceeded",
    "ConditionalRequestConflict",
    "EC2ThrottledException",
    "InternalError",
    "InternalFailure",
    "InternalServerError",
    "LimitExceededException",
    "OperationAborted",
    "PriorRequestNotComplete",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestThrottledException",
    "RequestTimeout",
    "RequestTimeoutException",
    "ServiceUnavailable",
    "SlowDown",
    "ThrottledException",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
    "TooManyUpdates",
    "TransactionInProgressException",
];

fn name_of(code: Option<&str>, status: Option<u16>) -> ErrorName {
    let passes = code.is_some_and(|code| PASSING.contains(&code))
        || status.is_some_and(|status| status == 429 || status >= 500);
    if passes { ErrorName::Transient } else { ErrorName::NeedsHuman }
}

fn describe(code: Option<&str>, message: Option<&str>, status: Option<u16>) -> String {
    let code = code.map_or_else(
        || status.map_or_else(|| "an error".to_owned(), |status| format!("HTTP {status}")),
        str::to_owned,
    );
    // Their messages repeat the signed request, with the session token in it.
    let shows_the_request = code.contains("Signature");
    match message {
        Some(message) if !shows_the_request => format!("{code}: {message}"),
        Some(_) | None => code,
    }
}

/// The innermost cause of an error, which is what happened; those around it name layers of the SDK. It is
/// without the system's number, which its words say.
fn cause(error: &(dyn Error + 'static)) -> String {
    let innermost = std::iter::successors(Some(error), |error| (*error).source())
        // One without words is a wrapper that was left empty.
        .filter(|error| !error.to_string().is_empty())
        .last();
    let text = innermost.unwrap_or(error).to_string();
    text.split(" (os error ").next().unwrap_or_default().to_owned()
}

fn one_line(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").chars().take(LONGEST_DETAIL).collect()
}

#[cfg(test)]
mod tests;
