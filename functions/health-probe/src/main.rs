//! health-probe
fn main() {}
