//! site-control
fn main() {}
