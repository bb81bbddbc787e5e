//! The table of contents: all sections in the fact sheet's order.

use crate::case::Case;
use crate::{
    documents, methods, quotas, registry, sessions, shared_access, transport, twins, x509,
};

/// Every case.
pub(crate) fn all() -> Vec<Case> {
    [
        transport::cases(),
        sessions::cases(),
        shared_access::cases(),
        x509::cases(),
        twins::cases(),
        documents::cases(),
        methods::cases(),
        registry::cases(),
        quotas::cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
