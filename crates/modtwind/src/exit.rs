//! Exit codes, as in sysexits.h; systemd does not restart after [`CONFIG`].

use std::error::Error as _;
use std::io;

use crate::daemon::StartError;
use crate::local_api::socket::SocketError;

/// Wrong command line.
pub const USAGE: u8 = 64;
/// Something failed that should not.
pub const INTERNAL: u8 = 70;
/// Not permitted.
pub const PERMISSION: u8 = 77;
/// The config is wrong.
pub const CONFIG: u8 = 78;

/// The exit code for a failed start.
#[must_use]
pub fn code(error: &StartError) -> u8 {
    match error {
        StartError::Config(_) => CONFIG,
        StartError::Socket(error) if is_denied(error) => PERMISSION,
        StartError::Socket(_) | StartError::Mqtt(_) => INTERNAL,
    }
}

fn is_denied(error: &SocketError) -> bool {
    error
        .source()
        .and_then(|cause| cause.downcast_ref::<io::Error>())
        .is_some_and(|cause| cause.kind() == io::ErrorKind::PermissionDenied)
}
