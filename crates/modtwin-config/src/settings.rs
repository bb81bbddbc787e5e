//! A config as flat settings, so that two of them compare key by key for people.
//!
//! Owns how a value reads. What a change costs is [`ConfigDiff`](crate::ConfigDiff)'s.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::Path;
use std::time::Duration;

use modtwin_core::document::Pointer;
use modtwin_core::ids::ModuleId;

use crate::model::{
    Acknowledge, Config, Credential, Fleet, Handler, Hub, Module, Principal, Transport,
};

/// A key that two configs have different values for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangedKey {
    /// The module that it belongs to; none for the sections that there is one of.
    pub module: Option<ModuleId>,
    /// The key: `hub.port`, or below its module `handler[hvac].watch`.
    pub key: String,
    /// The old value as it would be written; none where there was none.
    pub before: Option<String>,
    /// The new value as it would be written; none where there is none.
    pub after: Option<String>,
}

/// The keys that differ, defaults included: those of the sections, then those of each module that
/// both configs have, in the new one's order.
#[must_use]
pub fn changed_keys(old: &Config, new: &Config) -> Vec<ChangedKey> {
    let mut changed = compare(None, &sections(old), &sections(new));
    for module in &new.modules {
        if let Some(before) = old.modules.iter().find(|before| before.id == module.id) {
            changed.extend(compare(Some(&module.id), &of_module(before), &of_module(module)));
        }
    }
    changed
}

type Settings = BTreeMap<String, String>;

fn compare(module: Option<&ModuleId>, old: &Settings, new: &Settings) -> Vec<ChangedKey> {
    let keys: std::collections::BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    keys.into_iter()
        .filter(|key| old.get(*key) != new.get(*key))
        .map(|key| ChangedKey {
            module: module.cloned(),
            key: key.clone(),
            before: old.get(key).cloned(),
            after: new.get(key).cloned(),
        })
        .collect()
}

/// Collects settings; what is not there is left out.
#[derive(Default)]
struct Listing(Settings);

impl Listing {
    fn put(&mut self, key: &str, value: impl Into<Option<String>>) {
        if let Some(value) = value.into() {
            self.0.insert(key.to_owned(), value);
        }
    }
}

fn sections(config: &Config) -> Settings {
    let Config { hub, socket, state, credentials, fleet, modules: _ } = config;
    let mut listing = Listing::default();
    of_hub(hub, &mut listing);
    listing.put("socket.path", path(&socket.path));
    listing.put("socket.admin-group", text(&socket.admin_group));
    listing.put("state.directory", path(&state.directory));
    let warnings = credentials.expiry_warnings.iter().map(|warning| time(*warning));
    listing.put("credentials.expiry-warnings", list(warnings));
    let Fleet { version, report_module } = fleet;
    listing.put("fleet.version", version.as_ref().map(text));
    listing.put("fleet.report-module", report_module.as_ref().map(|module| text(module.as_str())));
    listing.0
}

fn of_hub(hub: &Hub, listing: &mut Listing) {
    let transport = match hub.transport {
        Transport::Mqtt => "mqtt",
        Transport::WebSocket => "websocket",
    };
    listing.put("hub.hostname", text(&hub.hostname));
    listing.put("hub.device-id", text(hub.device_id.as_str()));
    listing.put("hub.transport", text(transport));
    listing.put("hub.port", hub.port.to_string());
    listing.put("hub.gateway-hostname", hub.gateway_hostname.as_ref().map(text));
    listing.put("hub.trusted-ca", hub.trusted_ca.as_deref().map(path));
    listing.put("hub.keep-alive", time(hub.keep_alive));
    listing.put("hub.api-version", text(&hub.api_version));
    listing.put("hub.retry-delay", time(hub.retry_delay));
    listing.put("hub.token-lifetime", time(hub.token_lifetime));
    listing.put("hub.operation-rate", text(format!("{}/s", hub.operations_per_second)));
}

fn of_module(module: &Module) -> Settings {
    let Module { id: _, credential, acknowledge, model_id, method_timeout, handlers } = module;
    let mut listing = Listing::default();
    let file = |file: &crate::model::FileRef| text(file.to_string());
    match credential {
        Credential::X509 { certificate, private_key, private_key_password_file } => {
            listing.put("certificate", file(certificate));
            listing.put("private-key", file(private_key));
            let password = private_key_password_file.as_ref().map(file);
            listing.put("private-key-password-file", password);
        }
        Credential::ConnectionStringFile(path) => listing.put("connection-string-file", file(path)),
        Credential::SharedAccessKeyFile(path) => listing.put("shared-access-key-file", file(path)),
    }
    let acknowledge = match acknowledge {
        Acknowledge::None => "none",
        Acknowledge::Pnp => "pnp",
    };
    listing.put("acknowledge", text(acknowledge));
    listing.put("model-id", model_id.as_ref().map(text));
    listing.put("method-timeout", time(*method_timeout));
    // Their order says who a process is that several fit.
    listing.put("handler", list(handlers.iter().map(|handler| text(&handler.name))));
    for handler in handlers {
        of_handler(handler, &mut listing);
    }
    listing.0
}

fn of_handler(handler: &Handler, listing: &mut Listing) {
    let Handler { name, principal, watch, report, methods, ack_timeout } = handler;
    let mut put = |key: &str, value| listing.put(&format!("handler[{name}].{key}"), value);
    match principal {
        Principal::User(name) => put("user", Some(text(name))),
        Principal::Group(name) => put("group", Some(text(name))),
        Principal::Unit(name) => put("unit", Some(text(name))),
    }
    let pointers = |pointers: &[Pointer]| list(pointers.iter().map(|it| text(it.to_string())));
    put("watch", Some(pointers(watch)));
    put("report", Some(pointers(report)));
    put("methods", Some(list(methods.iter().map(text))));
    put("ack-timeout", ack_timeout.map(time));
}

fn text(text: impl AsRef<str>) -> String {
    quoted(&text.as_ref())
}

fn path(path: &Path) -> String {
    quoted(&path.display().to_string())
}

fn quoted(text: &impl Debug) -> String {
    format!("{text:?}")
}

fn time(duration: Duration) -> String {
    text(humantime::format_duration(duration).to_string())
}

fn list(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::{KeyType, Source, keys};

    fn config(text: &str) -> Config {
        let hub = "[hub]\nhostname = \"h\"\ndevice-id = \"d\"\n";
        let text = format!("{hub}{text}");
        Config::check(&[Source { path: PathBuf::from("/etc/a.toml"), text }]).unwrap()
    }

    /// Whoever adds a key to the table is told here that a difference in it would be silent.
    #[test]
    fn every_key_of_the_table_is_a_setting() {
        let module = |id: &str, rest: &str| format!("[[module]]\nid = \"{id}\"\n{rest}\n");
        let handler = |rest: &str| {
            format!("[[module.handler]]\nname = \"x\"\n{rest}\nack-timeout = \"1s\"\n")
        };
        let text = [
            "gateway-hostname = \"g\"\ntrusted-ca = \"c\"\n[fleet]\nversion = \"1\"\n".to_owned(),
            "report-module = \"a\"\n".to_owned(),
            module("a", "certificate = \"c\"\nprivate-key = \"k\""),
            "private-key-password-file = \"p\"\nmodel-id = \"dtmi:x;1\"\n".to_owned(),
            handler("user = \"u\""),
            module("b", "connection-string-file = \"s\""),
            handler("group = \"g\""),
            module("c", "shared-access-key-file = \"s\""),
            handler("unit = \"u.service\""),
        ];
        let config = config(&text.concat());
        let mut found: Vec<String> = sections(&config).into_keys().collect();
        for module in &config.modules {
            found.extend(of_module(module).into_keys().map(|key| format!("module[].{key}")));
        }
        // What ids and names tell apart is no setting by itself.
        let names = ["module[].id", "module[].handler[].name"];
        let tables = [KeyType::Table, KeyType::Tables];
        for key in keys().iter().filter(|key| !tables.contains(&key.value)) {
            let path = key.path.replace("handler[]", "handler[x]");
            assert!(names.contains(&key.path) || found.contains(&path), "{}", key.path);
        }
    }

    #[test]
    fn what_differs_is_told_with_both_values_and_defaults() {
        let key = "[[module]]\nid = \"m\"\nshared-access-key-file = \"m.key\"\n";
        let handler = "[[module.handler]]\nname = \"x\"\nuser = \"u\"\n";
        let old = config(&format!("{key}{handler}"));
        let new = config(&format!("keep-alive = \"60s\"\n{key}{handler}watch = [\"/a\"]\n"));
        let shown: Vec<String> = changed_keys(&old, &new)
            .iter()
            .map(|it| {
                let module = it.module.as_ref().map_or("-", ModuleId::as_str);
                let text = |value: &Option<String>| value.clone().unwrap_or_default();
                format!("{module} {}: {} {}", it.key, text(&it.before), text(&it.after))
            })
            .collect();
        let expected = ["- hub.keep-alive: \"3m\" \"1m\"", "m handler[x].watch: [\"\"] [\"/a\"]"];
        assert_eq!(shown, expected);
        assert_eq!(changed_keys(&new, &new), []);
    }
}
