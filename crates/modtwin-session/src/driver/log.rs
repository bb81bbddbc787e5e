//! What the log hears of a session: changes of its state, and what the core notices.

use modtwin_core::limits::{MAX_SECTION_BYTES, is_nearly_full};
use modtwin_core::session::{Notice, Status};
use modtwin_core::status::{HubState, Reason};
use tracing::{debug, error, info, warn};

use super::Driver;
use crate::seat::Ends;
use crate::view::{Quarantined, Sizes};

/// Which sections are said to be nearly full.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct NearlyFull {
    desired: bool,
    reported: bool,
}

impl Ends {
    /// Whether a line of that kind may be logged, and how many were not before it.
    fn may_log(&mut self, kind: &'static str) -> Option<u64> {
        let permit = self.log_limit.permit(kind);
        if permit.is_none() {
            self.figures.send_modify(|figures| {
                figures.lines_dropped = figures.lines_dropped.saturating_add(1);
            });
        }
        permit
    }
}

impl Driver<'_> {
    pub(super) fn may_log(&mut self, kind: &'static str) -> Option<u64> {
        self.ends.may_log(kind)
    }

    /// Says once when a section becomes so large that the hub will soon refuse more of it.
    pub(super) fn log_sizes(&mut self) {
        let Sizes { desired, reported } = self.ends.view.borrow().sizes;
        let sections = [
            ("desired", desired, &mut self.nearly_full.desired),
            ("reported", reported, &mut self.nearly_full.reported),
        ];
        for (section, bytes, said) in sections {
            if !is_nearly_full(bytes) {
                // A section that trembles around the mark is said once.
                *said &= bytes.saturating_mul(10) >= MAX_SECTION_BYTES * 7;
                continue;
            }
            if !*said && let Some(dropped) = self.ends.may_log("size") {
                *said = true;
                let limit = MAX_SECTION_BYTES;
                warn!(
                    section,
                    bytes,
                    limit,
                    dropped,
                    "a section of the twin is nearly full, the hub refuses more"
                );
            }
        }
    }

    /// Logs what is news: not every attempt, but every change of why there is no connection.
    pub(super) fn log_status(&mut self) {
        let Status { state, reason, detail, .. } = self.session.status().clone();
        if state == HubState::Connecting {
            return;
        }
        let news = (state, reason, detail.unwrap_or_default());
        if news == self.last_logged {
            return;
        }
        // What stays the last word is said once it may be.
        let Some(dropped) = self.may_log("status") else {
            self.say_status_at = Some(self.ends.log_limit.opens_at("status"));
            return;
        };
        if dropped > 0 {
            info!(dropped, "the hub's state changed too often to be logged each time");
        }
        let detail = &news.2;
        match state {
            HubState::Connecting => {}
            HubState::Connected if reason == Reason::Ok => info!("connected to the hub"),
            HubState::Connected => {
                warn!(%reason, detail, "connected to the hub, which holds us up")
            }
            HubState::Disconnected if reason == Reason::Stopping => info!("stopping"),
            HubState::Disconnected => warn!(%reason, detail, "not connected, will try again"),
            HubState::Disabled => error!(%reason, detail, "disabled until this is mended"),
        }
        self.last_logged = news;
    }

    pub(super) fn log_refused(&mut self, refused: &Quarantined) {
        let Some(dropped) = self.may_log("refused") else { return };
        warn!(
            key = refused.key,
            status = refused.status,
            detail = refused.message,
            dropped,
            "hub refused a reported key, which is quarantined until it is reported anew"
        );
    }

    pub(super) fn log(&mut self, notice: &Notice) {
        if let Notice::Synced { version } = notice {
            debug!(version, "twin in step");
            return;
        }
        let Some(dropped) = self.may_log("notice") else {
            return;
        };
        match notice {
            Notice::Synced { .. } => {}
            Notice::Gap { known, found } => {
                info!(known, found, dropped, "desired versions missed, fetching the twin");
            }
            Notice::NewGeneration { generation } => {
                warn!(
                    generation,
                    dropped, "the twin began anew: created again, or older data after a failover"
                );
            }
            Notice::ReportedLost => {
                warn!(dropped, "the hub has lost reported values, sending them again");
            }
            Notice::ReportUnanswered => {
                warn!(
                    dropped,
                    "no answer to a report, fetching the twin to see whether it arrived"
                );
            }
            Notice::ReportDivided => {
                warn!(
                    dropped,
                    "the hub refused a report, sending its keys in parts to find the one"
                );
            }
            Notice::TooManyPatches => {
                warn!(dropped, "more desired patches than can wait for a fetch, fetching again");
            }
        }
    }
}
