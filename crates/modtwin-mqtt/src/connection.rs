//! The task of one connection, from CONNACK to its end.
//!
//! Owns the time limits of SUBACKs, PUBACKs and of messages to be written. paho sends a client's calls in
//! order, so they are awaited in order.

use std::time::Duration;

use modtwin_core::status::{Fault, Reason};
use modtwin_session::link::{Epoch, LinkStatus};
use paho_mqtt::{Error, Token};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use crate::fault;
use crate::handle::{Phase, Stage};
use crate::worker::{Call, CallKind, Opened};

/// Follows a connection until it is over.
pub(crate) async fn follow(opened: Opened, epoch: Epoch) {
    let Opened { token, state, mut calls } = opened;
    drop(token);
    let mut stage = state.stage.subscribe();
    loop {
        let mut call = tokio::select! {
            biased;
            () = ended(&mut stage, epoch) => break,
            call = calls.recv() => match call {
                Some(call) => call,
                // The link is removed: what is left is to see the connection end.
                None => {
                    ended(&mut stage, epoch).await;
                    break;
                }
            },
        };
        let settled = tokio::select! {
            biased;
            settled = settle(&mut call) => Some(settled),
            () = ended(&mut stage, epoch) => None,
        };
        // A call that is dropped unsettled ends the client's use, here and where its sender is.
        match settled {
            Some(Ok(status)) => {
                call.account.settle();
                if let Some(status) = status {
                    state.line.say(epoch, status);
                } else if let CallKind::Subscription { rest, .. } = &mut call.kind {
                    state.subscribe(epoch, std::mem::take(rest));
                }
            }
            Some(Err(fault)) => state.fail(epoch, fault),
            None => break,
        }
    }
}

async fn ended(stage: &mut watch::Receiver<Stage>, epoch: Epoch) {
    // The sender lives as long as the state that this task holds.
    let _ = stage.wait_for(|stage| stage.epoch != epoch || stage.phase == Phase::Over).await;
}

/// Waits for a call's outcome; gives what the session is to hear of it.
async fn settle(call: &mut Call) -> Result<Option<LinkStatus>, Fault> {
    let issued = call.issued;
    match &mut call.kind {
        CallKind::Subscription { filter, token, rest } => {
            subscription(filter, token, issued + SUBACK_LIMIT).await?;
            Ok(rest.is_empty().then_some(LinkStatus::Subscribed))
        }
        CallKind::Delivery { token, number, .. } => {
            match timeout_at(issued + DELIVERY_LIMIT, token).await {
                Ok(Ok(_)) => Ok(number.map(LinkStatus::Confirmed)),
                Ok(Err(error)) => Err(fault::unsent(&fault::text(&error))),
                Err(_) if number.is_some() => Err(fault::unconfirmed(DELIVERY_LIMIT)),
                Err(_) => Err(fault::unwritten(DELIVERY_LIMIT)),
            }
        }
    }
}

async fn subscription(filter: &str, token: &mut Token, deadline: Instant) -> Result<(), Fault> {
    let (reason, why) = match timeout_at(deadline, token).await {
        Ok(Ok(answer)) => match answer.subscribe_response() {
            Some(0 | 1) => return Ok(()),
            _ => (Reason::HubError, "SUBACK does not fit what was asked".to_owned()),
        },
        // What the crate makes of code 0x80, `MQTT_BAD_SUBSCRIBE`.
        Ok(Err(Error::Failure)) => (Reason::HubError, "the hub refused it".to_owned()),
        Ok(Err(error)) => (Reason::Network, fault::text(&error)),
        Err(_) => (Reason::Network, format!("no SUBACK within {} s", SUBACK_LIMIT.as_secs())),
    };
    Err(fault::unsubscribed(reason, filter, &why))
}

/// How long a SUBACK may take; the Python SDK waits as long.
const SUBACK_LIMIT: Duration = Duration::from_secs(10);
/// How long a message may wait for room in the socket, or for the hub's confirmation.
const DELIVERY_LIMIT: Duration = Duration::from_secs(30);
