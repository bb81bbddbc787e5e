//! The session by script, step by step: `way` (connections, status), `twins` (desired), `reports`
//! `acknowledgements` and `expectations`; and in a storm of faults (`simulation`).

mod acknowledgements;
mod expectations;
mod hub;
mod reports;
mod script;
mod simulation;
mod twins;
mod way;
