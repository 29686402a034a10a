//! What the hosts of a site made of an order, and whether that is enough.
//!
//! Run Command's word for a command as a whole does not say it. `Failed` needs as many failures as
//! MaxErrors allows; fewer make a command `Incomplete`, which the API's `Status` has no word for at
//! all; a host that never took the order (`DeliveryTimedOut`) is no error, and one that is
//! `Undeliverable` counts for nothing (Systems Manager User Guide, "Understanding command statuses";
//! API reference, `Command` and `CommandInvocation`, `StatusDetails`). So what is judged here is what
//! each host answered, against how many there are.
//!
//! Activating wants enough hosts: one that is off must not keep a site dark, and one alone is not a
//! site of ten. Fencing wants every host: one that did not answer may still write, and is named.

mod answers;
mod judge;
#[cfg(test)]
mod tests;

pub use answers::{Answer, Answers, HostFailure};
pub use judge::{
    Activation, FENCE_PATIENCE, Fencing, STALE_EPOCH, Shortfall, WORK_PATIENCE, activation,
    enough_of, fencing,
};
