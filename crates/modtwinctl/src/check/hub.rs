//! The way to the hub, step by step: name, TCP, TLS, and what the hub says to each identity.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

use modtwin_api::{HubReason, HubState, ModuleStatus, Status};
use modtwin_config::{Config, Transport};
use modtwin_credentials::{ProbeError, ProbeTarget, probe};
use tokio::net::TcpStream;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::timeout;

use super::catalogue::Check;
use super::daemon::{Daemon, is_alive};
use super::findings::{Findings, Verdict};
use super::identity;
use super::{Proof, Scene};
use crate::failure::chain;
use crate::status::advice::next_step;
use crate::words::span;

/// Goes the way as far as it leads.
pub(super) async fn judge(scene: &Scene<'_>, proofs: &[Proof], findings: &mut Findings) {
    let addresses = reach(scene, findings).await.unwrap_or_default();
    match scene.daemon {
        Daemon::Runs(status) => by_the_daemon(scene, status, findings),
        Daemon::Absent(_) if !is_alive(&scene.config.socket.path).await => {
            by_connecting(scene, proofs, addresses, findings).await;
        }
        Daemon::Absent(_) | Daemon::Unclear(_) => {
            let why = "a daemon may run, and a second connection would end its own: ask as root, \
                       or with its --socket";
            each(scene, findings, |_| Verdict::skipped(why));
        }
    }
}

/// Name, TCP and TLS; returns the addresses where nothing failed.
async fn reach(scene: &Scene<'_>, findings: &mut Findings) -> Option<Vec<SocketAddr>> {
    let unwanted = if scene.args.offline {
        Some("--offline")
    } else {
        // Without a module the hub is perhaps nobody's yet.
        Some("no module needs it").filter(|_| scene.config.modules.is_empty())
    };
    if let Some(why) = unwanted {
        findings.note(Check::HubName, None, Verdict::skipped(why));
    }
    let limit = scene.args.timeout;
    let mut addresses = Vec::new();
    // Noted as skipped already where it is.
    if unwanted.is_none() && findings.may(Check::HubName, None) {
        let verdict = resolve(scene.config, limit, &mut addresses).await;
        findings.note(Check::HubName, None, verdict);
    }
    if findings.may(Check::HubTcp, None) {
        findings.note(Check::HubTcp, None, connect(scene.config, limit, &addresses).await);
    }
    if !findings.may(Check::HubTls, None) {
        return None;
    }
    findings.note(Check::HubTls, None, shake_hands(scene.config, limit, addresses.clone()).await);
    Some(addresses)
}

async fn resolve(config: &Config, limit: Duration, found: &mut Vec<SocketAddr>) -> Verdict {
    let name = config.hub.dial_name();
    let next = format!("check [hub], the network and DNS: getent hosts {name}");
    match timeout(limit, tokio::net::lookup_host((name, config.hub.port))).await {
        Ok(Ok(addresses)) => found.extend(addresses),
        Ok(Err(error)) => {
            return Verdict::failed(format!("`{name}` cannot be resolved: {error}")).next(next);
        }
        Err(_elapsed) => {
            let seconds = limit.as_secs_f32();
            return Verdict::failed(format!("`{name}`: DNS did not answer within {seconds} s"))
                .next(next);
        }
    }
    match found.split_first() {
        None => Verdict::failed(format!("`{name}` has no address")).next(next),
        Some((first, [])) => Verdict::ok(format!("`{name}` is {}", first.ip())),
        Some((first, more)) => {
            Verdict::ok(format!("`{name}` is {} and {} more", first.ip(), more.len()))
        }
    }
}

async fn connect(config: &Config, limit: Duration, addresses: &[SocketAddr]) -> Verdict {
    let (name, port) = (config.hub.dial_name(), config.hub.port);
    let mut last = io::Error::from(ErrorKind::NotFound);
    for address in addresses {
        match timeout(limit, TcpStream::connect(address)).await {
            Ok(Ok(_)) => return Verdict::ok(format!("{address} takes connections")),
            Ok(Err(error)) => last = error,
            Err(_elapsed) => last = ErrorKind::TimedOut.into(),
        }
    }
    let next = match config.hub.transport {
        Transport::Mqtt => {
            "check [hub] port and what filters outgoing connections; where 8883 is closed, \
             transport = \"websocket\" uses 443"
        }
        Transport::WebSocket => "check [hub] port and what filters outgoing connections",
    };
    Verdict::failed(format!("cannot connect to `{name}` at port {port}: {last}")).next(next)
}

async fn shake_hands(config: &Config, limit: Duration, addresses: Vec<SocketAddr>) -> Verdict {
    let target = ProbeTarget {
        addresses,
        server_name: config.hub.dial_name().to_owned(),
        trusted_ca: config.hub.trusted_ca.clone(),
        timeout: limit,
    };
    let name = target.server_name.clone();
    let error = match spawn_blocking(move || probe(&target)).await {
        Ok(Ok(())) => return Verdict::ok(format!("the server is `{name}`, and trusted")),
        Ok(Err(error)) => error,
        Err(error) => return Verdict::failed(format!("the probe ended: {error}")),
    };
    let next = match &error {
        ProbeError::Network(_) | ProbeError::Timeout { .. } => {
            "something takes the connection and does not speak TLS: check [hub] port, proxies and \
             firewalls on the way"
        }
        ProbeError::TlsUntrusted { .. } => {
            "have [hub] trusted-ca name the authority that vouches for the hub, or find out what \
             inspects TLS on the way"
        }
        ProbeError::TlsHostName { .. } => "check [hub] hostname, or gateway-hostname",
        ProbeError::TlsExpiredServer { .. } | ProbeError::TlsNotYetValidServer { .. } => {
            "compare the clock: timedatectl; if it is right, whoever runs that server has to act"
        }
        ProbeError::TrustedCa { .. } => "mend the file that [hub] trusted-ca names",
        ProbeError::TlsOther { .. } => "check [hub] port, and what stands between here and the hub",
    };
    Verdict::failed(chain(&error)).next(next)
}

/// Asks the daemon what the hub said.
fn by_the_daemon(scene: &Scene<'_>, status: &Status, findings: &mut Findings) {
    each(scene, findings, |id| match status.modules.iter().find(|module| module.module == id) {
        Some(module) => of_status(scene, module),
        None => Verdict::skipped("the daemon does not serve it yet"),
    });
}

fn of_status(scene: &Scene<'_>, module: &ModuleStatus) -> Verdict {
    let hub = &module.hub;
    let since = span(hub.since.time(), scene.now);
    let detail = hub.detail.as_deref().or(module.problem.as_deref());
    let text = match detail {
        Some(detail) => format!("the daemon says {}: {detail}", hub.reason),
        None => format!("the daemon says {}, {}", hub.state, hub.reason),
    };
    let verdict = match (hub.state, hub.reason) {
        (HubState::Connected, _) => return Verdict::ok(format!("connected for {since}")),
        (HubState::Connecting, _) | (_, HubReason::Starting | HubReason::Throttled) => {
            Verdict::warning(text)
        }
        _ => Verdict::failed(text),
    };
    let device = scene.config.hub.device_id.as_str();
    match next_step(hub.reason, device, &module.module) {
        Some(next) => verdict.next(next),
        None => verdict,
    }
}

/// Connects as each module, all at once, to hear what the hub says; nobody else does here.
async fn by_connecting(
    scene: &Scene<'_>,
    proofs: &[Proof],
    addresses: Vec<SocketAddr>,
    findings: &mut Findings,
) {
    let mut attempts = JoinSet::new();
    for module in &scene.config.modules {
        let id = &module.id;
        if !findings.may(Check::HubIdentity, Some(id.as_str())) {
            continue;
        }
        let Some(proof) = proofs.iter().find(|proof| proof.module == *id) else {
            let verdict = Verdict::skipped("its credential could not be looked at");
            findings.note(Check::HubIdentity, Some(id.as_str()), verdict);
            continue;
        };
        if scene.config.hub.transport == Transport::WebSocket {
            let verdict = Verdict::skipped("over WebSockets the daemon alone connects: start it");
            findings.note(Check::HubIdentity, Some(id.as_str()), verdict);
            continue;
        }
        let attempt = identity::Attempt::new(&scene.config.hub, module, proof, addresses.clone());
        let (id, limit) = (id.clone(), scene.args.timeout);
        attempts.spawn(async move { (id, attempt.verdict(limit).await) });
    }
    while let Some(ended) = attempts.join_next().await {
        if let Ok((id, verdict)) = ended {
            findings.note(Check::HubIdentity, Some(id.as_str()), verdict);
        }
    }
}

/// Notes what the hub says to each module, where that can mean anything.
fn each(scene: &Scene<'_>, findings: &mut Findings, verdict: impl Fn(&str) -> Verdict) {
    for module in &scene.config.modules {
        let id = module.id.as_str();
        findings.make(Check::HubIdentity, Some(id), || verdict(id));
    }
}
