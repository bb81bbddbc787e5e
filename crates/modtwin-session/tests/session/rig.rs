//! The stage: a seat whose link, credential and disk do what the test says.

use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use modtwin_core::governor::Policy;
use modtwin_core::handlers::HandlerRule;
use modtwin_core::ids::{DeviceId, ModuleId};
use modtwin_core::session::Settings;
use modtwin_core::status::{HubState, Reason};
use modtwin_session::clock::ClockState;
use modtwin_session::credential::CredentialSource;
use modtwin_session::governor::Governor;
use modtwin_session::handle::{ModuleHandle, ReportTicket};
use modtwin_session::link::{
    ConnectRequest, Epoch, HubLink, InboundMessage, LinkEvents, LinkStatus, MESSAGE_QUEUE,
};
use modtwin_session::messages::{Backlog, MessageStore};
use modtwin_session::seat::{Ports, Seat, SessionConfig};
use modtwin_session::store::{Loaded, StoreError, StoredTwin, TwinStore};
use modtwin_session::view::ModuleView;
use serde_json::{Value, json};
use tokio::sync::oneshot::error::RecvError;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinError, JoinHandle};
use tokio::time::timeout;

use crate::shelf::Shelf;
use crate::wallet::Wallet;

/// Longer than every wait of a session, on the clock that costs nothing.
pub(crate) const FOREVER: Duration = Duration::from_secs(24 * 3600);
/// How long a hanging disk hangs at most, on the real clock, so that a failed test ends.
const HANG_LIMIT: Duration = Duration::from_secs(20);

/// The rules of the session under test: the product's, with the default base of one second.
pub(crate) const ANSWER_LIMIT: Duration = Duration::from_secs(30);
pub(crate) const CONNECT_LIMIT: Duration = Duration::from_secs(60);
pub(crate) const METHOD_LIMIT: Duration = Duration::from_secs(30);

/// A session and everything around it.
pub(crate) struct Rig {
    pub(crate) handle: ModuleHandle,
    pub(crate) hub: Hub,
    pub(crate) disk: Arc<Disk>,
    pub(crate) shelf: Arc<Shelf>,
    pub(crate) wallet: Arc<Wallet>,
    pub(crate) clock: watch::Sender<ClockState>,
    seat: Seat,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Rig {
    /// A session that has just begun, with an empty disk.
    pub(crate) async fn start() -> Self {
        Self::start_on(Arc::new(Disk::default())).await
    }

    /// A session that has just begun on that disk.
    pub(crate) async fn start_on(disk: Arc<Disk>) -> Self {
        Self::start_with(disk, policy(), Vec::new(), ClockState::default()).await
    }

    /// A session that has just begun, with those messages on disk.
    pub(crate) async fn start_with_messages(shelf: Arc<Shelf>) -> Self {
        let circumstances = (policy(), Vec::new(), ClockState::default());
        Self::start_on_all(Arc::default(), shelf, circumstances).await
    }

    /// A session that has just begun, under those circumstances.
    pub(crate) async fn start_with(
        disk: Arc<Disk>,
        policy: Policy,
        handlers: Vec<HandlerRule>,
        clock: ClockState,
    ) -> Self {
        Self::start_on_all(disk, Arc::default(), (policy, handlers, clock)).await
    }

    async fn start_on_all(
        disk: Arc<Disk>,
        shelf: Arc<Shelf>,
        (policy, handlers, clock): (Policy, Vec<HandlerRule>, ClockState),
    ) -> Self {
        let clock = watch::Sender::new(clock);
        let wallet = Arc::new(Wallet::default());
        let (link, events, hub) = link(Arc::clone(&disk));
        let ports = Ports {
            link: Box::new(link),
            events,
            credentials: Arc::clone(&wallet) as Arc<dyn CredentialSource>,
            store: Arc::clone(&disk) as Arc<dyn TwinStore>,
            messages: Arc::clone(&shelf) as Arc<dyn MessageStore>,
            governor: Governor::new(policy, 7),
            clock: clock.subscribe(),
        };
        let (handle, seat) = Seat::open(SessionConfig { handlers, ..config() }, ports).await;
        let stop = watch::Sender::new(false);
        let task = run(&seat, &stop);
        Self { handle, hub, disk, shelf, wallet, clock, seat, stop, task }
    }

    /// Waits for the task's end.
    pub(crate) async fn end(&mut self) -> Result<(), JoinError> {
        timeout(FOREVER, &mut self.task).await.expect("the session never ended")
    }

    /// Whether the task has ended.
    pub(crate) fn is_over(&self) -> bool {
        self.task.is_finished()
    }

    /// Tells the session to end.
    pub(crate) fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Runs the seat again after a crash, as the supervisor does.
    pub(crate) fn run_again(&mut self) {
        self.task = run(&self.seat, &self.stop);
    }

    /// Gives the seat up, as the supervisor does after too many crashes.
    pub(crate) async fn give_up(&self, words: &str) {
        self.seat.show_given_up(words).await;
    }

    /// Waits for a view of which `condition` holds.
    pub(crate) async fn view_where(
        &self,
        condition: impl Fn(&ModuleView) -> bool,
    ) -> Arc<ModuleView> {
        let mut views = self.handle.follow();
        let found = timeout(FOREVER, views.wait_for(|view| condition(view))).await;
        let found = found.unwrap_or_else(|_late| panic!("never; last: {:?}", self.handle.view()));
        Arc::clone(&found.expect("the session's views ended"))
    }

    /// Waits until the session stands so with its hub.
    pub(crate) async fn stands(&self, state: HubState, reason: Reason) -> Arc<ModuleView> {
        self.view_where(|view| (view.hub.state, view.hub.reason) == (state, reason)).await
    }

    /// Waits until `condition` holds of what waits for the hub.
    pub(crate) async fn backlog_where(&self, condition: impl Fn(&Backlog) -> bool) {
        let began = std::time::Instant::now();
        while !condition(&self.handle.backlog()) {
            assert!(began.elapsed() < HANG_LIMIT, "never; last: {:?}", self.handle.backlog());
            tokio::task::yield_now().await;
        }
    }

    /// Waits, on the real clock, until `condition` holds of the messages on disk.
    pub(crate) async fn shelf_where(&self, condition: impl Fn(&Shelf) -> bool) {
        let began = std::time::Instant::now();
        while !condition(&self.shelf) {
            assert!(began.elapsed() < HANG_LIMIT, "never; last: {:?}", self.shelf);
            tokio::task::yield_now().await;
        }
    }

    /// Waits for the answer to what was handed in; an error says that whoever owed it is gone.
    pub(crate) async fn told<T>(&self, answer: oneshot::Receiver<T>) -> Result<T, RecvError> {
        timeout(FOREVER, answer).await.expect("whoever waits is never told")
    }

    /// Hands in a report.
    pub(crate) async fn report(&self, patch: Value) -> ReportTicket {
        let Value::Object(patch) = patch else { panic!("a patch is an object") };
        self.handle.report(patch).await.unwrap()
    }

    /// Plays the hub until the session is live.
    pub(crate) async fn go_live(&mut self, desired: Value, reported: Value) {
        self.hub.fetched_after_connect(desired, reported).await;
        self.stands(HubState::Connected, Reason::Ok).await;
    }
}

fn run(seat: &Seat, stop: &watch::Sender<bool>) -> JoinHandle<()> {
    let (seat, stop) = (seat.clone(), stop.subscribe());
    tokio::spawn(async move { seat.run(stop).await })
}

fn config() -> SessionConfig {
    SessionConfig {
        device: DeviceId::new("gateway01").unwrap(),
        module: ModuleId::new("module01").unwrap(),
        hub_host: "hub.example".to_owned(),
        dial_host: "hub.example".to_owned(),
        port: 8883,
        trusted_ca: None,
        keep_alive: Duration::from_secs(180),
        api_version: "2021-04-12".to_owned(),
        model_id: None,
        connect_limit: Duration::from_secs(30),
        settings: Settings {
            retry_base: Duration::from_secs(1),
            answer_limit: ANSWER_LIMIT,
            connect_limit: CONNECT_LIMIT,
            resync_every: Duration::from_secs(3600),
            plug_and_play: false,
            seed: 7,
        },
        handlers: Vec::new(),
        method_limit: METHOD_LIMIT,
    }
}

/// A budget that holds nobody up.
pub(crate) fn policy() -> Policy {
    Policy::boundless(Duration::from_secs(1))
}

/// What the session asked of its link.
#[derive(Debug)]
pub(crate) enum Call {
    Connect(ConnectRequest),
    Subscribe,
    /// With what the disk held at that moment.
    Publish {
        topic: String,
        payload: Vec<u8>,
        on_disk: Option<StoredTwin>,
    },
    Deliver {
        number: u64,
        topic: String,
        payload: Vec<u8>,
    },
    Disconnect,
}

/// A call at which the link may panic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Connect,
    Subscribe,
    Publish,
    Disconnect,
}

/// The session's side of the script.
#[derive(Debug)]
struct ScriptedLink {
    calls: mpsc::UnboundedSender<Call>,
    // Shared with the test, which sets it; taken by the one panic it is good for.
    panic_at: Arc<Mutex<Option<Place>>>,
    disk: Arc<Disk>,
}

impl ScriptedLink {
    fn note(&self, place: Place, call: Call) {
        // A guard must not be poisoned by the panic it orders.
        let due = self.panic_at.lock().unwrap().take_if(|due| *due == place).is_some();
        assert!(!due, "the link was told to panic at {place:?}");
        // A test that has ended listens no more.
        let _ended = self.calls.send(call);
    }
}

impl HubLink for ScriptedLink {
    fn connect(&mut self, request: ConnectRequest) {
        self.note(Place::Connect, Call::Connect(request));
    }

    fn subscribe(&mut self, filters: &[&str]) {
        assert_eq!(filters, modtwin_wire::SUBSCRIPTIONS);
        self.note(Place::Subscribe, Call::Subscribe);
    }

    fn publish(&mut self, topic: &str, payload: Vec<u8>) {
        let on_disk = self.disk.content();
        self.note(Place::Publish, Call::Publish { topic: topic.to_owned(), payload, on_disk });
    }

    fn deliver(&mut self, number: u64, topic: &str, payload: Vec<u8>) {
        self.note(Place::Publish, Call::Deliver { number, topic: topic.to_owned(), payload });
    }

    fn disconnect(&mut self) {
        self.note(Place::Disconnect, Call::Disconnect);
    }
}

/// The test's side of the script: hears calls, says what comes of them.
pub(crate) struct Hub {
    calls: mpsc::UnboundedReceiver<Call>,
    status: mpsc::UnboundedSender<(Epoch, LinkStatus)>,
    messages: mpsc::Sender<InboundMessage>,
    panic_at: Arc<Mutex<Option<Place>>>,
    /// The connection that the script speaks for.
    pub(crate) epoch: Epoch,
}

/// A report as it was sent.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) rid: String,
    pub(crate) patch: Value,
    /// What the disk held when it was sent.
    pub(crate) on_disk: StoredTwin,
}

impl Hub {
    /// Lets the link panic, once, when it is next asked for that.
    pub(crate) fn panic_at(&self, place: Place) {
        *self.panic_at.lock().unwrap() = Some(place);
    }

    /// The next thing that the session asks of its link.
    pub(crate) async fn call(&mut self) -> Call {
        let call = timeout(FOREVER, self.calls.recv()).await;
        call.expect("the session asked nothing of its link").expect("the session's link is gone")
    }

    /// What the session has asked of its link and nobody has looked at.
    pub(crate) fn calls_so_far(&mut self) -> Vec<Call> {
        std::iter::from_fn(|| self.calls.try_recv().ok()).collect()
    }

    /// Waits for the next connect; all that comes before it is passed over.
    pub(crate) async fn connect(&mut self) -> ConnectRequest {
        loop {
            if let Call::Connect(request) = self.call().await {
                assert!(request.epoch > self.epoch, "a number of a connection was used twice");
                self.epoch = request.epoch;
                return request;
            }
        }
    }

    /// Says what happened to the connection.
    pub(crate) fn say(&self, status: LinkStatus) {
        self.say_of(self.epoch, status);
    }

    /// Says what happened to another connection.
    pub(crate) fn say_of(&self, epoch: Epoch, status: LinkStatus) {
        self.status.send((epoch, status)).unwrap();
    }

    /// Sends a message over the connection; says whether there was room in the queue.
    pub(crate) fn publish(&self, topic: impl Into<String>, payload: &[u8]) -> bool {
        let (topic, payload) = (topic.into(), payload.to_vec());
        self.messages.try_send(InboundMessage { epoch: self.epoch, topic, payload }).is_ok()
    }

    /// Sends a desired patch.
    pub(crate) fn patch(&self, version: u64, patch: &Value) -> bool {
        let topic = format!("$iothub/twin/PATCH/properties/desired/?$version={version}");
        let mut patch = patch.clone();
        patch["$version"] = json!(version);
        self.publish(topic, patch.to_string().as_bytes())
    }

    /// Waits for a request for the twin; returns its number.
    pub(crate) async fn fetch(&mut self) -> String {
        match self.call().await {
            Call::Publish { topic, .. } => topic
                .strip_prefix("$iothub/twin/GET/?$rid=")
                .unwrap_or_else(|| panic!("expected a request for the twin, found {topic}"))
                .to_owned(),
            other => panic!("expected a request for the twin, found {other:?}"),
        }
    }

    /// Waits for a report.
    pub(crate) async fn report(&mut self) -> Sent {
        match self.call().await {
            Call::Publish { topic, payload, on_disk } => Sent {
                rid: topic
                    .strip_prefix("$iothub/twin/PATCH/properties/reported/?$rid=")
                    .unwrap_or_else(|| panic!("expected a report, found {topic}"))
                    .to_owned(),
                patch: serde_json::from_slice(&payload).unwrap(),
                on_disk: on_disk.expect("sent before anything was on disk"),
            },
            other => panic!("expected a report, found {other:?}"),
        }
    }

    /// Waits for a message; returns its number and its payload.
    pub(crate) async fn delivery(&mut self) -> (u64, String) {
        match self.call().await {
            Call::Deliver { number, payload, .. } => (number, String::from_utf8(payload).unwrap()),
            other => panic!("expected a message, found {other:?}"),
        }
    }

    /// Confirms a message.
    pub(crate) fn confirm(&self, number: u64) {
        self.say(LinkStatus::Confirmed(number));
    }

    /// Calls a method.
    pub(crate) fn invoke(&self, name: &str, rid: &str, payload: &[u8]) {
        assert!(self.publish(format!("$iothub/methods/POST/{name}/?$rid={rid}"), payload));
    }

    /// Waits for the answer to a method; returns what comes after the topic's prefix, and the payload.
    pub(crate) async fn method_answer(&mut self) -> (String, Value) {
        match self.call().await {
            Call::Publish { topic, payload, .. } => {
                let answer = topic.strip_prefix("$iothub/methods/res/").map(str::to_owned);
                let answer = answer.unwrap_or_else(|| panic!("expected an answer, found {topic}"));
                (answer, serde_json::from_slice(&payload).unwrap_or_default())
            }
            other => panic!("expected an answer, found {other:?}"),
        }
    }

    /// Answers a request for the twin.
    pub(crate) fn answer_twin(&self, rid: &str, desired: Value, reported: Value) {
        let body = json!({"desired": desired, "reported": reported}).to_string();
        assert!(self.publish(format!("$iothub/twin/res/200/?$rid={rid}"), body.as_bytes()));
    }

    /// Accepts a report.
    pub(crate) fn accept(&self, rid: &str, version: u64) {
        assert!(self.publish(format!("$iothub/twin/res/204/?$rid={rid}&$version={version}"), b""));
    }

    /// Refuses a request.
    pub(crate) fn refuse(&self, rid: &str, status: u16, message: &str) {
        let body = json!({"message": message}).to_string();
        assert!(self.publish(format!("$iothub/twin/res/{status}/?$rid={rid}"), body.as_bytes()));
    }

    /// Lets the session connect, subscribe and fetch, in this order and with nothing between.
    pub(crate) async fn fetched_after_connect(&mut self, desired: Value, reported: Value) {
        self.connect().await;
        self.say(LinkStatus::Connected);
        assert!(matches!(self.call().await, Call::Subscribe));
        self.say(LinkStatus::Subscribed);
        let rid = self.fetch().await;
        self.answer_twin(&rid, desired, reported);
    }
}

fn link(disk: Arc<Disk>) -> (ScriptedLink, LinkEvents, Hub) {
    let (call_sender, calls) = mpsc::unbounded_channel();
    let (status, status_receiver) = mpsc::unbounded_channel();
    let (messages, message_receiver) = mpsc::channel(MESSAGE_QUEUE);
    let panic_at = Arc::default();
    let link = ScriptedLink { calls: call_sender, panic_at: Arc::clone(&panic_at), disk };
    let events = LinkEvents { status: status_receiver, messages: message_receiver };
    (link, events, Hub { calls, status, messages, panic_at, epoch: Epoch(0) })
}

/// How something outside does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Mood {
    #[default]
    Good,
    /// Fails with these words.
    Bad(&'static str),
    /// Does not answer until the mood changes.
    Hangs,
    Panics,
}

/// A disk in memory.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    mood: Mutex<Mood>,
    changed: Condvar,
    content: Mutex<Option<StoredTwin>>,
    saves: Mutex<u64>,
}

impl Disk {
    /// A disk with something on it.
    pub(crate) fn holding(twin: StoredTwin) -> Self {
        Self { content: Mutex::new(Some(twin)), ..Self::default() }
    }

    pub(crate) fn set(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
        self.changed.notify_all();
    }

    pub(crate) fn content(&self) -> Option<StoredTwin> {
        self.content.lock().unwrap().clone()
    }

    /// How many writes began.
    pub(crate) fn saves(&self) -> u64 {
        *self.saves.lock().unwrap()
    }

    /// Waits, on the real clock, until that many writes began: the thread that writes is real.
    pub(crate) async fn wait_saves(&self, count: u64) {
        let began = std::time::Instant::now();
        while self.saves() < count {
            assert!(began.elapsed() < HANG_LIMIT, "no write began");
            tokio::task::yield_now().await;
        }
    }

    fn ready(&self) -> Result<(), StoreError> {
        let hanging = |mood: &mut Mood| *mood == Mood::Hangs;
        let guard = self.mood.lock().unwrap();
        let (guard, _) = self.changed.wait_timeout_while(guard, HANG_LIMIT, hanging).unwrap();
        let mood = guard.clone();
        // Let go before the panic, which would poison it.
        drop(guard);
        match mood {
            Mood::Good | Mood::Hangs => Ok(()),
            Mood::Bad(words) => Err(StoreError(words.to_owned())),
            Mood::Panics => panic!("the disk was told to panic"),
        }
    }
}

impl TwinStore for Disk {
    fn load(&self) -> Result<Loaded, StoreError> {
        self.ready()?;
        Ok(Loaded { twin: self.content(), damage: None })
    }

    fn save(&self, twin: &StoredTwin) -> Result<u64, StoreError> {
        *self.saves.lock().unwrap() += 1;
        self.ready()?;
        *self.content.lock().unwrap() = Some(twin.clone());
        Ok(1)
    }
}
