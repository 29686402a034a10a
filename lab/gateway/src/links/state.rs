//! The links of the lab and the state that each is in.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// What a link does with its connections. A change applies to open connections as well.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "state", deny_unknown_fields)]
pub enum LinkState {
    /// Bytes pass.
    #[default]
    Up,
    /// Open connections are reset, and new ones at once: as when a host is gone and its network says so.
    Cut,
    /// Connections are accepted and held silent, open ones are frozen: as when packets are dropped. All
    /// go on when the link is up again.
    Hang,
    /// Bytes pass after this many milliseconds in each direction.
    Delay {
        /// The delay one way, in milliseconds.
        ms: u64,
    },
    /// Bytes from the target to the client are held back; those from the client pass. A replica that
    /// streams over such a link lags.
    StallAnswers,
    /// Bytes from the client to the target are held back; those from the target pass.
    StallRequests,
}

impl LinkState {
    /// How long bytes towards the client, or towards the target, are kept back; `None`: until the state changes.
    pub(super) fn hold(self, towards: Towards) -> Option<Duration> {
        match (self, towards) {
            (Self::Up | Self::Cut, _)
            | (Self::StallAnswers, Towards::Target)
            | (Self::StallRequests, Towards::Client) => Some(Duration::ZERO),
            (Self::Delay { ms }, _) => Some(Duration::from_millis(ms)),
            (Self::Hang, _)
            | (Self::StallAnswers, Towards::Client)
            | (Self::StallRequests, Towards::Target) => None,
        }
    }
}

/// A direction on a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Towards {
    Client,
    Target,
}

/// One link as the admin API shows it.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct LinkStatus {
    /// The link's name.
    pub name: String,
    /// Where clients connect.
    pub listen: SocketAddr,
    /// Where their bytes go.
    pub target: SocketAddr,
    /// The state it is in.
    #[serde(flatten)]
    pub state: LinkState,
    /// How many connections are open now.
    pub open: usize,
    /// How many connections were accepted since the start.
    pub accepted: usize,
}

/// No link has this name or prefix.
#[derive(Debug, thiserror::Error)]
#[error("no link is named {0}; GET /links lists them")]
pub struct UnknownLink(
    /// The name asked for.
    pub String,
);

/// All links; clones share them. What the admin API does, this does.
#[derive(Clone, Debug)]
pub struct Links(Arc<BTreeMap<String, Link>>);

/// One link.
#[derive(Clone, Debug)]
pub(super) struct Link {
    pub(super) listen: SocketAddr,
    pub(super) target: SocketAddr,
    pub(super) state: watch::Sender<LinkState>,
    pub(super) open: Arc<AtomicUsize>,
    pub(super) accepted: Arc<AtomicUsize>,
}

impl Links {
    pub(super) fn new(links: BTreeMap<String, Link>) -> Self {
        Self(Arc::new(links))
    }

    /// Sets the link called `name`.
    ///
    /// # Errors
    /// [`UnknownLink`] when there is none.
    pub fn set(&self, name: &str, state: LinkState) -> Result<(), UnknownLink> {
        let link = self.0.get(name).ok_or_else(|| UnknownLink(name.to_owned()))?;
        link.state.send_replace(state);
        Ok(())
    }

    /// Sets every link whose name starts with `prefix` and returns their names; an empty prefix means all.
    pub fn set_prefix(&self, prefix: &str, state: LinkState) -> Vec<String> {
        let chosen = self.0.iter().filter(|(name, _)| name.starts_with(prefix));
        chosen
            .map(|(name, link)| {
                link.state.send_replace(state);
                name.clone()
            })
            .collect()
    }

    /// The link called `name`.
    ///
    /// # Errors
    /// [`UnknownLink`] when there is none.
    pub fn get(&self, name: &str) -> Result<LinkStatus, UnknownLink> {
        self.0.get(name).map(|link| link.status(name)).ok_or_else(|| UnknownLink(name.to_owned()))
    }

    /// All links, by name.
    #[must_use]
    pub fn list(&self) -> Vec<LinkStatus> {
        self.0.iter().map(|(name, link)| link.status(name)).collect()
    }
}

impl Link {
    fn status(&self, name: &str) -> LinkStatus {
        LinkStatus {
            name: name.to_owned(),
            listen: self.listen,
            target: self.target,
            state: *self.state.borrow(),
            open: self.open.load(Ordering::Relaxed),
            accepted: self.accepted.load(Ordering::Relaxed),
        }
    }
}
