//! The official SDKs, unchanged, against the emulator: the programs in `tests/sdk` do what they are told, and what
//! they say is compared with what the hub knows. `cargo xtask official-clients` installs the SDKs and starts this.

#[cfg(test)]
mod hub;
#[cfg(test)]
mod identities;
#[cfg(test)]
mod program;
#[cfg(test)]
mod services;
#[cfg(test)]
#[path = "../emulator/support/mod.rs"]
#[expect(dead_code, unused_imports, reason = "these stories need a part of it")]
mod support;
