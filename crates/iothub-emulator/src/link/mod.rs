//! One MQTT connection, from its first byte to its last: opening, CONNECT, admission, closing. The session in between
//! is [`session`]'s, judging the CONNECT is [`connect`]'s.

pub(crate) mod connect;
pub(crate) mod handle;
mod outbox;
mod requests;
mod session;
mod wire;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

use crate::certificate::ClientChain;
use crate::fault::{Fault, Kind};
use crate::hub::{self, Hub};
use crate::identity::IdentityKey;
use crate::packet::{Connect, Packet};
use crate::throttle::Meter;
use connect::{Admission, Refusal, UserName};
use handle::{Ending, LinkHandle};
pub(crate) use requests::properties;
use session::Session;
use wire::Wire;

/// Says who is at the other end.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) address: String,
    /// What carries the packets: `tls` or `websockets`.
    pub(crate) transport: &'static str,
    /// The certificate shown in the handshake.
    pub(crate) chain: Option<ClientChain>,
}

/// Serves one connection until it ends.
pub(crate) async fn serve<S>(hub: Arc<Hub>, stream: S, peer: Peer)
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let mut wire = Wire::new(stream);
    let mut stop = hub.stop.clone();
    let first = tokio::select! {
        () = hub::stopped(&mut stop) => return,
        first = timeout(hub.rules.connect_wait, wire.next_packet()) => first,
    };
    match first {
        Ok(Ok(Packet::Connect(connect))) => open(hub, wire, peer, *connect).await,
        Ok(Ok(Packet::OtherLevel(level))) => {
            // MQTT 3.1.1, 3.1.2.2: an unacceptable level is answered by code 1.
            let refusal =
                Refusal { code: 1, reason: format!("protocol level: expected 4, found {level}") };
            refuse(&hub, wire, &peer, None, refusal).await;
        }
        Ok(Ok(_)) => close_early(&hub, wire, &peer, "first packet is no CONNECT").await,
        Ok(Err(Ending::Malformed)) => {
            close_early(&hub, wire, &peer, Ending::Malformed.name()).await
        }
        Ok(Err(_)) => {}
        Err(_) => close_early(&hub, wire, &peer, "no CONNECT in time").await,
    }
}

async fn close_early<S: AsyncRead + AsyncWrite>(
    hub: &Hub,
    wire: Wire<S>,
    peer: &Peer,
    reason: &str,
) {
    hub.stats.refusals.up();
    hub.events.tell("refused", None, || json!({ "reason": reason, "peer": peer.address }));
    wire.close().await;
}

async fn refuse<S>(
    hub: &Hub,
    mut wire: Wire<S>,
    peer: &Peer,
    key: Option<&IdentityKey>,
    refusal: Refusal,
) where
    S: AsyncRead + AsyncWrite,
{
    hub.stats.refusals.up();
    let (code, reason) = (refusal.code, refusal.reason);
    tracing::debug!(code, reason, "connection refused");
    hub.events.tell(
        "refused",
        key,
        || json!({ "code": code, "reason": reason, "peer": peer.address }),
    );
    wire.push(&Packet::ConnAck { session_present: false, code });
    wire.close().await;
}

async fn open<S>(hub: Arc<Hub>, mut wire: Wire<S>, peer: Peer, connect: Connect)
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let Some(user) = connect.user_name.as_deref().and_then(UserName::parse) else {
        let refusal =
            Refusal::unauthorized("user name: expected {hub}/{device}[/{module}]/?api-version=…");
        return refuse(&hub, wire, &peer, None, refusal).await;
    };
    if let Some(fault) = strike_scoped(&hub, Kind::Drop, &user.key) {
        return hub.tell_fault(&fault, Some(&user.key));
    }
    if let Some(fault) = strike_scoped(&hub, Kind::Stall, &user.key) {
        hub.tell_fault(&fault, Some(&user.key));
        return stall(&hub, &fault).await;
    }
    match hub.meter(Meter::Connects, 1, Some(&user.key)) {
        Ok(wait) => tokio::time::sleep(wait).await,
        Err(_) => return close_early(&hub, wire, &peer, "connects throttled").await,
    }
    if let Some(fault) = hub.strike(Kind::Refuse, &user.key) {
        let refusal = Refusal { code: fault.code, reason: "refused by a fault".to_owned() };
        return refuse(&hub, wire, &peer, Some(&user.key), refusal).await;
    }
    match connect::judge(&hub, &connect, &user, peer.chain.as_ref()) {
        Ok(admission) => {
            if let Some(session) = admit(&hub, &mut wire, connect, admission, &peer) {
                Box::pin(session.run(wire)).await;
            }
        }
        Err(refusal) => refuse(&hub, wire, &peer, Some(&user.key), refusal).await,
    }
}

/// Takes the identity over, answers CONNACK and builds the session; nothing if the identity was deleted meanwhile.
fn admit<S>(
    hub: &Arc<Hub>,
    wire: &mut Wire<S>,
    connect: Connect,
    admission: Admission,
    peer: &Peer,
) -> Option<Session>
where
    S: AsyncRead + AsyncWrite,
{
    let identity = Arc::clone(&admission.identity);
    let id = hub.link_ids.fetch_add(1, Ordering::Relaxed);
    let (mut link, commands, cut) =
        LinkHandle::new(id, admission.credential.clone(), admission.model_id.clone());
    let mut state = identity.lock();
    if state.is_deleted {
        return None;
    }
    let subscriptions = match (connect.clean_session, &state.record.session) {
        (false, Some(kept)) => kept.clone(),
        _ => Vec::new(),
    };
    let session_present = !connect.clean_session && state.record.session.is_some();
    let must_save = connect.clean_session == state.record.session.is_some();
    state.record.session = (!connect.clean_session).then(|| subscriptions.clone());
    state.record.connection_updated = hub.clock.now();
    state.record.last_activity = hub.clock.now();
    link.takes_methods = requests::takes_methods(&subscriptions);
    if let Some(older) = state.link.replace(link) {
        older.cut(Ending::TakenOver);
        hub.calls.abandon(&identity.key);
    }
    if must_save {
        identity.save(&mut state, &hub.store);
    }
    hub.stats.connects.up();
    identity.counters.connects.fetch_add(1, Ordering::Relaxed);
    hub.events.tell("connect", Some(&identity.key), || {
        let by = if connect.password.is_some() { "token" } else { "certificate" };
        json!({ "link": id, "peer": peer.address, "transport": peer.transport, "keep_alive": connect.keep_alive, "by": by,
            "clean_session": connect.clean_session, "session_present": session_present })
    });
    drop(state);
    wire.push(&Packet::ConnAck { session_present, code: 0 });
    Some(Session::new(Arc::clone(hub), connect, admission, subscriptions, (id, commands, cut)))
}

fn strike_scoped(hub: &Hub, kind: Kind, key: &IdentityKey) -> Option<Arc<Fault>> {
    // Unscoped ones of these kinds strike at TCP, before there is an identity.
    let is_hit = |fault: &Arc<Fault>| fault.kind == kind && fault.is_scoped() && fault.covers(key);
    hub.faults.in_force().into_iter().find(is_hit)?;
    hub.faults.strike(kind, key)
}

/// Waits in silence until the fault is over or the emulator ends.
pub(crate) async fn stall(hub: &Hub, fault: &Fault) {
    let (mut stop, mut changes) = (hub.stop.clone(), hub.faults.changes());
    while !fault.is_spent() {
        tokio::select! {
            () = hub::stopped(&mut stop) => return,
            _ = changes.changed() => {}
            () = tokio::time::sleep(STALL_CHECK) => {}
        }
    }
}

/// How often a stalled connection looks whether its fault's time is up.
const STALL_CHECK: Duration = Duration::from_millis(100);
