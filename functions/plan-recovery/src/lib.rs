//! plan-recovery
