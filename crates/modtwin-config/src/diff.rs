//! What changed between two configs, so that a reload touches nothing else.

use modtwin_core::ids::ModuleId;

use crate::model::{Config, Hub, Module};

/// What changed from one [`Config`] to another.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConfigDiff {
    /// Modules that only the new config has, in its order.
    pub added: Vec<ModuleId>,
    /// Modules that only the old config has, in its order.
    pub removed: Vec<ModuleId>,
    /// Modules that both have with different contents, in the new config's order.
    pub changed: Vec<ModuleId>,
    /// The modules among [`changed`](Self::changed) whose session with the hub has to begin anew:
    /// their credential, announced model or way of acknowledging differs. The others changed for local processes only.
    pub reconnect: Vec<ModuleId>,
    /// The hub section differs but for the budget: every session has to begin anew.
    pub hub_changed: bool,
    /// The budget of operations differs; no session notices.
    pub budget_changed: bool,
    /// The socket section differs: the listener has to be made anew.
    pub socket_changed: bool,
    /// What is said of credentials or for the fleet's tool differs; no session notices.
    pub words_changed: bool,
    /// The state section differs: only a restart can move state that is in use.
    pub state_changed: bool,
}

impl ConfigDiff {
    /// Compares two configs. The order of modules is no difference.
    #[must_use]
    pub fn between(old: &Config, new: &Config) -> Self {
        let pairs = || {
            new.modules.iter().filter_map(|module| Some((find(&old.modules, &module.id)?, module)))
        };
        Self {
            added: missing_from(&old.modules, &new.modules),
            removed: missing_from(&new.modules, &old.modules),
            changed: pairs()
                .filter(|(before, after)| before != after)
                .map(|(_, after)| after.id.clone())
                .collect(),
            reconnect: pairs()
                .filter(|(before, after)| {
                    before.credential != after.credential
                        || before.model_id != after.model_id
                        || before.acknowledge != after.acknowledge
                })
                .map(|(_, after)| after.id.clone())
                .collect(),
            hub_changed: Hub { operations_per_second: 0, ..old.hub.clone() }
                != Hub { operations_per_second: 0, ..new.hub.clone() },
            budget_changed: old.hub.operations_per_second != new.hub.operations_per_second,
            socket_changed: old.socket != new.socket,
            words_changed: (&old.credentials, &old.fleet) != (&new.credentials, &new.fleet),
            state_changed: old.state != new.state,
        }
    }

    /// Says whether nothing changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

fn find<'a>(modules: &'a [Module], id: &ModuleId) -> Option<&'a Module> {
    modules.iter().find(|module| module.id == *id)
}

/// The ids of `modules` that `others` does not have.
fn missing_from(others: &[Module], modules: &[Module]) -> Vec<ModuleId> {
    modules
        .iter()
        .filter(|module| find(others, &module.id).is_none())
        .map(|module| module.id.clone())
        .collect()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::Source;

    fn config(hub: &str, rest: &str) -> Config {
        let text = format!("[hub]\nhostname = \"h\"\ndevice-id = \"d\"\n{hub}\n{rest}");
        Config::check(&[Source { path: PathBuf::from("a.toml"), text }]).unwrap()
    }

    fn module(id: &str, rest: &str) -> String {
        format!("[[module]]\nid = \"{id}\"\nshared-access-key-file = \"{id}.key\"\n{rest}\n")
    }

    fn ids(ids: &[ModuleId]) -> Vec<&str> {
        ids.iter().map(ModuleId::as_str).collect()
    }

    #[test]
    fn a_config_does_not_differ_from_itself_nor_from_itself_in_another_order() {
        let (a, b) = (module("a", ""), module("b", ""));
        let old = config("", &format!("{a}{b}"));
        assert!(ConfigDiff::between(&old, &old).is_empty());
        assert!(ConfigDiff::between(&old, &config("", &format!("{b}{a}"))).is_empty());
    }

    #[test]
    fn added_removed_and_changed_modules_are_told_apart() {
        let kept = module("kept", "");
        let old = config("", &format!("{kept}{}{}", module("gone", ""), module("more", "")));
        let handler = "[[module.handler]]\nname = \"x\"\nuser = \"x\"";
        let new = config("", &format!("{kept}{}{}", module("new", ""), module("more", handler)));
        let diff = ConfigDiff::between(&old, &new);
        assert_eq!(ids(&diff.added), ["new"]);
        assert_eq!(ids(&diff.removed), ["gone"]);
        assert_eq!(ids(&diff.changed), ["more"]);
        assert!(diff.reconnect.is_empty(), "handlers are no business of the hub's");
        assert!(!diff.hub_changed && !diff.socket_changed && !diff.state_changed);
    }

    #[test]
    fn another_credential_or_model_reconnects_that_module_alone() {
        let others = module("other", "");
        let old = config("", &format!("{others}{}{}", module("a", ""), module("b", "")));
        let model = module("a", "model-id = \"dtmi:x;1\"");
        let key = "[[module]]\nid = \"b\"\nconnection-string-file = \"b.key\"\n";
        let diff = ConfigDiff::between(&old, &config("", &format!("{others}{model}{key}")));
        assert_eq!(ids(&diff.changed), ["a", "b"]);
        assert_eq!(ids(&diff.reconnect), ["a", "b"]);
    }

    #[test]
    fn each_section_has_a_mark_of_its_own() {
        let old = config("", "");
        let diff = ConfigDiff::between(&old, &config("keep-alive = \"60s\"", ""));
        assert_eq!(diff, ConfigDiff { hub_changed: true, ..ConfigDiff::default() });
        let diff = ConfigDiff::between(&old, &config("operation-rate = \"5/s\"", ""));
        assert_eq!(diff, ConfigDiff { budget_changed: true, ..ConfigDiff::default() });
        let diff = ConfigDiff::between(&old, &config("", "[socket]\nadmin-group = \"x\""));
        assert_eq!(diff, ConfigDiff { socket_changed: true, ..ConfigDiff::default() });
        let diff = ConfigDiff::between(&old, &config("", "[state]\ndirectory = \"x\""));
        assert_eq!(diff, ConfigDiff { state_changed: true, ..ConfigDiff::default() });
        for words in ["[fleet]\nversion = \"7\"", "[credentials]\nexpiry-warnings = []"] {
            let diff = ConfigDiff::between(&old, &config("", words));
            assert_eq!(diff, ConfigDiff { words_changed: true, ..ConfigDiff::default() });
        }
        assert!(ConfigDiff::between(&old, &config("keep-alive = \"180s\"", "")).is_empty());
    }
}
