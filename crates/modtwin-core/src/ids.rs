//! Names of devices and modules, checked once and then carried as types.

use alloc::borrow::ToOwned;
use alloc::string::String;
use core::fmt;

/// The longest device or module id, in characters (IoT Hub identity registry).
pub const MAX_ID_LENGTH: usize = 128;

/// Why a text is no device or module id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// The text is empty.
    #[error("an id must have at least one character")]
    Empty,
    /// The text has more than [`MAX_ID_LENGTH`] characters.
    #[error("an id must have at most {MAX_ID_LENGTH} characters, found {0}")]
    TooLong(usize),
    /// The text has a character that an id must not have.
    #[error(
        "an id must not contain {0:?}; allowed are letters, digits and - : . % _ * ! ( ) , = @ ; $ '"
    )]
    Character(char),
    /// The text begins with `$`, which the hub reserves.
    #[error("an id must not begin with `$`: the hub reserves such names")]
    Reserved,
}

/// Checks the characters that both kinds of id share.
///
/// `+`, `#` and `?` are legal in the registry but break MQTT topics and user names, so that they
/// are refused here.
fn check(text: &str) -> Result<(), IdError> {
    if text.is_empty() {
        return Err(IdError::Empty);
    }
    if text.starts_with('$') {
        return Err(IdError::Reserved);
    }
    if let Some(found) =
        text.chars().find(|c| !c.is_ascii_alphanumeric() && !"-:.%_*!(),=@;$'".contains(*c))
    {
        return Err(IdError::Character(found));
    }
    match text.chars().count() {
        length if length > MAX_ID_LENGTH => Err(IdError::TooLong(length)),
        _ => Ok(()),
    }
}

macro_rules! id {
    ($name:ident, $what:literal) => {
        #[doc = concat!("The id of a ", $what, ": case-sensitive, 1 to 128 characters.")]
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            #[doc = concat!("Checks `text` as the id of a ", $what, ".")]
            ///
            /// # Errors
            ///
            /// [`IdError`] where the text is empty, too long or has a character the hub or MQTT
            /// would not carry.
            pub fn new(text: &str) -> Result<Self, IdError> {
                check(text).map(|()| Self(text.to_owned()))
            }

            /// The id as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

id!(DeviceId, "device");
id!(ModuleId, "module");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_take_what_hub_and_mqtt_both_carry() {
        for good in ["module01", "a", "cam-1:front", "x.y_z%20", "(a)=@;'!,*", "a$"] {
            assert!(ModuleId::new(good).is_ok(), "{good}");
        }
        assert_eq!(ModuleId::new(""), Err(IdError::Empty));
        assert_eq!(ModuleId::new("$edgeAgent"), Err(IdError::Reserved));
        for bad in ["a/b", "a+b", "a#b", "a?b", "a b", "ä", "a\nb"] {
            assert!(matches!(ModuleId::new(bad), Err(IdError::Character(_))), "{bad}");
        }
        let long = "m".repeat(129);
        assert_eq!(ModuleId::new(&long), Err(IdError::TooLong(129)));
    }
}
