//! The site's configuration, `site.json`, as the document `lifeboat-site-control` writes it.
//!
//! Both files are read again for every request: they are small, and a site that was fenced must not serve one more write.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::permit::Permit;

/// What the site is for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// It serves the app's users.
    Active,
    /// It must not accept writes.
    Standby,
}

/// The database that the site writes to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseAddress {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Name of the database.
    pub name: String,
}

/// `site.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Site {
    /// The app.
    pub app: String,
    /// This site's name.
    pub site: String,
    /// The epoch under which it was activated or fenced.
    pub epoch: i64,
    /// Its role under that epoch.
    pub role: Role,
    /// Its database; a site that was never active may have none.
    #[serde(default)]
    pub database: Option<DatabaseAddress>,
}

/// Where the two files are.
#[derive(Debug, Clone)]
pub struct SiteFiles {
    /// `site.json`.
    pub site: PathBuf,
    /// `permit.json`.
    pub permit: PathBuf,
}

impl SiteFiles {
    /// The site's configuration as it is now, or what is wrong with it.
    ///
    /// # Errors
    /// A text for the operator.
    pub fn site(&self) -> Result<Site, String> {
        read(&self.site)
    }

    /// The write permit as it is now, or what is wrong with it.
    ///
    /// # Errors
    /// A text for the operator.
    pub fn permit(&self) -> Result<Permit, String> {
        read(&self.permit)
    }
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<T, String> {
    let text =
        std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))
}
