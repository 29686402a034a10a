//! recovery-log
fn main() {}
