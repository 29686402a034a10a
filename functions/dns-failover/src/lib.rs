//! dns-failover
