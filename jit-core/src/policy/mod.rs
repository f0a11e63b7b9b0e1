//! Who may ask for what, for how long, on what conditions, and who must agree.

pub mod terms;
pub mod text;
