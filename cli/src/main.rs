//! lifeboat
fn main() {}
