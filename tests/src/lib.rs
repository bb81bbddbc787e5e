//! Tests across crates; the cases are in the `[[test]]` targets. This library has what a test and a
//! program share: what is fuzzed.

pub mod fuzzing;
