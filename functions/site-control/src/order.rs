//! What is asked of the hosts, and what they report.

use lifeboat_core::{
    Epoch,
    contract::{Authority, DatabaseAddress},
    ids::{AppName, SiteName},
    plan_file::HostTag,
};

/// The Systems Manager document that the hosts run.
pub const DOCUMENT: &str = "lifeboat-site-control";

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
    /// Seconds that the app's hooks may take; none leaves it to the document.
    pub hook_seconds: Option<u32>,
}

impl Order {
    pub(crate) fn activate(authority: &Authority, database: &DatabaseAddress) -> Self {
        Self {
            action: Action::Activate,
            app: authority.app.clone(),
            site: authority.site.clone(),
            epoch: authority.epoch,
            database: Some(database.clone()),
            hook_seconds: None,
        }
    }

    pub(crate) fn fence(authority: &Authority, old_site: &SiteName) -> Self {
        Self {
            action: Action::Fence,
            app: authority.app.clone(),
            site: old_site.clone(),
            epoch: authority.epoch,
            database: None,
            hook_seconds: None,
        }
    }

    /// The same, for hosts whose hooks may take this long.
    #[must_use]
    pub fn on(self, hosts: &HostTag) -> Self {
        Self { hook_seconds: hosts.hook_seconds, ..self }
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
        if let Some(seconds) = self.hook_seconds {
            parameters.push(("HookSeconds", seconds.to_string()));
        }
        parameters
    }
}
