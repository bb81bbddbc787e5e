//! The session by script, step by step: `way` (connections, status), `twins` (desired), `reports`
//! and `acknowledgements`; and in a storm of faults (`simulation`).

mod acknowledgements;
mod hub;
mod reports;
mod script;
mod simulation;
mod twins;
mod way;
