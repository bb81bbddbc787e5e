//! The session by script, step by step: `way` (connections, status), `twins` (desired), `reports`
//! `acknowledgements` and `expectations`. In a storm of faults it is `modtwin-sim`'s.

mod acknowledgements;
mod expectations;
mod reports;
mod script;
mod twins;
mod way;
