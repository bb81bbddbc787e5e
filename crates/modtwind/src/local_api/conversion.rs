//! From the session's types to those of the contract, by hand, so that neither binds the other.

use modtwin_api::{Applied, HubReason, HubState, HubStatus, Quarantined, Revision};
use modtwin_core::status;
use modtwin_session::view::{self, HubView, ModuleView};

/// How a module stands with its hub.
pub(crate) fn hub_status(hub: &HubView) -> HubStatus {
    HubStatus {
        state: hub_state(hub.state),
        reason: hub_reason(hub.reason),
        since: hub.since.into(),
        next_attempt: hub.next_attempt.map(Into::into),
        detail: hub.detail.clone(),
    }
}

/// The revision of desired; none before the first sync ever.
pub(crate) fn revision(view: &ModuleView) -> Option<Revision> {
    view.desired
        .as_ref()
        .map(|desired| Revision { generation: view.generation, version: desired.version })
}

/// What a handler said of a version.
pub(crate) fn applied(applied: &view::Applied) -> Applied {
    Applied {
        handler: applied.handler.clone(),
        version: applied.version,
        status: applied.status,
        description: applied.description.clone(),
        at: applied.at.into(),
    }
}

/// A reported key that the hub refused.
pub(crate) fn quarantined(quarantined: &view::Quarantined) -> Quarantined {
    Quarantined {
        key: quarantined.key.clone(),
        status: quarantined.status,
        message: quarantined.message.clone(),
    }
}

/// The state in the words of the contract.
pub(crate) fn hub_state(state: status::HubState) -> HubState {
    match state {
        status::HubState::Connected => HubState::Connected,
        status::HubState::Connecting => HubState::Connecting,
        status::HubState::Disconnected => HubState::Disconnected,
        status::HubState::Disabled => HubState::Disabled,
    }
}

/// The reason in the words of the contract.
pub(crate) fn hub_reason(reason: status::Reason) -> HubReason {
    use status::Reason;
    match reason {
        Reason::Ok => HubReason::Ok,
        Reason::Network => HubReason::Network,
        Reason::Tls => HubReason::Tls,
        Reason::Clock => HubReason::Clock,
        Reason::BadCredential => HubReason::BadCredential,
        Reason::ExpiredCredential => HubReason::ExpiredCredential,
        Reason::IdentityDisabled => HubReason::IdentityDisabled,
        Reason::IdentityConflict => HubReason::IdentityConflict,
        Reason::Throttled => HubReason::Throttled,
        Reason::Quota => HubReason::Quota,
        Reason::HubError => HubReason::HubError,
        Reason::Config => HubReason::Config,
        Reason::Starting => HubReason::Starting,
        Reason::Stopping => HubReason::Stopping,
    }
}
