//! Changing the credential of a live session, which MQTT can only do by a reconnect.
//!
//! Owns when that happens: at a moment of the session's own, and for one session of the daemon at a
//! time. Leaves to the credential's source what the new credential is, and whether to go back.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use modtwin_core::status::{Fault, HubState, Reason};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use tracing::{info, warn};

use super::{Driver, Job};
use crate::credential::Credential;

/// The part of a token's life after which it is renewed, in percent: somewhere between the two, so
/// that modules that began together do not stay together.
const TOKEN_LIFE_USED: (u32, u32) = (60, 80);
/// How long after new files a session takes them up at the latest, in retry bases.
const SPREAD_BASES: u32 = 5;

/// The renewal of one session's credential.
#[derive(Debug, Default)]
pub(super) struct Renewal {
    /// When it is due.
    pub(super) at: Option<Instant>,
    /// It is due, and waits for its turn.
    is_waiting: bool,
    /// It is under way.
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    began: Instant,
    // Dropping it gives the turn to the next session.
    _turn: OwnedSemaphorePermit,
}

impl Renewal {
    /// It is over, however it went.
    pub(super) fn end(&mut self) {
        self.running = None;
    }
}

impl Driver<'_> {
    /// A token is renewed before its time is over.
    pub(super) fn plan_renewal(&mut self, credential: &Credential) {
        let Credential::Token { expires, .. } = credential else {
            self.renewal.at = None;
            return;
        };
        let left = expires.duration_since(SystemTime::now()).unwrap_or_default();
        let (earliest, latest) = TOKEN_LIFE_USED;
        let earliest = left * earliest / 100;
        let spread = (left * latest / 100).saturating_sub(earliest);
        self.renewal.at = Some(Instant::now() + earliest + any(spread));
    }

    /// There is a new credential.
    pub(super) fn renew_soon(&mut self) {
        let due = Instant::now() + any(self.ends.config.settings.retry_base * SPREAD_BASES);
        self.renewal.at = Some(self.renewal.at.map_or(due, |at| at.min(due)));
    }

    /// It is due: waits for the turn, off the loop.
    pub(super) fn await_renewal_turn(&mut self) {
        self.renewal.at = None;
        if std::mem::replace(&mut self.renewal.is_waiting, true) {
            return;
        }
        let turns = Arc::clone(&self.ends.ports.credentials.renewals());
        self.jobs.spawn(async move { Job::Turn(turns.acquire_owned().await.ok()) });
    }

    /// The turn has come.
    pub(super) fn renew(&mut self, turn: Option<OwnedSemaphorePermit>) {
        self.renewal.is_waiting = false;
        match (turn, self.session.status().state) {
            (Some(turn), HubState::Connected) => {
                info!("renewing the credential by a reconnect");
                self.renewal.running = Some(Running { began: Instant::now(), _turn: turn });
                self.session.reconnect(self.around.clock.now());
            }
            // An attempt under way may still succeed with the old one.
            (Some(_unused), HubState::Connecting) => self.renew_soon(),
            // A session that is not live takes the new credential at its next attempt.
            _ => {}
        }
    }

    /// The session is in step again.
    pub(super) fn renewed(&mut self) {
        if let Some(running) = self.renewal.running.take() {
            let gap_ms = u64::try_from(running.began.elapsed().as_millis()).unwrap_or(u64::MAX);
            info!(gap_ms, "credential renewed");
        }
    }

    /// There was no credential to connect with.
    pub(super) fn unprepared(&mut self, fault: Fault) {
        self.renewal.end();
        self.session.handle_failed(self.around.clock.now(), fault);
    }

    /// An attempt failed; a refused credential may have a predecessor that still works.
    pub(super) fn attempt_failed(&mut self, fault: Fault) {
        let now = self.around.clock.now();
        let blames_credential = matches!(fault.reason, Reason::BadCredential | Reason::Tls);
        if blames_credential && self.ends.ports.credentials.refused(&fault) {
            warn!(detail = fault.detail, "new credential refused, going back to the old one");
            self.session.handle_failed(now, fault);
            self.session.reconnect(now);
            return;
        }
        self.renewal.end();
        self.session.handle_failed(now, fault);
    }
}

/// Any part of `span`.
fn any(span: Duration) -> Duration {
    const PARTS: u64 = 1 << 16;
    let part = RandomState::new().hash_one(0) % PARTS;
    let part = u32::try_from(part).unwrap_or_default();
    span / (1 << 16) * part
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_part_is_within_the_span_and_seldom_the_same() {
        let span = Duration::from_secs(3600);
        let parts: std::collections::BTreeSet<Duration> = (0..100).map(|_| any(span)).collect();
        assert!(parts.iter().all(|part| *part < span));
        assert!(parts.len() > 90, "{}", parts.len());
    }
}
