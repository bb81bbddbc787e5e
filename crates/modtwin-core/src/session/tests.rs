//! The session by script, step by step; and in a storm of faults (`simulation`).

mod hub;
mod simulation;
