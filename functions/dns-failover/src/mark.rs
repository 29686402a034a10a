//! The marks that a switch leaves: the objects that health checks look for in the switch bucket, which
//! is there on request only, and notes beside the registers.

use lifeboat_core::{AppName, Epoch, IncidentId, SiteName, contract::Authority};

/// Which recovery moved clients, under which epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// The epoch.
    pub epoch: Epoch,
    /// The recovery.
    pub incident: IncidentId,
    /// The id of the Route 53 change, when records were changed.
    pub change: Option<String>,
}

impl Mark {
    pub(crate) fn of(authority: &Authority, change: Option<String>) -> Self {
        Self { epoch: authority.epoch, incident: authority.incident.clone(), change }
    }

    /// The content of the object: for people, and for a health check that searches for a word.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = format!("active\nepoch={}\nincident={}\n", self.epoch, self.incident);
        if let Some(change) = &self.change {
            text.push_str(&format!("change={change}\n"));
        }
        text
    }
}

/// A mark as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The epoch that it tells; 0 when a person put the object there by hand and it tells none.
    pub epoch: Epoch,
    /// The id of the Route 53 change, when it tells one.
    pub change: Option<String>,
    /// What a conditional write names (an ETag).
    pub version: String,
}

/// The key of the object whose presence sends clients to a site; known to the health check.
#[must_use]
pub fn active_key(app: &AppName, site: &SiteName) -> String {
    format!("{app}/site-{site}-active")
}

/// What the keys of notes begin with, as `control/` and `log/` do beside them.
const NOTES: &str = "dns/";

/// The key of the note about the last change of records, which no health check looks at.
#[must_use]
pub fn change_key(app: &AppName) -> String {
    format!("{NOTES}{app}/record-change")
}

/// Whether the mark under this key is a note, which lies beside the registers.
#[must_use]
pub fn is_note(key: &str) -> bool {
    key.starts_with(NOTES) && key.ends_with("/record-change")
}
