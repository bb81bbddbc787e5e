//! `modtwinctl diff`: what a new config would change, from the files alone.
//!
//! Owns how the difference is shown. Leaves finding it, and what it costs, to `modtwin-config`, so
//! that the daemon goes by the same.

use modtwin_config::{ChangedKey, Config, ConfigDiff, Files, changed_keys};
use modtwin_core::ids::ModuleId;
use serde::Serialize;

use crate::cli::config::Diff;
use crate::failure::{Exit, Failure, one_line};
use crate::output::Output;

/// The key of the hub that no session notices.
const BUDGET: &str = "hub.operation-rate";

/// What differs.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Difference {
    different: bool,
    added: Vec<String>,
    removed: Vec<String>,
    changed: Vec<String>,
    /// The modules that connect anew.
    reconnect: Vec<String>,
    /// The sections of which a change waits for a restart of the daemon.
    needs_restart: Vec<&'static str>,
    keys: Vec<Key>,
}

/// A key that differs.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Key {
    #[serde(skip_serializing_if = "Option::is_none")]
    module: Option<String>,
    key: String,
    before: Option<String>,
    after: Option<String>,
}

/// Compares, prints, and ends as diff(1) does.
pub(crate) fn run(args: &Diff, output: &Output) -> Result<(), Failure> {
    let old = checked(&Files::read(&args.config))?;
    let new = checked(&Files::read_for(&args.new, &args.config))?;
    let difference = Difference::between(&old, &new);
    if output.is_json() {
        output.json(&difference)?;
    } else {
        output.text(&page(&difference))?;
    }
    if difference.different { Err(Failure::silent(Exit::Failed)) } else { Ok(()) }
}

/// The config that the files are, or all that is wrong with them.
pub(crate) fn checked(files: &Files) -> Result<Config, Failure> {
    files.check().map_err(|problems| {
        Failure::new(Exit::Config, problems.iter().map(ToString::to_string).collect())
    })
}

impl Difference {
    fn between(old: &Config, new: &Config) -> Self {
        let diff = ConfigDiff::between(old, new);
        let names = |ids: &[ModuleId]| ids.iter().map(ToString::to_string).collect();
        let reconnects = |id: &&ModuleId| {
            !diff.added.contains(id) && (diff.hub_changed || diff.reconnect.contains(id))
        };
        let ids = new.modules.iter().map(|module| &module.id);
        let restart = [("socket", diff.socket_changed), ("state", diff.state_changed)];
        Self {
            different: !diff.is_empty(),
            added: names(&diff.added),
            removed: names(&diff.removed),
            changed: names(&diff.changed),
            reconnect: ids.filter(reconnects).map(ToString::to_string).collect(),
            needs_restart: restart.iter().filter(|(_, it)| *it).map(|(name, _)| *name).collect(),
            keys: changed_keys(old, new).into_iter().map(Key::from).collect(),
        }
    }
}

impl From<ChangedKey> for Key {
    fn from(changed: ChangedKey) -> Self {
        let ChangedKey { module, key, before, after } = changed;
        Self { module: module.map(|module| module.to_string()), key, before, after }
    }
}

/// One block a module or section, as people read differences.
fn page(difference: &Difference) -> String {
    if !difference.different {
        return "no difference\n".to_owned();
    }
    let mut lines: Vec<String> = Vec::new();
    lines.extend(difference.added.iter().map(|module| format!("+ module {module}")));
    lines.extend(difference.removed.iter().map(|module| format!("- module {module}")));
    for module in &difference.changed {
        let reconnects = difference.reconnect.contains(module);
        let cost = if reconnects { "connects anew" } else { "stays connected" };
        lines.push(format!("~ module {module}: {cost}"));
        let keys = difference.keys.iter().filter(|key| key.module.as_ref() == Some(module));
        lines.extend(keys.map(|key| line(&key.key, key)));
    }
    let mut section = None;
    for key in difference.keys.iter().filter(|key| key.module.is_none()) {
        let Some((table, name)) = key.key.split_once('.') else { continue };
        if section != Some(table) {
            section = Some(table);
            lines.push(format!("~ [{table}]{}", cost(table, &difference.keys)));
        }
        lines.push(line(name, key));
    }
    lines.push(String::new());
    lines.join("\n")
}

/// What a change of that section costs.
fn cost(section: &str, keys: &[Key]) -> &'static str {
    let is_of_sessions =
        |key: &Key| key.module.is_none() && key.key.starts_with("hub.") && key.key != BUDGET;
    match section {
        "socket" | "state" => ": waits for a restart of modtwind",
        "hub" if keys.iter().any(is_of_sessions) => ": every module connects anew",
        _ => "",
    }
}

fn line(name: &str, key: &Key) -> String {
    let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "nothing".to_owned());
    let change = format!("{name}: {} -> {}", shown(&key.before), shown(&key.after));
    format!("    {}", one_line(&change))
}
