//! The lab's own calls to the AWS API: as an operator from outside any region.
//!
//! The emulator reads the region and the service from the signature and takes the key `test` for
//! root, so a signature of the right form is all that the lab has to make.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use serde_json::Value;

use super::LabError;

/// For one call.
const CALL: Duration = Duration::from_secs(20);

/// Calls over one gateway port.
#[derive(Debug, Clone)]
pub struct Aws {
    endpoint: String,
    cli: PathBuf,
    client: reqwest::Client,
}

impl Aws {
    /// Calls over this gateway port.
    #[must_use]
    pub fn new(root: &Path, gateway: SocketAddr) -> Self {
        Self {
            endpoint: format!("http://{gateway}"),
            cli: root.join("target/tools/venv/bin/aws"),
            client: reqwest::Client::new(),
        }
    }

    fn authorization(region: &str, service: &str) -> String {
        format!(
            "AWS4-HMAC-SHA256 Credential=test/20260101/{region}/{service}/aws4_request, \
             SignedHeaders=host, Signature=0"
        )
    }

    async fn send(
        &self,
        what: &str,
        request: reqwest::RequestBuilder,
    ) -> Result<(reqwest::StatusCode, String), LabError> {
        let fail = |error: reqwest::Error| LabError::from_error(what, &error);
        let answer = request.timeout(CALL).send().await.map_err(fail)?;
        let status = answer.status();
        Ok((status, answer.text().await.map_err(fail)?))
    }

    /// A call in a JSON protocol (`target` is the `X-Amz-Target`).
    ///
    /// # Errors
    /// What AWS answered, in one line.
    pub async fn json(
        &self,
        region: &str,
        service: &str,
        target: &str,
        body: &Value,
    ) -> Result<Value, LabError> {
        let request = self
            .client
            .post(&self.endpoint)
            .header("authorization", Self::authorization(region, service))
            .header("content-type", "application/x-amz-json-1.0")
            .header("x-amz-target", target)
            .body(body.to_string());
        let (status, text) = self.send(target, request).await?;
        if !status.is_success() {
            return Err(LabError::new(format!("{target}: {status} {}", one_line(&text))));
        }
        if text.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_str(&text).map_err(|error| LabError::from_error(target, &error))
    }

    /// A call in the query protocol; answers the XML.
    ///
    /// # Errors
    /// What AWS answered, in one line.
    pub async fn query(
        &self,
        region: &str,
        service: &str,
        version: &str,
        action: &str,
        parameters: &[(&str, &str)],
    ) -> Result<String, LabError> {
        let mut form = vec![("Action", action), ("Version", version)];
        form.extend(parameters);
        let body: Vec<String> =
            form.iter().map(|(key, value)| format!("{key}={}", percent(value))).collect();
        let request = self
            .client
            .post(&self.endpoint)
            .header("authorization", Self::authorization(region, service))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body.join("&"));
        let (status, text) = self.send(action, request).await?;
        if status.is_success() {
            Ok(text)
        } else {
            Err(LabError::new(format!("{action}: {status} {}", one_line(&text))))
        }
    }

    /// A call in a REST protocol; answers the body.
    ///
    /// # Errors
    /// What AWS answered, in one line.
    pub async fn rest(
        &self,
        method: reqwest::Method,
        region: &str,
        service: &str,
        path: &str,
        body: String,
    ) -> Result<String, LabError> {
        let request = self
            .client
            .request(method, format!("{}{path}", self.endpoint))
            .header("authorization", Self::authorization(region, service))
            .body(body);
        let (status, text) = self.send(path, request).await?;
        if status.is_success() {
            Ok(text)
        } else {
            Err(LabError::new(format!("{path}: {status} {}", one_line(&text))))
        }
    }

    /// A call to S3 with bytes on either side.
    ///
    /// # Errors
    /// What S3 answered, in one line.
    pub async fn bytes(
        &self,
        method: reqwest::Method,
        region: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Result<Vec<u8>, LabError> {
        let fail = |error: reqwest::Error| LabError::from_error(path, &error);
        let mut request = self
            .client
            .request(method, format!("{}{path}", self.endpoint))
            .header("authorization", Self::authorization(region, "s3"))
            .timeout(CALL)
            .body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.send().await.map_err(fail)?;
        let status = answer.status();
        let bytes = answer.bytes().await.map_err(fail)?.to_vec();
        if status.is_success() {
            Ok(bytes)
        } else {
            let said = String::from_utf8_lossy(&bytes).into_owned();
            Err(LabError::new(format!("{path}: {status} {}", one_line(&said))))
        }
    }

    /// Writes an S3 object if there is none; whether this call wrote it.
    ///
    /// # Errors
    /// S3 refused for another reason than that there is one.
    pub async fn put_if_absent(
        &self,
        region: &str,
        path: &str,
        content: &str,
    ) -> Result<bool, LabError> {
        let request = self
            .client
            .put(format!("{}{path}", self.endpoint))
            .header("authorization", Self::authorization(region, "s3"))
            .header("if-none-match", "*")
            .body(content.to_owned());
        let (status, text) = self.send(path, request).await?;
        match status {
            status if status.is_success() => Ok(true),
            reqwest::StatusCode::PRECONDITION_FAILED | reqwest::StatusCode::CONFLICT => Ok(false),
            status => Err(LabError::new(format!("{path}: {status} {}", one_line(&text)))),
        }
    }

    /// The variables with which a program of ours, or the AWS CLI, calls as an operator.
    #[must_use]
    pub fn environment(&self, region: &str) -> Vec<(&'static str, String)> {
        vec![
            ("AWS_ENDPOINT_URL", self.endpoint.clone()),
            ("AWS_ACCESS_KEY_ID", "test".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "test".to_owned()),
            ("AWS_REGION", region.to_owned()),
            ("AWS_DEFAULT_REGION", region.to_owned()),
            ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
            ("AWS_PAGER", String::new()),
        ]
    }

    /// Runs a line of shell.
    ///
    /// # Errors
    /// What it wrote to stderr, in one line.
    pub async fn shell(
        &self,
        line: &str,
        environment: Vec<(&'static str, String)>,
    ) -> Result<String, LabError> {
        run(Path::new("/bin/sh"), &["-c", line], environment, None).await
    }

    /// Runs the AWS CLI with the keys of somebody else, as `AWS_...` variables.
    ///
    /// # Errors
    /// The last line that it wrote to stderr.
    pub async fn cli_as(
        &self,
        region: &str,
        keys: &[(String, String)],
        arguments: &[&str],
    ) -> Result<String, LabError> {
        let mut environment: Vec<(&str, String)> = self.environment(region);
        environment.extend(keys.iter().map(|(name, value)| (name.as_str(), value.clone())));
        run(&self.cli, arguments, environment, None).await
    }

    /// Runs the AWS CLI.
    ///
    /// # Errors
    /// The last line that it wrote to stderr.
    pub async fn cli(&self, region: &str, arguments: &[&str]) -> Result<String, LabError> {
        run(&self.cli, arguments, self.environment(region), None).await
    }
}

/// Runs a program to its end and answers its standard output.
pub(crate) async fn run(
    program: &Path,
    arguments: &[&str],
    environment: Vec<(&str, String)>,
    input: Option<&str>,
) -> Result<String, LabError> {
    use tokio::io::AsyncWriteExt;
    let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let fail = |error: std::io::Error| LabError::from_error(&name, &error);
    let mut child = tokio::process::Command::new(program)
        .args(arguments)
        .envs(environment)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(fail)?;
    if let (Some(mut pipe), Some(input)) = (child.stdin.take(), input) {
        pipe.write_all(input.as_bytes()).await.map_err(fail)?;
    }
    let output = child.wait_with_output().await.map_err(fail)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    // A line of shell may hold a token: what went wrong is said without it.
    let shown = if name == "sh" { 1 } else { 2 };
    let command = arguments.iter().take(shown).copied().collect::<Vec<_>>().join(" ");
    Err(LabError::new(format!("{name} {command}: {}", one_line(said.trim()))))
}

/// What stands between two marks, the first time: enough for the few fields that the lab reads of
/// XML answers.
pub(crate) fn between(text: &str, start: &str, end: &str) -> Option<String> {
    let rest = text.split_once(start)?.1;
    Some(rest.split_once(end)?.0.to_owned())
}

fn one_line(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars().take(600).collect()
}

fn percent(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
        out
    })
}
