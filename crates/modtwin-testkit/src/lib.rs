//! Doubles and helpers for modtwin's tests.
