//! What is asked of the hosts, and what they report.

use std::fmt;

use lifeboat_core::{
    Epoch,
    contract::{Authority, DatabaseAddress},
    ids::{AppName, SiteName},
};

/// The Systems Manager document that the hosts run.
pub const DOCUMENT: &str = "lifeboat-site-control";

/// The document's exit code for an epoch older than the one that the host knows.
const STALE_EPOCH: i32 = 3;

/// What a host is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Write the site's configuration as active, and start the app.
    Activate,
    /// Write the site's configuration as standby, and stop the app.
    Fence,
}

impl Action {
    /// The value of the document's parameter `Action`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Activate => "activate",
            Self::Fence => "fence",
        }
    }
}

/// An order to the hosts of one site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// What to do.
    pub action: Action,
    /// The app.
    pub app: AppName,
    /// The site that the hosts belong to.
    pub site: SiteName,
    /// The epoch that the order is given under.
    pub epoch: Epoch,
    /// The database that the app is to use; none leaves the host's configuration as it is.
    pub database: Option<DatabaseAddress>,
}

impl Order {
    pub(crate) fn activate(authority: &Authority, database: &DatabaseAddress) -> Self {
        Self {
            action: Action::Activate,
            app: authority.app.clone(),
            site: authority.site.clone(),
            epoch: authority.epoch,
            database: Some(database.clone()),
        }
    }

    pub(crate) fn fence(authority: &Authority, old_site: &SiteName) -> Self {
        Self {
            action: Action::Fence,
            app: authority.app.clone(),
            site: old_site.clone(),
            epoch: authority.epoch,
            database: None,
        }
    }

    /// The document's parameters, by name.
    #[must_use]
    pub fn parameters(&self) -> Vec<(&'static str, String)> {
        let mut parameters = vec![
            ("Action", self.action.as_str().to_owned()),
            ("App", self.app.to_string()),
            ("Site", self.site.to_string()),
            ("Epoch", self.epoch.to_string()),
        ];
        if let Some(database) = &self.database {
            parameters.push(("DatabaseHost", database.host.clone()));
            parameters.push(("DatabasePort", database.port.to_string()));
            parameters.push(("DatabaseName", database.name.clone()));
        }
        parameters
    }
}

/// How far a command is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// Some host has not ended, or the command is so new that it is not listed yet.
    Pending,
    /// Every host did it.
    Succeeded {
        /// How many.
        hosts: u32,
    },
    /// It ended, and nobody was asked: no host has the tag.
    NoHosts,
    /// It ended, and these hosts did not do it.
    Failed(Vec<HostFailure>),
}

impl Progress {
    /// The progress of two commands together.
    #[must_use]
    pub(crate) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Failed(mut failures), Self::Failed(more)) => {
                failures.extend(more);
                Self::Failed(failures)
            }
            (Self::Failed(failures), _) | (_, Self::Failed(failures)) => Self::Failed(failures),
            (Self::NoHosts, _) | (_, Self::NoHosts) => Self::NoHosts,
            (Self::Pending, _) | (_, Self::Pending) => Self::Pending,
            // The same hosts were asked twice: that is one site, not two.
            (Self::Succeeded { hosts }, Self::Succeeded { hosts: more }) => {
                Self::Succeeded { hosts: hosts.max(more) }
            }
        }
    }
}

/// A host that did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostFailure {
    /// The managed node's id.
    pub host: String,
    /// Run Command's word for it: `Failed`, `DeliveryTimedOut`.
    pub status: String,
    /// The script's exit code, if it ran.
    pub exit_code: Option<i32>,
    /// The last line that the script wrote to standard error; empty when there is none.
    pub last_line: String,
}

impl HostFailure {
    /// Whether the host refused because it knows a newer epoch.
    #[must_use]
    pub fn is_stale_epoch(&self) -> bool {
        self.exit_code == Some(STALE_EPOCH)
    }
}

impl fmt::Display for HostFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "host {}: {}", self.host, self.status)?;
        if let Some(code) = self.exit_code {
            write!(f, ", exit code {code}")?;
        }
        if !self.last_line.is_empty() {
            write!(f, ": {}", self.last_line)?;
        }
        Ok(())
    }
}

/// The failures in one line.
pub(crate) fn joined(failures: &[HostFailure]) -> String {
    failures.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
