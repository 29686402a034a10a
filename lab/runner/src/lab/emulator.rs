//! The emulator's process.

use std::{path::Path, process::Stdio, time::Duration};

use serde_json::{Value, json};
use tokio::process::{Child, Command};

use super::{LabError, config};
use crate::{clock, lab::SITES};

/// Until it answers. It takes about 2 s here.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// Until it has ended; then it is killed, and its functions with it.
const STOP_WITHIN: Duration = Duration::from_secs(8);

/// The running emulator.
#[derive(Debug)]
pub(crate) struct Emulator {
    child: Child,
    client: reqwest::Client,
}

impl Emulator {
    pub(crate) async fn start(root: &Path, home: &Path) -> Result<Self, LabError> {
        let python = root.join("target/tools/venv/bin/python");
        let log = home.join("emulator.log");
        let file = std::fs::File::create(&log)
            .map_err(|error| LabError::from_error(&log.display().to_string(), &error))?;
        let gateways: serde_json::Map<String, Value> = SITES
            .iter()
            .map(|site| (site.region.to_owned(), format!("http://{}", site.gateway()).into()))
            .collect();
        let caches: serde_json::Map<String, Value> = SITES
            .iter()
            .map(|site| {
                let redis = site.redis().to_string();
                (site.region.to_owned(), json!({ site.replication_group(): redis }))
            })
            .collect();
        let mut child = Command::new(python)
            .arg(root.join("lab/emulator/wrap.py"))
            .arg("--port")
            .arg(config::EMULATOR.port().to_string())
            .env("LIFEBOAT_LAB_GATEWAYS", Value::from(gateways).to_string())
            .env("LIFEBOAT_LAB_CACHES", Value::from(caches).to_string())
            .env("LIFEBOAT_LAB_SSM_URL", format!("http://{}", config::SSM))
            .env("LIFEBOAT_LAB_EMULATOR_DIR", home.join("emulator"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| LabError::from_error("start the emulator", &error))?;
        let client = reqwest::Client::new();
        let health = format!("http://{}/_lab/health", config::EMULATOR);
        let ready = clock::find(READY_WITHIN, || {
            let ended = child.try_wait().ok().flatten();
            let request = client.get(&health).timeout(Duration::from_secs(1)).send();
            async move {
                if ended.is_some() {
                    return Some(false);
                }
                request.await.ok().filter(|answer| answer.status().is_success()).map(|_| true)
            }
        })
        .await;
        if ready == Some(true) {
            Ok(Self { child, client })
        } else {
            let said = std::fs::read_to_string(&log).unwrap_or_default();
            let last = said.lines().last().unwrap_or("it said nothing").to_owned();
            Err(LabError::new(format!("the emulator did not start: {last}")))
        }
    }

    /// Makes a region dark (`mode` is `kill` or `hang`) or, without a mode, lit again.
    pub(crate) async fn region(&self, region: &str, mode: Option<&str>) -> Result<(), LabError> {
        let body = match mode {
            Some(mode) => json!({ "region": region, "state": "dark", "mode": mode }),
            None => json!({ "region": region, "state": "lit" }),
        };
        let fail = |error: reqwest::Error| LabError::from_error("switch the region", &error);
        let answer = self
            .client
            .post(format!("http://{}/_lab/region", config::EMULATOR))
            .json(&body)
            .timeout(Duration::from_secs(10))
            .send()
            .await
            .map_err(fail)?;
        answer.error_for_status().map(|_| ()).map_err(fail)
    }

    /// The processes of functions that are running: function, region, process id.
    pub(crate) async fn workers(&self) -> Result<Vec<(String, String, u32)>, LabError> {
        let fail = |error: reqwest::Error| LabError::from_error("list the workers", &error);
        let url = format!("http://{}/_lab/workers", config::EMULATOR);
        let answer = self.client.get(url).timeout(Duration::from_secs(10)).send().await;
        let list: Vec<Value> = answer.map_err(fail)?.json().await.map_err(fail)?;
        let read = |worker: &Value| {
            let text = |key: &str| worker.get(key)?.as_str().map(str::to_owned);
            let pid = worker.get("pid")?.as_u64()?;
            Some((text("function")?, text("region")?, u32::try_from(pid).ok()?))
        };
        Ok(list.iter().filter_map(read).collect())
    }

    /// Ends it; its functions end with it.
    pub(crate) async fn stop(mut self) {
        if let Some(pid) = self.child.id() {
            let pid = pid.to_string();
            // SIGTERM lets it end its functions; the standard library can only send SIGKILL.
            let _ = Command::new("kill").args(["-TERM", &pid]).status().await;
        }
        if tokio::time::timeout(STOP_WITHIN, self.child.wait()).await.is_err() {
            let _ = self.child.kill().await;
        }
    }
}
