//! The lab's network: what stands between a caller and AWS, and between a caller and a site.
//!
//! - [`gateway`] is the reverse proxy in front of the local AWS. It has one port per caller region,
//!   so that it knows where a call comes from; the call's signature says where it goes. It forwards
//!   calls byte-exact, takes fault rules, and logs every call.
//! - [`links`] are TCP forwarders with which a network path can be cut, frozen, slowed, or stalled in
//!   one direction.
//!
//! Both are started by an async function and live as long as the handle that it returns. `stop` waits
//! until every task has ended and every port is free; dropping the handle ends them too, without
//! waiting.

mod clock;
pub mod gateway;
pub mod links;
mod listen;
mod tasks;

pub use listen::ListenError;
