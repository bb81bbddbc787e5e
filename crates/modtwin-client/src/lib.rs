//! Async client of modtwin's local API.
