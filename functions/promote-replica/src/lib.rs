//! promote-replica
