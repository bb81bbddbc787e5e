//! Tests across crates; the cases are in the `[[test]]` targets.
