//! The client: one method a request of the contract.

use std::path::{Path, PathBuf};
use std::time::Duration;

use hyper::{Method, StatusCode};
use modtwin_api::limits::{DEFAULT_TIMEOUT, HEARTBEAT, MAX_TIMEOUT};
use modtwin_api::message::{HEADER_CORRELATION_ID, HEADER_MESSAGE_ID, HEADER_PROPERTY};
use modtwin_api::{
    AckRequest, Document, Health, LogLevelChange, LogLevelStatus, MethodResponse, ModuleList,
    ReloadOutcome, ReportAccepted, ReportStored, Snapshot, Status, TrialRequest,
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::DeserializeOwned;

use crate::exchange::{self, Answer, Call};
use crate::{ClientError, Follow, FollowMethods, Methods, Watch, WatchOptions};

/// What stays as it is in a path segment or a query value: the unreserved characters of RFC 3986.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// How long an answer may take beyond the time that the request itself allows for.
const GRACE: Duration = Duration::from_secs(10);

/// After this silence a stream's peer counts as dead: three heartbeats are missing.
const MAX_SILENCE: Duration = Duration::from_secs(3 * HEARTBEAT.as_secs());

/// How far a report or a message is to have come before the daemon answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Wait {
    /// It survives power loss.
    #[default]
    Stored,
    /// The hub has accepted it.
    Hub {
        /// How long to wait, in whole seconds from one to an hour; rounded up.
        timeout: Duration,
    },
}

/// How far a report has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reported {
    /// It survives power loss and will reach the hub.
    Stored(ReportStored),
    /// The hub has accepted it.
    Accepted(ReportAccepted),
}

/// A device-to-cloud message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Message {
    /// The content; with the properties at most 256 KiB.
    pub payload: Vec<u8>,
    /// Its media type, such as `application/json`.
    pub content_type: Option<String>,
    /// Its encoding, such as `utf-8`.
    pub content_encoding: Option<String>,
    /// What receivers may tell a message that comes twice by.
    pub message_id: Option<String>,
    /// What ties it to another message.
    pub correlation_id: Option<String>,
    /// The sender's own properties; a name has no `=`, neither has a line feed.
    pub properties: Vec<(String, String)>,
}

/// How far a message has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// The hub has confirmed it.
    Confirmed,
    /// It survives power loss and will reach the hub.
    Stored,
}

/// A client of the daemon at one socket. Cheap to clone; holds no connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    socket: PathBuf,
    silence: Duration,
}

impl Client {
    /// A client of the daemon at that socket; nothing is connected yet.
    #[must_use]
    pub fn new(socket: impl Into<PathBuf>) -> Self {
        Self { socket: socket.into(), silence: MAX_SILENCE }
    }

    /// Has streams count the daemon as dead after `silence` without a sign of life, instead of
    /// after 90 s, which are three of its heartbeats.
    #[must_use]
    pub fn with_silence(mut self, silence: Duration) -> Self {
        self.silence = silence;
        self
    }

    /// The socket's path.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Lists the modules that this process may use. Cancel-safe.
    ///
    /// # Errors
    ///
    /// [`ClientError`] where the daemon can't be reached or refuses.
    pub async fn modules(&self) -> Result<ModuleList, ClientError> {
        self.get("/v1/modules".to_owned()).await
    }

    /// Reads both sections of a module's twin. Cancel-safe.
    ///
    /// # Errors
    ///
    /// [`ClientError`] where the daemon can't be reached or refuses.
    pub async fn snapshot(&self, module: &str) -> Result<Snapshot, ClientError> {
        self.get(module_target(module, "")).await
    }

    /// Begins to watch a module's desired properties; the first event is a snapshot.
    /// Cancel-safe.
    ///
    /// # Errors
    ///
    /// [`ClientError`] where the daemon can't be reached or refuses.
    pub async fn watch(&self, module: &str, options: &WatchOptions) -> Result<Watch, ClientError> {
        let mut target = module_target(module, "/watch");
        let since = options.since.map(|since| since.to_string());
        let paths = options.paths.iter().map(|path| ("path", path.as_str()));
        let query = paths
            .chain(since.as_deref().map(|since| ("since", since)))
            .chain(options.handler.as_deref().map(|handler| ("handler", handler)));
        for (index, (name, value)) in query.enumerate() {
            target.push(if index == 0 { '?' } else { '&' });
            target.push_str(name);
            target.push('=');
            target.extend(utf8_percent_encode(value, ENCODED));
        }
        let call = Call::new(Method::GET, target, DEFAULT_TIMEOUT);
        let open = exchange::open(&self.socket, call).await?;
        Ok(Watch::new(self.socket.clone(), open, self.silence))
    }

    /// Watches a module across restarts of the daemon; connects with the first
    /// [`next`](Follow::next).
    #[must_use]
    pub fn follow(&self, module: &str, options: WatchOptions) -> Follow {
        Follow::new(self.clone(), module.to_owned(), options)
    }

    /// Hands in a merge patch (RFC 7396) for the reported properties.
    ///
    /// Not cancel-safe: the daemon may have stored a report whose answer nobody waited for.
    ///
    /// # Errors
    ///
    /// [`ClientError`] where the daemon can't be reached or refuses; with [`Wait::Hub`] a problem of kind
    /// `timeout` means that the report is stored and still on its way.
    pub async fn report(
        &self,
        module: &str,
        patch: &Document,
        wait: Wait,
    ) -> Result<Reported, ClientError> {
        let (query, deadline) = match wait {
            Wait::Stored => ("?wait=stored".to_owned(), DEFAULT_TIMEOUT),
            Wait::Hub { timeout } => {
                let seconds = whole_seconds(timeout);
                let deadline = Duration::from_secs(seconds) + GRACE;
                (format!("?wait=hub&timeout={seconds}"), deadline)
            }
        };
        let target = module_target(module, "/reported") + &query;
        let body = self.encode(patch)?;
        let call = Call {
            method: Method::PATCH,
            target,
            body: Some(("application/merge-patch+json", body)),
            headers: Vec::new(),
            deadline,
        };
        let answer = self.accepted(call).await?;
        match answer.status {
            StatusCode::OK => self.decode(&answer.body).map(Reported::Accepted),
            _ => self.decode(&answer.body).map(Reported::Stored),
        }
    }

    /// Says what a handler did with a version; returns once that survives power loss.
    ///
    /// Not cancel-safe, but the same acknowledgement may be sent twice.
    ///
    /// # Errors
    ///
    /// [`ClientError`] where the daemon can't be reached or refuses.
    pub async fn acknowledge(&self, module: &str, ack: &AckRequest) -> Result<(), ClientError> {
        let body = self.encode(ack)?;
        let call = Call {
            method: Method::POST,
            target: module_target(module, "/acks"),
            body: Some(("application/json", body)),
            headers: Vec::new(),
            deadline: DEFAULT_TIMEOUT,
        };
        self.accepted(call).await.map(|_answer| ())
    }

    /// Sends a device-to-cloud message. While the hub can't be reached it is stored, whatever `wait` says.
    ///
    /// Not cancel-safe: the daemon may send a message whose answer nobody waited for.
    ///
    /// # Errors
    ///
    /// [`ClientError`] where the daemon can't be reached or refuses; with [`Wait::Hub`] a problem of kind
    /// `timeout` means that the message is stored and still on its way.
    pub async fn send(
        &self,
        module: &str,
        message: &Message,
        wait: Wait,
    ) -> Result<Sent, ClientError> {
        let (query, deadline) = match wait {
            Wait::Stored => ("?wait=stored".to_owned(), DEFAULT_TIMEOUT + GRACE),
            Wait::Hub { timeout } => {
                let seconds = whole_seconds(timeout);
                (format!("?timeout={seconds}"), Duration::from_secs(seconds) + GRACE)
            }
        };
        let properties = message.properties.iter().map(|(name, value)| format!("{name}={value}"));
        let properties: Vec<String> = properties.collect();
        let optional = [
            ("content-encoding", &message.content_encoding),
            (HEADER_MESSAGE_ID, &message.message_id),
            (HEADER_CORRELATION_ID, &message.correlation_id),
        ];
        let optional =
            optional.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?)));
        let properties = properties.iter().map(|text| (HEADER_PROPERTY, text.as_str()));
        let media_type = message.content_type.as_deref().unwrap_or_default();
        let call = Call {
            method: Method::POST,
            target: module_target(module, "/messages") + &query,
            body: Some((media_type, message.payload.clone())),
            headers: optional.chain(properties).collect(),
            deadline,
        };
        let status = self.accepted(call).await?.status;
        Ok(if status == StatusCode::ACCEPTED { Sent::Stored } else { Sent::Confirmed })
    }

    /// Claims direct methods of a module, and hears their calls for as long as the stream is held; no
    /// name at all means all that this process may answer. Cancel-safe.
    ///
    /// # Errors
    ///
    /// [`ClientError`] where the daemon can't be reached or refuses; a problem of kind `in_use` means
    /// that somebody else has one of them.
    pub async fn methods(&self, module: &str, names: &[String]) -> Result<Methods, ClientError> {
        let mut target = module_target(module, "/methods");
        for (index, name) in names.iter().enumerate() {
            target.push_str(if index == 0 { "?name=" } else { "&name=" });
            target.extend(utf8_percent_encode(name, ENCODED));
        }
        let call = Call::new(Method::GET, target, DEFAULT_TIMEOUT);
        let open = exchange::open(&self.socket, call).await?;
        Ok(Methods::new(self.socket.clone(), open, self.silence))
    }

    /// Answers direct methods across restarts of the daemon; connects with the first
    /// [`next`](FollowMethods::next).
    #[must_use]
    pub fn follow_methods(&self, module: &str, names: &[String]) -> FollowMethods {
        FollowMethods::new(self.clone(), module.to_owned(), names.to_owned())
    }

    /// Answers a call of a direct method.
    ///
    /// Not cancel-safe: the answer may have been taken; a second one is refused.
    ///
    /// # Errors
    ///
    /// [`ClientError`] where the daemon can't be reached or refuses; a problem of kind `not_found` means
    /// that the call was answered before, or that it is too late.
    pub async fn answer_method(
        &self,
        module: &str,
        id: &str,
        answer: &MethodResponse,
    ) -> Result<(), ClientError> {
        let id = utf8_percent_encode(id, ENCODED);
        let call = Call {
            method: Method::POST,
            target: module_target(module, &format!("/methods/{id}")),
            body: Some(("application/json", self.encode(answer)?)),
            headers: Vec::new(),
            deadline: DEFAULT_TIMEOUT,
        };
        self.accepted(call).await.map(|_nothing| ())
    }

    /// Reads the state of the whole daemon; for administrators. Cancel-safe.
    ///
    /// # Errors
    ///
    /// [`ClientError`] where the daemon can't be reached or refuses.
    pub async fn status(&self) -> Result<Status, ClientError> {
        self.get("/v1/status".to_owned()).await
    }

    /// Reads the daemon's metrics, OpenMetrics text; for administrators. Cancel-safe.
    ///
    /// # Errors
    ///
    /// [`ClientError`] where the daemon can't be reached or refuses.
    pub async fn metrics(&self) -> Result<String, ClientError> {
        let call = Call::new(Method::GET, "/metrics".to_owned(), DEFAULT_TIMEOUT);
        let body = self.accepted(call).await?.body;
        Ok(String::from_utf8_lossy(&body).into_owned())
    }

    /// Asks whether the daemon does its work; an unhealthy one is an answer, not an error.
    /// Cancel-safe.
    ///
    /// # Errors
    ///
    /// [`ClientError`] where the daemon can't be reached or does not answer with its health.
    pub async fn health(&self) -> Result<Health, ClientError> {
        let call = Call::new(Method::GET, "/v1/health".to_owned(), DEFAULT_TIMEOUT);
        let answer = exchange::answer(&self.socket, call).await?;
        match answer.status {
            StatusCode::OK => self.decode(&answer.body),
            _ => serde_json::from_slice(&answer.body)
                .map_err(|_no_health| exchange::refusal(&self.socket, &answer)),
        }
    }

    /// Has the daemon read its config anew; for administrators.
    ///
    /// # Errors
    ///
    /// [`ClientError`] where the daemon can't be reached or refuses; a problem of kind `invalid_config`
    /// lists what keeps the old config in force.
    pub async fn reload(&self) -> Result<ReloadOutcome, ClientError> {
        let call = Call::new(Method::POST, "/v1/reload".to_owned(), DEFAULT_TIMEOUT);
        self.decode(&self.accepted(call).await?.body)
    }

    /// Reads how much the daemon logs; for administrators. Cancel-safe.
    ///
    /// # Errors
    ///
    /// [`ClientError`] where the daemon can't be reached or refuses.
    pub async fn log_level(&self) -> Result<LogLevelStatus, ClientError> {
        self.get("/v1/log-level".to_owned()).await
    }

    /// Changes for a while how much the daemon logs; for administrators.
    ///
    /// # Errors
    ///
    /// [`ClientError`] where the daemon can't be reached or refuses.
    pub async fn set_log_level(
        &self,
        change: &LogLevelChange,
    ) -> Result<LogLevelStatus, ClientError> {
        let body = self.encode(change)?;
        let call = Call {
            method: Method::PUT,
            target: "/v1/log-level".to_owned(),
            body: Some(("application/json", body)),
            headers: Vec::new(),
            deadline: DEFAULT_TIMEOUT,
        };
        self.decode(&self.accepted(call).await?.body)
    }

    /// Puts a config on trial: in force at once, and gone in time unless the first config file says
    /// the same by then; for administrators.
    ///
    /// # Errors
    ///
    /// As of [`reload`](Self::reload); a problem of kind `in_use` means that one is on trial already.
    pub async fn try_config(&self, trial: &TrialRequest) -> Result<ReloadOutcome, ClientError> {
        let call = Call {
            method: Method::POST,
            target: "/v1/reload".to_owned(),
            body: Some(("application/json", self.encode(trial)?)),
            headers: Vec::new(),
            deadline: DEFAULT_TIMEOUT,
        };
        self.decode(&self.accepted(call).await?.body)
    }

    /// Has the daemon drop a module's session and begin a new one now; for administrators.
    ///
    /// # Errors
    ///
    /// [`ClientError`] where the daemon can't be reached or refuses.
    pub async fn reconnect(&self, module: &str) -> Result<(), ClientError> {
        let call = Call::new(Method::POST, module_target(module, "/reconnect"), DEFAULT_TIMEOUT);
        self.accepted(call).await.map(|_answer| ())
    }

    async fn get<T: DeserializeOwned>(&self, target: String) -> Result<T, ClientError> {
        let call = Call::new(Method::GET, target, DEFAULT_TIMEOUT);
        self.decode(&self.accepted(call).await?.body)
    }

    /// Sends `call` and takes nothing but success.
    async fn accepted(&self, call: Call<'_>) -> Result<Answer, ClientError> {
        let answer = exchange::answer(&self.socket, call).await?;
        if answer.status.is_success() {
            Ok(answer)
        } else {
            Err(exchange::refusal(&self.socket, &answer))
        }
    }

    fn encode(&self, value: &impl serde::Serialize) -> Result<Vec<u8>, ClientError> {
        serde_json::to_vec(value).map_err(|error| {
            ClientError::protocol(&self.socket, format!("cannot write the request: {error}"))
        })
    }

    fn decode<T: DeserializeOwned>(&self, body: &[u8]) -> Result<T, ClientError> {
        serde_json::from_slice(body).map_err(|error| {
            let what = format!("expected the answer of the contract, found otherwise ({error})");
            ClientError::protocol(&self.socket, what)
        })
    }
}

/// The target of a request about `module`.
fn module_target(module: &str, rest: &str) -> String {
    format!("/v1/modules/{}{rest}", utf8_percent_encode(module, ENCODED))
}

/// `timeout` as the API takes it: rounded up, from one second to an hour.
fn whole_seconds(timeout: Duration) -> u64 {
    let up = u64::from(timeout.subsec_nanos() > 0);
    timeout.as_secs().saturating_add(up).clamp(1, MAX_TIMEOUT.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_cannot_leave_their_place_in_the_path() {
        assert_eq!(module_target("a.b-c_1", "/watch"), "/v1/modules/a.b-c_1/watch");
        assert_eq!(module_target("../x?y#z %", ""), "/v1/modules/..%2Fx%3Fy%23z%20%25");
    }

    #[test]
    fn timeouts_are_whole_seconds_within_bounds() {
        assert_eq!(whole_seconds(Duration::ZERO), 1);
        assert_eq!(whole_seconds(Duration::from_millis(1_001)), 2);
        assert_eq!(whole_seconds(Duration::from_secs(30)), 30);
        assert_eq!(whole_seconds(Duration::MAX), 3600);
    }
}
