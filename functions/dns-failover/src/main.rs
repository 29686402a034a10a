//! dns-failover
fn main() {}
