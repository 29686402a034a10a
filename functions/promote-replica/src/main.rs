//! promote-replica
fn main() {}
