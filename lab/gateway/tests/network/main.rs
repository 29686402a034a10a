//! The lab's network over real sockets: forwarding, faults, dark regions, links.

// The modules are marked so that the lints' allowances for tests reach the servers and clients that
// their tests share.
#[cfg(test)]
mod authorize;
#[cfg(test)]
mod dark;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod forwarding;
#[cfg(test)]
mod links;
#[cfg(test)]
mod models;
#[cfg(test)]
mod support;
