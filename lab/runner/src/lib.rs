//! The lab: one machine as two AWS regions, and the drills that run on it.
//!
//! It lies below AWS's API line: the functions, templates and state machines that run in it are the
//! ones that deploy, with their own timings. [`lab`] is the cloud and the two sites, [`client`] the
//! user who measures, [`drill`] the disasters, and [`report`] the verdict.

pub mod client;
pub mod clock;
pub mod drill;
pub mod lab;
pub mod report;
pub mod say;
