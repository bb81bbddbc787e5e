//! The keys of the config as a section of modtwind.toml(5), out of the one table of them.

use std::fmt::Write as _;

use modtwin_config::{Key, KeyDefault, KeyType, keys};

/// Every key: what it is, its range, its default, and what it is for.
pub(crate) fn all() -> String {
    let mut text = String::new();
    for key in keys() {
        let _infallible = match key.value {
            KeyType::Table | KeyType::Tables => {
                write!(text, ".SS {}\n{}\n", heading(key), escape(key.summary))
            }
            _ => write!(
                text,
                ".TP\n\\fB{}\\fR = \\fI{}\\fR\n{}\n{}\n",
                escape(key.path.rsplit('.').next().unwrap_or(key.path)),
                escape(&key.value.to_string()),
                escape(key.summary),
                escape(&limits(key)),
            ),
        };
    }
    text
}

fn heading(key: &Key) -> String {
    let name = escape(&key.path.replace("[]", ""));
    if key.path.ends_with("[]") { format!("[[{name}]]") } else { format!("[{name}]") }
}

fn limits(key: &Key) -> String {
    let mut text = match key.default {
        KeyDefault::Required => "Required.".to_owned(),
        KeyDefault::Optional => "Optional.".to_owned(),
        KeyDefault::Value(value) => format!("Default: {value}."),
        KeyDefault::Described(words) => format!("Default: {words}."),
    };
    if let KeyType::Duration { min, max } = key.value {
        let _infallible = write!(text, " From {min:?} to {max:?}.");
    }
    if let KeyType::Rate(max) = key.value {
        let _infallible = write!(text, " From 1/s to {max}/s.");
    }
    text
}

fn escape(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('-', "\\-");
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
}
