//! site app
fn main() {}
