//! What went wrong, in words for people and reasons for machines.

use std::time::Duration;

use modtwin_core::status::{Fault, Reason};
use paho_mqtt::{ConnectReturnCode, Error};

/// The hub's refusal at CONNACK, or nothing where the attempt ended otherwise.
///
/// The codes are MQTT 3.1.1's (section 3.2.2.3). Hubs answer nearly every refusal with 5, whatever
/// its cause, so the text lists what it can be (azure-iot-sdk-c,
/// doc/connection_and_messaging_reliability.md).
pub(crate) fn refusal(error: &Error) -> Option<Fault> {
    let Error::ConnectReturn(code) = error else {
        return None;
    };
    let fault = match code {
        ConnectReturnCode::UnacceptableProtocolVersion => Fault::new(
            Reason::HubError,
            "the hub refused the connection with code 1: it does not speak MQTT 3.1.1; check that the address is a hub's",
        ),
        ConnectReturnCode::IdentifierRejected => Fault::new(
            Reason::HubError,
            "the hub refused the connection with code 2: it rejected the client id; check the device and module ids",
        ),
        ConnectReturnCode::ServerUnavailable => Fault::new(
            Reason::Throttled,
            "the hub refused the connection with code 3, server unavailable: it is busy or the device is disabled",
        ),
        ConnectReturnCode::BadUserNameOrPassword | ConnectReturnCode::NotAuthorized => Fault::new(
            Reason::BadCredential,
            format!(
                "the hub refused the credential with code {}: the key or token is wrong or expired, the certificate's \
                 thumbprint or common name is not the registered one, the device or module does not exist or is \
                 disabled, or this machine's clock is off by more than 5 minutes",
                *code as u8
            ),
        ),
        ConnectReturnCode::Accepted => return None,
    };
    Some(fault)
}

/// An attempt that failed although a diagnosis found nothing wrong.
pub(crate) fn unexplained(host: &str, port: u16, error: &Error) -> Fault {
    let detail = match error {
        Error::TcpConnectCompletionFailure => {
            format!("`{host}:{port}` ended the connection instead of answering CONNECT")
        }
        Error::TcpTlsConnectFailure => format!(
            "cannot connect to `{host}:{port}`: TCP or TLS failed; if it stays so, check that the client \
             certificate and key fit each other"
        ),
        other => format!("cannot connect to `{host}:{port}`: {}", text(other)),
    };
    Fault::new(Reason::Network, detail)
}

pub(crate) fn unresolved(host: &str, cause: &str) -> Fault {
    Fault::new(
        Reason::Network,
        format!("cannot resolve `{host}`: {cause}; check the name and the machine's DNS"),
    )
}

pub(crate) fn silent(host: &str, port: u16, limit: Duration) -> Fault {
    Fault::new(
        Reason::Network,
        format!(
            "no answer from `{host}:{port}` within {} s: TCP, TLS or CONNACK did not come",
            limit.as_secs_f32()
        ),
    )
}

pub(crate) fn closed() -> Fault {
    Fault::new(
        Reason::Network,
        "the connection to the hub broke: closed by the peer, or its keep-alive ran out",
    )
}

pub(crate) fn overrun(limit: usize) -> Fault {
    Fault::new(
        Reason::Network,
        format!("the hub sent more messages than the {limit} that may wait, some were lost"),
    )
}

pub(crate) fn bad_topic() -> Fault {
    Fault::new(Reason::HubError, "the hub sent a message whose topic is not UTF-8")
}

pub(crate) fn stuck(waiting: usize) -> Fault {
    Fault::new(
        Reason::Network,
        format!("the hub takes nothing any more: {waiting} messages wait to be written"),
    )
}

pub(crate) fn unsent(why: &str) -> Fault {
    Fault::new(Reason::Network, format!("cannot send a message to the hub: {}", why.to_lowercase()))
}

pub(crate) fn unwritten(limit: Duration) -> Fault {
    Fault::new(
        Reason::Network,
        format!("a message to the hub was not written within {} s", limit.as_secs()),
    )
}

pub(crate) fn unconfirmed(limit: Duration) -> Fault {
    Fault::new(
        Reason::Network,
        format!("the hub did not confirm a message within {} s", limit.as_secs()),
    )
}

pub(crate) fn unsubscribed(reason: Reason, filter: &str, why: &str) -> Fault {
    Fault::new(reason, format!("cannot subscribe to `{filter}`: {why}"))
}

pub(crate) fn engine_gone() -> Fault {
    Fault::new(Reason::Stopping, "the MQTT engine has ended")
}

/// paho's words, made to fit into a sentence.
pub(crate) fn text(error: &Error) -> String {
    match error {
        // Its Display is broken in 0.14: it prints "(0)" for every code.
        Error::ConnectReturn(code) => code.to_string().to_lowercase(),
        Error::SocketError(code) => format!("socket error {code}"),
        other => other.to_string().to_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_has_its_reason() {
        let check = |code, reason| {
            assert_eq!(
                refusal(&Error::ConnectReturn(code)).map(|fault| fault.reason),
                reason,
                "{code:?}"
            );
        };
        check(ConnectReturnCode::Accepted, None);
        check(ConnectReturnCode::UnacceptableProtocolVersion, Some(Reason::HubError));
        check(ConnectReturnCode::IdentifierRejected, Some(Reason::HubError));
        check(ConnectReturnCode::ServerUnavailable, Some(Reason::Throttled));
        check(ConnectReturnCode::BadUserNameOrPassword, Some(Reason::BadCredential));
        check(ConnectReturnCode::NotAuthorized, Some(Reason::BadCredential));
    }

    #[test]
    fn a_refused_credential_names_all_it_can_be() {
        let fault = refusal(&Error::ConnectReturn(ConnectReturnCode::NotAuthorized)).unwrap();
        for cause in ["key", "token", "thumbprint", "common name", "exist", "disabled", "clock"] {
            assert!(fault.detail.contains(cause), "{cause}: {}", fault.detail);
        }
    }
}
