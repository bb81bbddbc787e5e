//! Command line of modtwin.
