//! The common name that a module's certificate must have, and every way to get it wrong.

use modtwin_core::ids::{DeviceId, ModuleId};
use openssl::nid::Nid;
use openssl::x509::X509NameRef;

/// The longest common name that X.520 allows, in characters (RFC 5280, appendix A.1,
/// `ub-common-name`).
pub const MAX_COMMON_NAME_LENGTH: usize = 64;

/// Why a certificate's common name (CN) is not the module's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommonNameError {
    /// The subject has no CN.
    #[error("expected CN `{expected}`, found a subject without CN")]
    Absent {
        /// What it must be.
        expected: String,
    },
    /// The subject has more than one CN.
    #[error(
        "expected one CN `{expected}`, found {}: device and module belong into one CN, \
         with a slash between them (openssl: -subj \"/CN={}\")",
        list(found),
        subject_argument(expected)
    )]
    Several {
        /// What it must be.
        expected: String,
        /// The common names in their order.
        found: Vec<String>,
    },
    /// A backslash is part of the name.
    #[error(
        "expected CN `{expected}`, found `{found}`: the backslash is part of the name; \
         it belongs to the syntax of openssl's -subj alone, other tools take the plain slash"
    )]
    Backslash {
        /// What it must be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// The name is the device's.
    #[error(
        "expected CN `{expected}`, found `{found}`: that is the device's name alone; \
         a device's certificate cannot be used for a module \
         (openssl: -subj \"/CN={}\", the backslash keeps the slash in the name)",
        subject_argument(expected)
    )]
    DeviceOnly {
        /// What it must be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// The name lacks the device.
    #[error("expected CN `{expected}`, found `{found}`: the device's id and a slash are missing")]
    ModuleOnly {
        /// What it must be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// Letters differ in case.
    #[error("expected CN `{expected}`, found `{found}`: upper and lower case differ")]
    Case {
        /// What it must be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// Module and device have changed places.
    #[error("expected CN `{expected}`, found `{found}`: the device comes first, then the module")]
    Swapped {
        /// What it must be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// No certificate of ordinary tools can have the name.
    #[error(
        "expected CN `{expected}`, found `{found}`: the expected name has {length} characters, \
         X.520 allows {MAX_COMMON_NAME_LENGTH}; choose shorter ids or a symmetric key"
    )]
    TooLong {
        /// What it must be.
        expected: String,
        /// What it is.
        found: String,
        /// The expected name's characters.
        length: usize,
    },
    /// The name is another.
    #[error("expected CN `{expected}`, found `{found}`")]
    Other {
        /// What it must be.
        expected: String,
        /// What it is.
        found: String,
    },
}

/// The common name of a module's certificate.
pub(crate) fn expected(device: &DeviceId, module: &ModuleId) -> String {
    format!("{device}/{module}")
}

/// Every CN of `subject` in its order.
pub(crate) fn common_names(subject: &X509NameRef) -> Vec<String> {
    subject
        .entries_by_nid(Nid::COMMONNAME)
        .map(|entry| match entry.data().to_string() {
            Ok(text) => text,
            Err(_) => String::from_utf8_lossy(entry.data().as_slice()).into_owned(),
        })
        .collect()
}

/// Judges the common names of a subject; the comparison is exact, as the hub's.
pub(crate) fn check(
    found: Vec<String>,
    device: &DeviceId,
    module: &ModuleId,
) -> Result<(), CommonNameError> {
    let expected = expected(device, module);
    let mut names = found.iter();
    match (names.next(), names.next()) {
        (None, _) => Err(CommonNameError::Absent { expected }),
        (Some(_), Some(_)) => Err(CommonNameError::Several { expected, found }),
        (Some(name), None) if *name == expected => Ok(()),
        (Some(name), None) => Err(wrong(expected, name.clone(), device, module)),
    }
}

/// Says how `found` differs from `expected`.
fn wrong(expected: String, found: String, device: &DeviceId, module: &ModuleId) -> CommonNameError {
    let length = expected.chars().count();
    if found.contains('\\') {
        CommonNameError::Backslash { expected, found }
    } else if found.eq_ignore_ascii_case(&expected) {
        CommonNameError::Case { expected, found }
    } else if found == format!("{module}/{device}") {
        CommonNameError::Swapped { expected, found }
    } else if length > MAX_COMMON_NAME_LENGTH {
        CommonNameError::TooLong { expected, found, length }
    } else if found == device.as_str() {
        CommonNameError::DeviceOnly { expected, found }
    } else if found == module.as_str() {
        CommonNameError::ModuleOnly { expected, found }
    } else {
        CommonNameError::Other { expected, found }
    }
}

/// A name as the shell hands it to openssl's `-subj`, where a slash needs a backslash.
fn subject_argument(name: &str) -> String {
    name.replace('/', "\\/")
}

fn list(names: &[String]) -> String {
    let quoted: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
    quoted.join(" and ")
}
