//! TCP forwarders: network paths that can be cut, frozen, slowed, or stalled in one direction.

mod admin;
mod forward;
mod pump;
mod start;
mod state;

pub use start::{LinkConfig, LinksConfig, LinksError, LinksHandle, start};
pub use state::{LinkState, LinkStatus, Links, UnknownLink};
