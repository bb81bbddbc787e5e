//! The task that drives one module identity, and the ports it needs.
