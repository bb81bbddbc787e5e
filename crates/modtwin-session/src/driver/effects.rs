//! Performing the core's effects: the link, the disk, whoever waits, and the published view.

use std::sync::Arc;

use modtwin_core::message::{Request, RequestId};
use modtwin_core::session::{Effect, Notice};
use modtwin_core::status::{Fault, Reason};
use modtwin_wire::SUBSCRIPTIONS;
use tracing::{Instrument as _, warn};

use super::{Driver, Job};
use crate::credential::Credential;
use crate::link::{ConnectRequest, Epoch};
use crate::publish::view;
use crate::store::StoreError;

impl Driver<'_> {
    /// Performs all effects, then publishes once.
    pub(super) fn perform(&mut self) {
        while let Some(effect) = self.session.poll_effect() {
            match effect {
                Effect::Connect => self.prepare_connect(),
                Effect::Subscribe => self.ends.ports.link.subscribe(&SUBSCRIPTIONS),
                Effect::Send { id, request } => self.send(id, request),
                Effect::Disconnect => {
                    self.ends.epoch += 1;
                    self.ends.ports.link.disconnect();
                }
                Effect::Save => self.begin_save(),
                Effect::Changed => self.view_changed = true,
                Effect::Stored { through } => {
                    let version = self.reported_version();
                    self.waiters.stored(through, version);
                }
                Effect::NotStored { through } => {
                    let problem = self.around.storage_problem.clone().unwrap_or_default();
                    self.waiters.not_stored(through, &StoreError(problem));
                }
                Effect::Accepted { through, keys, version } => {
                    self.waiters.accepted_keys(through, &keys, version);
                }
                Effect::Rejected { through, refused } => {
                    warn!(
                        key = refused.key,
                        status = refused.status,
                        message = refused.message,
                        "hub refused a reported key, which is quarantined until it is reported anew"
                    );
                    self.waiters.rejected(through, &refused);
                }
                Effect::Notice(notice) => {
                    if matches!(notice, Notice::Synced { .. }) {
                        self.renewed();
                        self.ends.ports.governor.note_reached();
                    }
                    self.log(&notice);
                }
            }
        }
        self.tend_messages();
        self.send_answers();
        self.publish();
    }

    pub(super) fn publish(&mut self) {
        if !std::mem::take(&mut self.view_changed) {
            return;
        }
        self.log_status();
        self.ends.connects = self.around.earlier_connects + self.session.connects();
        let (session, around) = (&self.session, &self.around);
        self.ends.view.send_if_modified(|published| {
            let next = view(published, session, around);
            let modified = **published != next;
            if modified {
                *published = Arc::new(next);
            }
            modified
        });
        self.log_sizes();
    }

    /// Waits for its turn and reads the credential, off the loop.
    pub(super) fn prepare_connect(&mut self) {
        self.ends.epoch += 1;
        let held = self.clock.borrow_and_update().held.clone();
        if let Some(why) = held {
            let fault = Fault::new(Reason::Clock, why);
            return self.session.handle_failed(self.around.clock.now(), fault);
        }
        let epoch = Epoch(self.ends.epoch);
        let governor = self.ends.ports.governor.clone();
        let credentials = Arc::clone(&self.ends.ports.credentials);
        let prepare = async move {
            governor.admit().await;
            let span = tracing::Span::current();
            let load = move || span.in_scope(|| credentials.load());
            let loaded = tokio::task::spawn_blocking(load).await;
            let credential = loaded.unwrap_or_else(|_panicked| {
                Err(Fault::new(Reason::Config, "reading the credential failed unexpectedly"))
            });
            Job::Prepared(epoch, credential)
        };
        self.jobs.spawn(prepare.in_current_span());
    }

    pub(super) fn prepared(&mut self, epoch: Epoch, credential: Result<Credential, Fault>) {
        if epoch.0 != self.ends.epoch {
            return;
        }
        let credential = match credential {
            Ok(credential) => credential,
            Err(fault) => return self.unprepared(fault),
        };
        self.around.credential_expires = Some(credential.expires());
        self.plan_renewal(&credential);
        let config = &self.ends.config;
        let request = ConnectRequest {
            epoch,
            host: config.dial_host.clone(),
            port: config.port,
            trusted_ca: config.trusted_ca.clone(),
            client_id: modtwin_wire::client_id(&config.device, &config.module),
            user_name: modtwin_wire::user_name(
                &config.hub_host,
                &config.device,
                &config.module,
                &config.api_version,
                config.model_id.as_deref(),
            ),
            credential,
            keep_alive: config.keep_alive,
            time_limit: config.connect_limit,
        };
        self.ends.ports.link.connect(request);
    }

    /// Sends a request, once it is its turn.
    fn send(&mut self, id: RequestId, request: Request) {
        if self.ends.share.try_operation() {
            return self.publish_request(id, &request);
        }
        let share = Arc::clone(&self.ends.share);
        self.session.handle_held(id);
        let epoch = Epoch(self.ends.epoch);
        self.jobs.spawn(async move {
            share.operation().await;
            Job::Admitted(epoch, id, request)
        });
    }

    pub(super) fn publish_request(&mut self, id: RequestId, request: &Request) {
        let outbound = modtwin_wire::encode(id, request);
        self.ends.ports.link.publish(&outbound.topic, outbound.payload);
    }

    pub(super) fn reported_version(&self) -> u64 {
        self.session.twin().reported.as_ref().map_or(0, |section| section.version)
    }
}
