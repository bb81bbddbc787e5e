//! Certificates, keys and tokens of module identities, and a TLS probe.
