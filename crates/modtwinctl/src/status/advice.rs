//! What is wrong, module by module, and what an operator can do about it.

use std::time::SystemTime;

use modtwin_api::{HubReason, ModuleStatus, RefusedReason, Status};

use crate::failure::one_line;
use crate::words::{counted, names, span};

/// What the daemon says for a handler whose time was up.
const SILENT: u16 = 504;

/// A trouble and the way out of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Advice {
    /// Where and what.
    pub(super) what: String,
    /// What to do next, where there is something.
    pub(super) next: Option<String>,
}

/// A trouble that several modules may share.
#[derive(Debug, PartialEq, Eq)]
struct Trouble {
    modules: Vec<String>,
    what: String,
    next: Option<String>,
}

/// All troubles of the daemon, those of the whole of it first; the same trouble of several modules
/// is told once.
pub(super) fn all(status: &Status, now: SystemTime) -> Vec<Advice> {
    let mut advice: Vec<Advice> =
        config(status).into_iter().chain(storage(status)).chain(clock(status)).collect();
    let mut troubles: Vec<Trouble> = Vec::new();
    for module in &status.modules {
        for (what, next) in of_module(status, module, now) {
            let known =
                troubles.iter_mut().find(|trouble| trouble.what == what && trouble.next == next);
            match known {
                Some(trouble) => trouble.modules.push(one_line(&module.module)),
                None => {
                    let modules = vec![one_line(&module.module)];
                    troubles.push(Trouble { modules, what, next });
                }
            }
        }
    }
    advice.extend(troubles.into_iter().map(|trouble| Advice {
        what: format!("{}: {}", names(&trouble.modules), trouble.what),
        next: trouble.next,
    }));
    advice
}

/// The newest config, where it is not in force.
fn config(status: &Status) -> Option<Advice> {
    let refused = status.config_state.as_ref()?.refused.as_ref()?;
    let first = refused.errors.first().map_or("", String::as_str);
    let more = match refused.errors.len().saturating_sub(1) {
        0 => String::new(),
        more => format!(" (and {more} more)"),
    };
    let (what, next) = match refused.reason {
        RefusedReason::RolledBack => ("rolled back", "mend it and apply it again"),
        RefusedReason::Invalid | RefusedReason::Unknown => {
            ("refused, the one before is in force", "mend it, see modtwinctl validate")
        }
    };
    Some(Advice {
        what: one_line(&format!("config: {what}: {first}{more}")),
        next: Some(next.to_owned()),
    })
}

fn storage(status: &Status) -> Option<Advice> {
    let storage = &status.storage;
    if storage.writable && storage.problem.is_none() {
        return None;
    }
    let problem = storage.problem.as_deref().unwrap_or("can't be written");
    Some(Advice {
        what: one_line(&format!("state directory {}: {problem}", storage.directory)),
        next: Some("free space or mend its rights; until then no report is accepted".to_owned()),
    })
}

fn clock(status: &Status) -> Option<Advice> {
    let problem = status.clock.as_ref()?.problem.as_deref()?;
    Some(Advice {
        what: one_line(&format!("clock: {problem}")),
        next: Some("set it: timedatectl; no connection is attempted until then".to_owned()),
    })
}

/// Which sections are nearly full.
fn nearly_full(module: &ModuleStatus) -> impl Iterator<Item = (String, Option<String>)> {
    let sections = module
        .sizes
        .into_iter()
        .flat_map(|sizes| [("desired", sizes.desired, sizes), ("reported", sizes.reported, sizes)]);
    sections.filter(|(_, bytes, sizes)| *bytes >= sizes.warn_at).map(|(section, bytes, sizes)| {
        let limit = sizes.limit;
        let what = format!("{section} has {bytes} of {limit} bytes: the hub will refuse more");
        (what, Some(format!("shorten or delete some of what is {section}")))
    })
}

/// The troubles of a module: what happened, and what to do.
fn of_module(
    status: &Status,
    module: &ModuleStatus,
    now: SystemTime,
) -> Vec<(String, Option<String>)> {
    let mut found = Vec::new();
    let hub = &module.hub;
    // What the whole daemon waits for is told once.
    let is_clock = hub.reason == HubReason::Clock && hub.detail.as_deref() == held(status);
    let told = !is_clock
        && !matches!(hub.reason, HubReason::Ok | HubReason::Starting | HubReason::Stopping);
    if told {
        let reason = hub.reason;
        let what = match hub.detail.as_deref().or(module.problem.as_deref()) {
            Some(detail) => one_line(&format!("{reason}: {detail}")),
            None => reason.to_string(),
        };
        let attempt = hub
            .next_attempt
            .filter(|next| next.time() > now)
            .map(|next| format!("next attempt in {}", span(now, next.time())));
        let step = next_step(reason, &status.device_id, &module.module);
        let next: Vec<String> = step.into_iter().chain(attempt).collect();
        found.push((what, (!next.is_empty()).then(|| next.join("; "))));
    }
    if let Some(problem) = &module.problem
        && (!told || hub.detail.is_some())
        && hub.detail.as_ref() != Some(problem)
    {
        found.push((one_line(problem), None));
    }
    found.extend(ending(module, &status.device_id));
    let warnings = module.credential.iter().flat_map(|credential| &credential.warnings);
    found.extend(warnings.map(|warning| (one_line(warning), None)));
    for refused in &module.quarantined {
        let (key, status, message) = (&refused.key, refused.status, &refused.message);
        found.push((
            one_line(&format!("the hub refused reported key `{key}` ({status}): {message}")),
            Some("report a value that the hub takes, or null".to_owned()),
        ));
    }
    found.extend(nearly_full(module));
    found.extend(set_aside(status, module));
    found.extend(module.handlers.iter().filter_map(refusal));
    found
}

/// Messages that the daemon gave up on.
fn set_aside(status: &Status, module: &ModuleStatus) -> Option<(String, Option<String>)> {
    let count = module.messages.filter(|messages| messages.set_aside > 0)?.set_aside;
    let what = if count == 1 { "1 message is".to_owned() } else { format!("{count} messages are") };
    let next = format!(
        "look at them below {} (messages/*.set-aside and *.damaged), and delete them",
        one_line(&status.storage.directory)
    );
    Some((
        format!("{what} set aside: the hub does not take them, or their files are damaged"),
        Some(next),
    ))
}

/// A certificate whose end is near; one that is over has a reason of its own.
fn ending(module: &ModuleStatus, device: &str) -> Option<(String, Option<String>)> {
    let days =
        module.credential.as_ref()?.days_left.filter(|days| (0..=NEAR_END).contains(days))?;
    let next = next_step(HubReason::ExpiredCredential, device, &module.module);
    Some((format!("its certificate ends in {}", counted(days, "day")), next))
}

/// Why no connection is attempted, where the clock is the reason.
fn held(status: &Status) -> Option<&str> {
    status.clock.as_ref().and_then(|clock| clock.problem.as_deref())
}

/// What a handler refused, if it did so last.
fn refusal(handler: &modtwin_api::HandlerStatus) -> Option<(String, Option<String>)> {
    let status = handler.status.filter(|status| *status >= 400)?;
    let words = handler.description.as_deref().unwrap_or("it gave no reason");
    if status == SILENT {
        let what = format!("handler {} kept silent ({status}): {words}", handler.name);
        let next = "see whether it runs: a late acknowledgement still counts";
        return Some((one_line(&what), Some(next.to_owned())));
    }
    let what = format!("handler {} refused a version ({status}): {words}", handler.name);
    Some((one_line(&what), Some("mend the desired properties or the handler".to_owned())))
}

/// What an operator does about a reason; none where the daemon does all there is to do.
pub(crate) fn next_step(reason: HubReason, device: &str, module: &str) -> Option<String> {
    let step = match reason {
        HubReason::Network => "check the gateway's network and name resolution".to_owned(),
        HubReason::Tls => "check `trusted-ca`, the clock, and whatever inspects TLS".to_owned(),
        HubReason::Clock => "set the clock: timedatectl".to_owned(),
        HubReason::BadCredential => {
            "compare the thumbprint, authority or key with the identity at the hub".to_owned()
        }
        HubReason::ExpiredCredential => {
            one_line(&format!("renew it: modtwinctl csr --device {device} --module {module}"))
        }
        HubReason::IdentityDisabled => "enable the identity at the hub".to_owned(),
        HubReason::IdentityConflict => {
            "find who else connects as this module: an identity has one connection".to_owned()
        }
        HubReason::Quota => "wait for midnight UTC, or give the hub more units".to_owned(),
        HubReason::Config => {
            "mend the files, try modtwinctl validate, then modtwinctl reload".to_owned()
        }
        HubReason::Ok
        | HubReason::Throttled
        | HubReason::HubError
        | HubReason::Starting
        | HubReason::Stopping
        | HubReason::Unknown => return None,
    };
    Some(step)
}

/// From how many days before its end on a certificate is a problem.
pub(super) const NEAR_END: i64 = 30;
