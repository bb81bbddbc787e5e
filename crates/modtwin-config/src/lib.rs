//! modtwind's TOML files, read into checked types.
//!
//! Owns: which keys there are ([`keys`]), how the files are joined ([`load`](Config::load)), what
//! each value may be, and what changed between two configs ([`ConfigDiff`]). Leaves to others:
//! opening what the config names. Certificates, keys, users and groups are not looked at here, so
//! that a bad one harms its module alone, while a [`Problem`] in a file refuses the files as a
//! whole.
//!
//! # How files are joined
//!
//! The first file is the one named on the command line, the others are `conf.d/*.toml` beside it,
//! in the order of their names.
//!
//! - `[hub]`, `[socket]`, `[state]`, `[credentials]` and `[fleet]` are joined key by key: the later file wins.
//! - `[[module]]` adds modules. A module is written in one place: the same `id` twice, in one file
//!   or in two, is a problem that names both places.
//! - A relative path is relative to the folder of the file that names it.

mod check;
mod diff;
mod field;
mod files;
mod fleet;
mod key;
mod model;
mod module;
mod place;
mod problem;
mod read;
mod sections;
mod settings;
mod values;

pub use diff::ConfigDiff;
pub use files::{Files, MAX_FILE_BYTES, Source, config_files, drop_in_folder};
pub use key::{Key, KeyDefault, KeyType, keys};
pub use model::{
    Acknowledge, Config, Credential, Credentials, FileRef, FileRefError, Fleet, Handler, Hub,
    MAX_MODULES, Module, Principal, Socket, State, Transport,
};
pub use problem::{Problem, ProblemKind, Problems};
pub use settings::{ChangedKey, changed_keys};
