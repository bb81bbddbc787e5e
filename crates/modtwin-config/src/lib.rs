//! modtwind's TOML files, read into checked types.
