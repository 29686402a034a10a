//! The lab's network over real sockets: forwarding, faults, dark regions, links.

mod authorize;
mod dark;
mod faults;
mod forwarding;
// Marked so that the lints' allowances for tests reach the servers that these tests share.
#[cfg(test)]
mod links;
#[cfg(test)]
mod support;
