//! What the program does beside serving: its command line, its manual, and small errands in an emulator's folder.

pub(crate) mod arguments;
pub(crate) mod authority;
pub(crate) mod connection_string;
pub(crate) mod manual;
mod service;
