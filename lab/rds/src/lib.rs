//! The RDS API of the lab, over real PostgreSQL servers on loopback addresses.
//!
//! The server speaks Amazon RDS's query protocol (form-encoded requests, XML answers, version
//! 2014-10-31) and keeps one PostgreSQL server for each DB instance: a replica really streams,
//! promotion really promotes, and a stopped instance really refuses connections. Calls answer at
//! once and the work goes on in the background, so a caller sees the states in between
//! (`creating`, `modifying`, `stopping`, ...) as on AWS.
//!
//! Two promises hold whatever happens:
//! * Promotion never contacts the replica's source, so it works when the source is dead or hangs.
//! * No PostgreSQL server outlives the process: each one is started by a thread that lives as long
//!   as the server does, with a parent-death signal, and leftovers of a process that died while
//!   its instances were frozen are ended at the next start.
//!
//! Instances with a retention have automated backups: bases and their archived log, which a
//! point-in-time restore replays, here or from a copy in the other region.
//!
//! What differs from RDS: an endpoint's address is an IP address, storage and instance classes are
//! only recorded, and promotion does not restart the server.

mod api;
mod automated;
mod clock;
mod config;
mod disaster;
mod error;
mod launcher;
mod model;
mod monitor;
mod postgres;
mod processes;
mod query;
mod server;
mod service;
mod store;
mod xml;

pub use config::{AddressPool, LinkPrefix, POSTGRES_PORT, RdsConfig};
pub use error::{DisasterError, StartError};
pub use server::{RdsHandle, RdsServer};
