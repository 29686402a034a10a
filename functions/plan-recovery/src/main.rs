//! plan-recovery
fn main() {}
