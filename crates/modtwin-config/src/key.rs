//! The one table of every key: type, default, range and a line of explanation.
//!
//! Reading, defaults, suggestions for unknown keys and the test of the man page all go by it.

use std::fmt;
use std::time::Duration;

/// One key of the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// The path from the top: `hub.port`, `module[].handler[].name`; `[]` marks repeated tables.
    pub path: &'static str,
    /// What the value is.
    pub value: KeyType,
    /// What holds where the key is not written.
    pub default: KeyDefault,
    /// What the key is for, in a line.
    pub summary: &'static str,
}

/// What the value of a [`Key`] is. Displays as what the file should have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyType {
    /// A string.
    Text,
    /// One of these strings.
    Choice(&'static [&'static str]),
    /// A string with a path, relative to the folder of the file that has it.
    Path,
    /// A path, or `credential:NAME`.
    File,
    /// A string with a number and a unit.
    Duration {
        /// The shortest that is taken.
        min: Duration,
        /// The longest that is taken.
        max: Duration,
    },
    /// A string with a whole number a second, from 1 to this.
    Rate(u32),
    /// An integer from 1 to 65535.
    Port,
    /// An array of strings, each a JSON Pointer.
    Pointers,
    /// An array of strings, each a number and a unit.
    Durations {
        /// The shortest that is taken.
        min: Duration,
        /// The longest that is taken.
        max: Duration,
    },
    /// An array of strings.
    Texts,
    /// A table.
    Table,
    /// An array of tables.
    Tables,
}

/// What holds where a [`Key`] is not written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyDefault {
    /// Nothing: the key must be there.
    Required,
    /// Nothing: the key may be left out.
    Optional,
    /// This value, as it would be written.
    Value(&'static str),
    /// What this text says.
    Described(&'static str),
}

impl fmt::Display for KeyType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text => f.write_str("a string"),
            Self::Choice(choices) => {
                for (index, choice) in choices.iter().enumerate() {
                    write!(f, "{}{choice:?}", if index > 0 { " or " } else { "" })?;
                }
                Ok(())
            }
            Self::Path => f.write_str("a string with a path"),
            Self::File => f.write_str("a string with a path or credential:NAME"),
            Self::Duration { .. } => f.write_str("a string with a unit, such as \"30s\""),
            Self::Rate(_) => f.write_str("a string with a rate, such as \"20/s\""),
            Self::Port => f.write_str("a port from 1 to 65535"),
            Self::Pointers => f.write_str("an array of JSON Pointers, such as [\"/hvac\"]"),
            Self::Durations { .. } => {
                f.write_str("an array of strings with a unit, such as [\"30d\"]")
            }
            Self::Texts => f.write_str("an array of strings"),
            Self::Table => f.write_str("a table"),
            Self::Tables => f.write_str("an array of tables, headed by [[…]]"),
        }
    }
}

/// Every key there is, in the order of the man page.
#[must_use]
pub fn keys() -> &'static [Key] {
    KEYS
}

/// The key at `path`.
pub(crate) fn find(path: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.path == path)
}

/// The value that holds where `path` is not written, as it would be written.
pub(crate) fn default_value(path: &str) -> &'static str {
    match find(path).map(|key| key.default) {
        Some(Value(text)) => text,
        _ => "",
    }
}

/// The names of the keys right under `prefix`, the empty one being the top.
pub(crate) fn names_under(prefix: &'static str) -> impl Iterator<Item = &'static str> {
    KEYS.iter().filter_map(move |key| {
        let (parent, name) = key.path.rsplit_once('.').unwrap_or(("", key.path));
        (parent == prefix).then(|| name.trim_end_matches("[]"))
    })
}

/// The tables that have a key called `name`, as their headers are written.
pub(crate) fn tables_with(name: &str) -> Vec<String> {
    KEYS.iter()
        .filter_map(|key| {
            let (parent, found) = key.path.rsplit_once('.')?;
            (found == name).then(|| header(parent))
        })
        .collect()
}

/// How the header of the table at `path` is written.
fn header(path: &str) -> String {
    let plain = path.replace("[]", "");
    if path.ends_with("[]") { format!("[[{plain}]]") } else { format!("[{plain}]") }
}

const fn key(
    path: &'static str,
    value: KeyType,
    default: KeyDefault,
    summary: &'static str,
) -> Key {
    Key { path, value, default, summary }
}

use KeyDefault::{Described, Optional, Required, Value};
use KeyType::{Choice, File, Path, Pointers, Port, Table, Tables, Text, Texts};

const KEYS: &[Key] = &[
    key("hub", Table, Required, "The hub, and how to reach it."),
    key("hub.hostname", Text, Required, "The hub's name, such as contoso.azure-devices.net."),
    key("hub.device-id", Text, Required, "The device whose modules these are."),
    key("hub.transport", Choice(&["mqtt", "websocket"]), Value("mqtt"), "What MQTT runs over."),
    key(
        "hub.port",
        Port,
        Described("8883, or 443 with transport = \"websocket\""),
        "The TCP port.",
    ),
    key(
        "hub.gateway-hostname",
        Text,
        Optional,
        "A gateway to dial and verify in the hub's place; user names keep the hub's.",
    ),
    key(
        "hub.trusted-ca",
        Path,
        Described("the system's authorities"),
        "A PEM file with the only authorities to trust.",
    ),
    key(
        "hub.keep-alive",
        // The hub ends a link at 1.5 times the client's value and takes no more than 1177 s
        // ("Communicate with an IoT hub using the MQTT protocol", default keep-alive timeout).
        KeyType::Duration { min: Duration::from_secs(5), max: Duration::from_secs(1177) },
        Value("180s"),
        "MQTT's keep-alive, in whole seconds.",
    ),
    key("hub.api-version", Text, Value("2021-04-12"), "The api-version in the user name."),
    key(
        "hub.retry-delay",
        KeyType::Duration { min: Duration::from_millis(10), max: Duration::from_secs(60) },
        Value("1s"),
        "The base that every wait before a retry is a multiple of.",
    ),
    key(
        "hub.token-lifetime",
        KeyType::Duration { min: Duration::from_secs(10), max: Duration::from_secs(86_400) },
        Value("1h"),
        "How long the tokens of symmetric keys are good; they are renewed before that.",
    ),
    key(
        "hub.operation-rate",
        KeyType::Rate(10_000),
        Value("20/s"),
        "How many twin reads and reports all modules together send, in the long run.",
    ),
    key("socket", Table, Optional, "The local socket."),
    key("socket.path", Path, Value("/run/modtwin/modtwin.sock"), "Where the socket is made."),
    key(
        "socket.admin-group",
        Text,
        Value("modtwin"),
        "The group whose members may ask for everything.",
    ),
    key("state", Table, Optional, "Where state is kept."),
    key("state.directory", Path, Value("/var/lib/modtwin"), "The folder with one folder a module."),
    key("credentials", Table, Optional, "What is said of credentials."),
    key(
        "credentials.expiry-warnings",
        KeyType::Durations {
            min: Duration::from_secs(3600),
            max: Duration::from_secs(3650 * 86_400),
        },
        Described("30d, 7d and 1d"),
        "How long before a certificate's end the log warns of it; [] for never.",
    ),
    key("module[]", Tables, Optional, "A module identity; at most 20."),
    key("module[].id", Text, Required, "The module's id in the hub's registry."),
    key(
        "module[].certificate",
        File,
        Optional,
        "A PEM certificate with CN=<device>/<module>, followed by its intermediates.",
    ),
    key("module[].private-key", File, Optional, "The certificate's private key, PEM."),
    key(
        "module[].private-key-password-file",
        File,
        Optional,
        "A file whose first line is the password of an encrypted private key.",
    ),
    key(
        "module[].connection-string-file",
        File,
        Optional,
        "A file with the module's connection string, instead of a certificate.",
    ),
    key(
        "module[].shared-access-key-file",
        File,
        Optional,
        "A file with the module's symmetric key in base64, instead of a certificate.",
    ),
    key(
        "module[].acknowledge",
        Choice(&["none", "pnp"]),
        Value("none"),
        "Whether what handlers acknowledge is reported as ac, av and ad.",
    ),
    key("module[].model-id", Text, Optional, "The Plug and Play model to announce, a DTMI."),
    key(
        "module[].method-timeout",
        // 5 min is the longest that a caller may wait ("Understand and invoke direct methods").
        KeyType::Duration { min: Duration::from_secs(1), max: Duration::from_secs(300) },
        Value("30s"),
        "How long a direct method may take before the gateway answers 504 for its handler.",
    ),
    key("module[].handler[]", Tables, Optional, "A local process that may use the module."),
    key("module[].handler[].name", Text, Required, "The handler's name, unique in its module."),
    key("module[].handler[].user", Text, Optional, "The system user that it runs as."),
    key("module[].handler[].group", Text, Optional, "A system group that it runs with."),
    key("module[].handler[].unit", Text, Optional, "The systemd unit that it belongs to."),
    key(
        "module[].handler[].watch",
        Pointers,
        Described("everything"),
        "Which desired properties it may see.",
    ),
    key(
        "module[].handler[].report",
        Pointers,
        Described("everything"),
        "Which reported properties it may write.",
    ),
    key("module[].handler[].methods", Texts, Described("none"), "The direct methods it answers."),
    key(
        "module[].handler[].ack-timeout",
        KeyType::Duration { min: Duration::from_millis(10), max: Duration::from_secs(86_400) },
        Described("as long as it likes"),
        "How long it may take to acknowledge a change.",
    ),
];
