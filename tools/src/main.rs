//! The tidestone command.
fn main() {}
