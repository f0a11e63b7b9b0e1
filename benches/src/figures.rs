//! How a measurement tells its figures to `cargo xtask bench`: a line for each on its standard output, between whatever else it says
//! to people.

/// Says that the figure `name` is `value`.
pub fn figure(name: &str, value: f64) {
    println!("figure {name} {value}");
}

/// Whether the run was asked to be a short one, with `--quick`: fewer rounds, and figures that are less worth.
pub fn quick() -> bool {
    std::env::args().any(|argument| argument == "--quick")
}
