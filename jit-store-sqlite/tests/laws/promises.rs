//! What this store promises beyond the laws.
