//! The daemon: supervisor, durable state, local API.
