//! Keeps the state in memory and in one JSON file, which is replaced atomically at every change.

use std::fs;
use std::io;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::StartError;
use crate::model::{Automated, Event, Group, Instance, Key, Snapshot, State};

/// AWS keeps events for 14 days; a lab's run is short, so a count bounds them.
const EVENTS_KEPT: usize = 1000;

/// The file's shape: lists, because JSON objects have no structured keys.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Saved {
    instances: Vec<Instance>,
    snapshots: Vec<Snapshot>,
    groups: Vec<Group>,
    #[serde(default)]
    automated: Vec<Automated>,
    events: Vec<Event>,
}

/// The state and its file.
#[derive(Debug)]
pub(crate) struct Store {
    path: PathBuf,
    state: Mutex<State>,
}

impl Store {
    /// Reads the file if there is one.
    pub(crate) fn open(path: PathBuf) -> Result<Self, StartError> {
        let wrong = |reason: String| StartError::State { path: path.clone(), reason };
        let saved = match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|e| wrong(e.to_string()))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Saved::default(),
            Err(error) => return Err(wrong(error.to_string())),
        };
        let state = State {
            instances: saved.instances.into_iter().map(|i| (i.key.clone(), i)).collect(),
            snapshots: saved.snapshots.into_iter().map(|s| (s.key.clone(), s)).collect(),
            groups: saved.groups.into_iter().map(|g| (g.key.clone(), g)).collect(),
            automated: saved.automated.into_iter().map(|a| (a.key.clone(), a)).collect(),
            events: saved.events,
        };
        Ok(Self { path, state: Mutex::new(state) })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at the state.
    pub(crate) fn read<R>(&self, look: impl FnOnce(&State) -> R) -> R {
        look(&self.lock())
    }

    /// Changes the state without saving: for what is observed, not decided.
    pub(crate) fn observe<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        change(&mut self.lock())
    }

    /// Changes the state and saves it.
    pub(crate) fn change<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        let mut state = self.lock();
        let result = change(&mut state);
        if let Err(error) = save(&self.path, &state) {
            // The servers go on; only a restart of the lab would miss the change.
            tracing::error!(path = %self.path.display(), %error, "save the state of the RDS API");
        }
        result
    }

    /// Appends to the event log.
    pub(crate) fn event(
        &self,
        key: &Key,
        arn: String,
        category: &str,
        message: &str,
        at: Timestamp,
    ) {
        tracing::info!(region = key.region, instance = key.id, category, message, "rds event");
        self.change(|state| {
            state.events.push(Event {
                region: key.region.clone(),
                source: key.id.clone(),
                source_type: "db-instance".to_owned(),
                arn,
                category: category.to_owned(),
                message: message.to_owned(),
                at,
            });
            let excess = state.events.len().saturating_sub(EVENTS_KEPT);
            state.events.drain(..excess);
        });
    }
}

fn save(path: &Path, state: &State) -> io::Result<()> {
    let saved = Saved {
        instances: state.instances.values().cloned().collect(),
        snapshots: state.snapshots.values().cloned().collect(),
        groups: state.groups.values().cloned().collect(),
        automated: state.automated.values().cloned().collect(),
        events: state.events.clone(),
    };
    let new = path.with_extension("json.new");
    // The file holds passwords.
    let mut file =
        fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(&serde_json::to_vec_pretty(&saved)?)?;
    fs::rename(&new, path)
}
