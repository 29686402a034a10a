//! The virtual-queue app that the lab's sites serve: tickets in PostgreSQL, positions in Redis.
//!
//! It takes its database and its epoch from the site's configuration and accepts a write only while the host's guard
//! permits it: see [`permit`] for the rule and for why a frozen process cannot break it.

mod clock;
mod database;
pub mod health;
mod page;
pub mod permit;
mod redis;
mod server;
pub mod site;
mod tickets;

pub use server::{AppConfig, router};
pub use tickets::Ticket;
