//! A hub or a handler that does the same thing over and over fills no log.

use std::cell::RefCell;
use std::sync::Once;
use std::time::Duration;

use modtwin_core::status::{HubState, Reason};
use serde_json::json;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::rig::Rig;

/// How many lines of one kind a minute may have.
const LINES: usize = 10;
/// After that there may be lines again.
const WINDOW: Duration = Duration::from_secs(61);

thread_local! {
    /// The words of each line that is logged without anybody having asked for more. A test runs on a
    /// thread of its own.
    static LOGGED: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Keeps what each test logs. One for the process: what is decided once for a place in the code must
/// not be decided by a test without a log.
struct Log;

fn keep_log() {
    static KEPT: Once = Once::new();
    KEPT.call_once(|| tracing_subscriber::registry().with(Log).init());
}

fn lines_with(words: &str) -> Vec<String> {
    LOGGED.with_borrow(|lines| lines.iter().filter(|line| line.contains(words)).cloned().collect())
}

impl<S: Subscriber> Layer<S> for Log {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        if *event.metadata().level() <= Level::INFO {
            let mut words = Words::default();
            event.record(&mut words);
            LOGGED.with_borrow_mut(|lines| lines.push(words.0));
        }
    }
}

#[derive(Default)]
struct Words(String);

impl Visit for Words {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn nonsense_without_end_is_said_ten_times_a_minute() {
    keep_log();
    let mut rig = Rig::start().await;
    rig.go_live(json!({"$version": 1}), json!({"$version": 1})).await;
    for _ in 0..500 {
        assert!(rig.hub.publish("$iothub/twin/res/abc/?$rid=", b""), "the queue is full");
        tokio::task::yield_now().await;
    }
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(lines_with("not readable").len(), LINES);
    assert_eq!(rig.handle.figures().lines_dropped, 490);
    // One fetch for the first, one more for what came while it was under way.
    for _ in 0..2 {
        let rid = rig.hub.fetch().await;
        rig.hub.answer_twin(&rid, json!({"$version": 1}), json!({"$version": 1}));
    }
    rig.stands(HubState::Connected, Reason::Ok).await;
    tokio::time::sleep(WINDOW).await;
    assert!(rig.hub.publish("$iothub/twin/res/abc/?$rid=", b""));
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(lines_with("not readable").len(), LINES + 1);
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_reports_what_the_hub_refuses_is_said_ten_times_a_minute() {
    keep_log();
    let mut rig = Rig::start().await;
    rig.go_live(json!({"$version": 1}), json!({"$version": 1})).await;
    for n in 0..30 {
        let ticket = rig.report(json!({"bad": n})).await;
        let sent = rig.hub.report().await;
        rig.hub.refuse(&sent.rid, 400, "no such thing");
        assert!(rig.told(ticket.accepted).await.unwrap().is_err());
    }
    let said = lines_with("refused a reported key").len();
    assert_eq!((said, rig.handle.figures().lines_dropped), (LINES, 30 - 10));
}

#[tokio::test(start_paused = true)]
async fn a_hub_that_changes_its_mind_is_said_seldom_and_its_last_word_always() {
    keep_log();
    let mut rig = Rig::start().await;
    rig.go_live(json!({"$version": 1}), json!({"$version": 1})).await;
    for version in 2..42 {
        let ticket = rig.report(json!({"n": version})).await;
        let sent = rig.hub.report().await;
        rig.hub.refuse(&sent.rid, 500, "not now");
        let sent = rig.hub.report().await;
        rig.hub.accept(&sent.rid, version);
        rig.told(ticket.accepted).await.unwrap().unwrap();
    }
    rig.stands(HubState::Connected, Reason::Ok).await;
    tokio::time::sleep(WINDOW).await;
    let said = lines_with("connected to the hub");
    assert!((2..=2 * LINES).contains(&said.len()), "{said:?}");
    assert_eq!(said.last().unwrap(), "connected to the hub");
    assert_eq!(lines_with("too often").len(), 1);
}
