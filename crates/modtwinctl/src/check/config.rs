//! The config, and what it names beside credentials and state.

use std::path::Path;

use modtwin_config::{Config, Problem, ProblemKind};

use super::catalogue::Check;
use super::findings::{Findings, Verdict};
use crate::validate::{trusted_authorities, unknown_group, unknown_principal};
use crate::words::counted;

/// The group that the packages make, and the default of `admin-group`.
const SERVICE_GROUP: &str = "modtwin";

/// Reads the config, and notes each of its problems.
pub(super) fn load(path: &Path, findings: &mut Findings) -> Option<Config> {
    match Config::load(path) {
        Ok(config) => {
            let shown = path.display();
            let verdict = match config.modules.len() {
                0 => Verdict::warning(format!("{shown} names no module yet")).next(
                    "name the hub and the device in [hub], and add a [[module]]: modtwind.toml(5); \
                     the daemon takes it without a restart",
                ),
                count => Verdict::ok(format!("{shown}, {}", counted(count, "module"))),
            };
            findings.note(Check::Config, None, verdict);
            Some(config)
        }
        Err(problems) => {
            let mut problems: Vec<&Problem> = problems.iter().collect();
            // A key that is missing may be the one that is misspelt.
            problems.sort_by_key(|problem| match problem.kind {
                ProblemKind::Unreadable | ProblemKind::Syntax => 0,
                ProblemKind::UnknownKey => 1,
                _ => 2,
            });
            for problem in problems {
                let next = match problem.kind {
                    ProblemKind::Unreadable => {
                        "put a config there that this user may read, modtwind.toml(5), or name \
                         another with --config"
                    }
                    _ => {
                        "mend that line; the daemon goes on with what it has, and does not start \
                         with this"
                    }
                };
                let verdict = Verdict::failed(problem.to_string()).next(next);
                findings.note(Check::Config, None, verdict);
            }
            None
        }
    }
}

/// Whether this machine knows the users and groups that the config names.
pub(super) fn accounts(config: &Config) -> Verdict {
    let handlers = config.modules.iter().flat_map(|module| {
        module.handlers.iter().filter_map(move |handler| {
            let why = unknown_principal(&handler.principal)?;
            Some(format!("module {}, handler {}: {why}", module.id, handler.name))
        })
    });
    let missing: Vec<String> = handlers.collect();
    if !missing.is_empty() {
        let next =
            "create it, or correct the [[module.handler]]: until then that rule lets nobody in";
        return Verdict::warning(missing.join("; ")).next(next);
    }
    // That of the packages is named where nothing is: by hand, root and the daemon's user are enough.
    let group = Some(config.socket.admin_group.as_str()).filter(|group| *group != SERVICE_GROUP);
    match group.and_then(unknown_group) {
        Some(why) => Verdict::warning(format!("[socket] admin-group: {why}"))
            .next("create it, or name another: until then root alone is an administrator"),
        None => Verdict::ok("all of them exist"),
    }
}

/// Whether there are authorities to trust.
pub(super) fn trusted_ca(config: &Config) -> Verdict {
    let Some(path) = &config.hub.trusted_ca else {
        return Verdict::ok("those of the system");
    };
    match trusted_authorities(path) {
        Ok(()) => Verdict::ok(path.display().to_string()),
        Err(why) => Verdict::failed(format!("[hub] trusted-ca: {why}"))
            .next("put the authority's certificate there as PEM, or leave trusted-ca out"),
    }
}
