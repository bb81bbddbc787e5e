//! What a peer may do: its matches among the modules' `[[module.handler]]` entries.
//!
//! Worked out anew for each peer from the kernel's word on it and the registry of the moment.
//! Leaves to others reading the credentials ([`super::peer`], [`super::unit`]). A refusal says the
//! same about a module that does not exist as about one that the peer may not use.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use modtwin_api::{Problem, ProblemKind};
use modtwin_config::{Handler, Principal};
use modtwin_core::document::Pointer;
use modtwin_core::ids::ModuleId;
use nix::unistd::{Group, Uid, User};

use super::answer::Refusal;
use super::peer::Peer;
use super::registry::{Entry, Registry};
use super::scope::Scope;

/// The system's users and groups.
pub(crate) trait Names {
    /// The number of a user.
    fn uid(&self, user: &str) -> Option<u32>;
    /// The number of a group.
    fn gid(&self, group: &str) -> Option<u32>;
    /// The name of a user.
    fn user(&self, uid: u32) -> Option<String>;
}

/// The names as the system's databases have them. Blocks.
#[derive(Debug)]
pub(crate) struct SystemNames;

impl Names for SystemNames {
    fn uid(&self, user: &str) -> Option<u32> {
        let found = User::from_name(user).ok().flatten().map(|user| user.uid.as_raw());
        found.or_else(|| user.parse().ok())
    }

    fn gid(&self, group: &str) -> Option<u32> {
        let found = Group::from_name(group).ok().flatten().map(|group| group.gid.as_raw());
        found.or_else(|| group.parse().ok())
    }

    fn user(&self, uid: u32) -> Option<String> {
        User::from_uid(Uid::from_raw(uid)).ok().flatten().map(|user| user.name)
    }
}

/// Says whether any rule of the registry names a unit.
pub(crate) fn registry_names_units(registry: &Registry) -> bool {
    registry.modules.iter().any(|entry| name_units(&entry.config.handlers))
}

fn name_units(rules: &[Handler]) -> bool {
    rules.iter().any(|rule| matches!(rule.principal, Principal::Unit(_)))
}

/// What one peer may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Grants {
    /// Everything: root, the daemon's own user, the admin group.
    Everything,
    /// What its entries allow.
    Entries {
        /// Its entries, by module; modules without any are left out.
        modules: BTreeMap<ModuleId, Vec<Handler>>,
        /// Who it is, in words.
        who: Identity,
    },
}

/// A peer in the words of a refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    uid: u32,
    user: Option<String>,
    /// The unit or why there is none; looked up only where a rule names a unit.
    unit: Option<Result<String, String>>,
    admin_group: String,
}

impl Grants {
    /// What administrators may do.
    pub(crate) fn everything() -> Self {
        Self::Everything
    }

    /// What `peer` may do. Blocks while names are looked up.
    pub(crate) fn of(peer: &Peer, registry: &Registry, names: &dyn Names) -> Self {
        if peer.is_administrator(registry) {
            return Self::Everything;
        }
        let modules = registry.modules.iter().map(|entry| &*entry.config);
        let modules: Vec<_> = modules.map(|module| (&module.id, &*module.handlers)).collect();
        Self::among(peer, &registry.admin_group, &modules, names)
    }

    fn among(
        peer: &Peer,
        admin_group: &str,
        modules: &[(&ModuleId, &[Handler])],
        names: &dyn Names,
    ) -> Self {
        let unit = modules.iter().any(|(_, rules)| name_units(rules)).then(|| {
            let process = peer.process().ok_or_else(|| {
                "the process that connected was not pinned then; connect again".to_owned()
            })?;
            process.unit().map_err(|failure| failure.to_string())
        });
        let matches = |rule: &&Handler| match &rule.principal {
            Principal::User(user) => names.uid(user) == Some(peer.uid()),
            Principal::Group(group) => names.gid(group).is_some_and(|gid| peer.is_in_group(gid)),
            Principal::Unit(wanted) => matches!(&unit, Some(Ok(found)) if found == wanted),
        };
        let modules = modules
            .iter()
            .map(|(id, rules)| ((*id).clone(), rules.iter().filter(matches).cloned().collect()))
            .filter(|(_, rules): &(ModuleId, Vec<Handler>)| !rules.is_empty())
            .collect();
        let who = Identity {
            uid: peer.uid(),
            user: names.user(peer.uid()),
            unit,
            admin_group: admin_group.to_owned(),
        };
        Self::Entries { modules, who }
    }

    /// Refuses whoever may not do everything.
    pub(crate) fn require_administrator(&self) -> Result<(), Refusal> {
        match self {
            Self::Everything => Ok(()),
            Self::Entries { who, .. } => Err(Refusal::new(
                ProblemKind::Forbidden,
                format!(
                    "{who} is neither root nor the daemon's user nor in the group `{group}`; \
                     add it with: usermod -aG {group} USER",
                    group = who.admin_group
                ),
            )),
        }
    }

    /// The modules that the peer may use, with what it may do there.
    pub(crate) fn usable<'a>(
        &'a self,
        registry: &'a Registry,
    ) -> impl Iterator<Item = (&'a Entry, Access<'a>)> {
        registry
            .modules
            .iter()
            .filter_map(|entry| Some((entry, self.access(entry.handle.module())?)))
    }

    /// The module of that name, with what the peer may do there.
    pub(crate) fn module<'a>(
        &'a self,
        registry: &'a Registry,
        name: &str,
    ) -> Result<(&'a Entry, Access<'a>), Refusal> {
        let id = ModuleId::new(name).ok();
        let entry = id.as_ref().and_then(|id| registry.entry(id));
        entry
            .and_then(|entry| Some((entry, self.access(entry.handle.module())?)))
            .ok_or_else(|| self.unusable(name))
    }

    fn access<'a>(&'a self, module: &ModuleId) -> Option<Access<'a>> {
        match self {
            Self::Everything => Some(Access::Everything),
            Self::Entries { modules, who } => {
                modules.get(module).map(|entries| Access::Entries { entries, who })
            }
        }
    }

    fn unusable(&self, name: &str) -> Refusal {
        match self {
            Self::Everything => Refusal::new(
                ProblemKind::NotFound,
                format!("the config has no module `{name}` that can be served"),
            ),
            Self::Entries { who, .. } => Refusal::new(
                ProblemKind::Forbidden,
                format!(
                    "{who} matches no [[module.handler]] of a module with that name; add one \
                     with {} to the module's TOML",
                    who.rule()
                ),
            ),
        }
    }
}

/// What a peer may do with one module.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Access<'a> {
    /// Everything.
    Everything,
    /// What its entries allow. Invariant: at least one.
    Entries {
        /// The entries that match it.
        entries: &'a [Handler],
        /// Who it is.
        who: &'a Identity,
    },
}

impl<'a> Access<'a> {
    /// The desired properties that it may see.
    pub(crate) fn watch(self) -> Scope {
        self.scope(|entry| &entry.watch)
    }

    /// The reported properties that it may see and write.
    pub(crate) fn report(self) -> Scope {
        self.scope(|entry| &entry.report)
    }

    /// The direct methods that it may answer; none where that is all of them.
    pub(crate) fn methods(self) -> Option<BTreeSet<String>> {
        match self {
            Self::Everything => None,
            Self::Entries { entries, .. } => {
                Some(entries.iter().flat_map(|entry| entry.methods.iter().cloned()).collect())
            }
        }
    }

    fn scope(self, side: impl Fn(&'a Handler) -> &'a [Pointer]) -> Scope {
        match self {
            Self::Everything => Scope::All,
            Self::Entries { entries, .. } => {
                Scope::under(entries.iter().flat_map(|entry| side(entry).iter().cloned()))
            }
        }
    }

    /// Its rights as that one of its entries only; administrators keep theirs under any name.
    pub(crate) fn named(self, handler: Option<&str>) -> Result<Self, Refusal> {
        let (Self::Entries { entries, who }, Some(name)) = (self, handler) else {
            return Ok(self);
        };
        let own = entries.iter().position(|entry| entry.name == name);
        let own = own.and_then(|at| entries.get(at..=at));
        own.map(|entries| Self::Entries { entries, who }).ok_or_else(|| {
            let names: Vec<_> = entries.iter().map(|entry| format!("`{}`", entry.name)).collect();
            let detail = format!(
                "{who} is not the handler `{name}` of this module; it may speak as {}",
                names.join(" or ")
            );
            Problem::new(ProblemKind::Forbidden, detail).with_field("handler").into()
        })
    }

    /// Says whether it may know of that handler.
    pub(crate) fn knows(self, handler: &str) -> bool {
        match self {
            Self::Everything => true,
            Self::Entries { entries, .. } => entries.iter().any(|entry| entry.name == handler),
        }
    }

    /// The names of its entries; none for administrators, who have no entry of their own.
    pub(crate) fn own_names(self) -> Vec<String> {
        match self {
            Self::Everything => Vec::new(),
            Self::Entries { entries, .. } => {
                entries.iter().map(|entry| entry.name.clone()).collect()
            }
        }
    }

    /// A refusal of `right` (`watch` or `report`) on the JSON Pointer `place`.
    pub(crate) fn lacks(self, right: &str, place: &str) -> Refusal {
        let rule = format!("the `{right}` of {} does not cover \"{place}\"", self.rules());
        let detail = format!("{} may not {right} that: {rule}; add \"{place}\" to it", self.who());
        Problem::new(ProblemKind::Forbidden, detail).with_rule(place, rule).into()
    }

    /// A refusal of messages, which whoever may report something may send.
    pub(crate) fn may_not_send(self) -> Refusal {
        let rule = format!("the `report` of {} is empty", self.rules());
        let detail = format!(
            "{} may not send messages: {rule}; add to it what the handler may report",
            self.who()
        );
        Self::lacking(rule, detail)
    }

    /// A refusal to let it answer `method`, or any at all.
    pub(crate) fn may_not_answer(self, method: Option<&str>) -> Refusal {
        let (what, lack, add) = match method {
            Some(method) => (
                format!("`{method}`"),
                format!("does not list `{method}`"),
                format!("add \"{method}\" to it"),
            ),
            None => ("methods".into(), "is empty".into(), "add the methods' names to it".into()),
        };
        let rule = format!("the `methods` of {} {lack}", self.rules());
        Self::lacking(rule.clone(), format!("{} may not answer {what}: {rule}; {add}", self.who()))
    }

    fn lacking(rule: String, detail: String) -> Refusal {
        Problem { rule: Some(rule), ..Problem::new(ProblemKind::Forbidden, detail) }.into()
    }

    /// The peer, in the words of a refusal.
    fn who(self) -> String {
        match self {
            // Administrators lack nothing; the words would still be right.
            Self::Everything => "this peer".to_owned(),
            Self::Entries { who, .. } => who.to_string(),
        }
    }

    /// Its entries, in the words of a refusal.
    fn rules(self) -> String {
        let names: Vec<_> = self.own_names().iter().map(|name| format!("`{name}`")).collect();
        format!("[[module.handler]] {}", names.join(" or "))
    }
}

impl Identity {
    /// The rule that would let this peer in.
    fn rule(&self) -> String {
        match &self.user {
            Some(user) => format!("user = \"{user}\""),
            None => format!("user = \"{}\"", self.uid),
        }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "uid {}", self.uid)?;
        if let Some(user) = &self.user {
            write!(f, " (`{user}`)")?;
        }
        match &self.unit {
            None => Ok(()),
            Some(Ok(unit)) => write!(f, " in unit `{unit}`"),
            Some(Err(failure)) => write!(f, " in no known unit ({failure})"),
        }
    }
}

#[cfg(test)]
mod tests;
