//! Starts and stops the links.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::admin::router;
use super::forward::forward;
use super::state::{Link, LinkState, Links};
use crate::listen::{ListenError, accept_loop, listen, serve_admin};
use crate::tasks::Tasks;

/// The links to open. Every address may have port 0 (a free port), which tests use.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct LinksConfig {
    /// Where the admin API listens; without it, only the process itself sets links.
    #[serde(default)]
    pub admin: Option<SocketAddr>,
    /// The links. They are up at the start.
    pub links: Vec<LinkConfig>,
}

/// One network path.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct LinkConfig {
    /// A unique name, such as `us-west-2->a:postgres`: paths that fail together share a prefix.
    pub name: String,
    /// Where clients connect.
    pub listen: SocketAddr,
    /// Where their bytes go.
    pub target: SocketAddr,
}

/// The links do not start.
#[derive(Debug, thiserror::Error)]
pub enum LinksError {
    /// An address can't be had.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// Two links have the same name.
    #[error("two links are named {0}; give each its own name")]
    DuplicateName(String),
}

/// Running links. They end with [`LinksHandle::stop`], or when the handle is dropped.
#[derive(Debug)]
pub struct LinksHandle {
    links: Links,
    admin: Option<SocketAddr>,
    tasks: Tasks,
}

/// Opens every link of `config` and forwards until the handle is stopped or dropped.
///
/// # Errors
/// [`LinksError`] names the address that can't be had, or the name given twice; nothing is left behind then.
pub async fn start(config: LinksConfig) -> Result<LinksHandle, LinksError> {
    let mut listeners = Vec::new();
    let mut links = BTreeMap::new();
    for entry in config.links {
        let (listener, address) = listen(&format!("link {}", entry.name), entry.listen).await?;
        let link = Link {
            listen: address,
            target: entry.target,
            state: watch::Sender::new(LinkState::Up),
            open: Default::default(),
            accepted: Default::default(),
        };
        if links.insert(entry.name.clone(), link.clone()).is_some() {
            return Err(LinksError::DuplicateName(entry.name));
        }
        listeners.push((listener, link));
    }
    let links = Links::new(links);
    let admin = match config.admin {
        Some(address) => Some(listen("the links' admin API", address).await?),
        None => None,
    };
    let tasks = Tasks::default();
    for (listener, link) in listeners {
        let serve = move |stream| forward(link.clone(), stream);
        tasks.spawn(accept_loop(listener, tasks.clone(), serve));
    }
    let admin = admin.map(|(listener, address)| {
        let api = router(links.clone());
        tasks.spawn(accept_loop(listener, tasks.clone(), move |stream| {
            serve_admin(api.clone(), stream)
        }));
        address
    });
    Ok(LinksHandle { links, admin, tasks })
}

impl LinksHandle {
    /// The links, to look at and to set.
    #[must_use]
    pub fn links(&self) -> &Links {
        &self.links
    }

    /// The address of the admin API, if there is one.
    #[must_use]
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin
    }

    /// Resets every connection and returns when all tasks are gone and all ports free.
    pub async fn stop(self) {
        self.tasks.stop().await;
    }
}

impl Drop for LinksHandle {
    fn drop(&mut self) {
        self.tasks.abort();
    }
}
