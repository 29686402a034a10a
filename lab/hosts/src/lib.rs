//! The lab's hosts: SSM documents and Run Command over real processes on this machine.
//!
//! A host is a directory, a clean environment, an agent that runs the documents' scripts, and a service manager
//! for what outlives them. It can be killed, frozen, thawed and booted as a machine can. The API is AWS's (JSON 1.1,
//! the region from the request's signature), so that functions and tools use it unchanged.
//!
//! Invariants: nothing runs on a host that is off; a stopped or dropped [`HostsServer`] leaves no process; a command for
//! a host that does not answer waits and times out, it is never reported as done.

mod api;
mod api_commands;
mod clock;
mod command;
mod document;
mod error;
mod hooks;
mod host;
mod http;
mod interpolation;
mod lock;
mod parameters;
mod processes;
mod run;
mod server;
mod service;
mod store;

pub use error::HostsError;
pub use host::{HostSpec, HostState};
pub use server::{HostsConfig, HostsServer};
pub use service::{ServiceSpec, ServiceState};
