//! Stories of device-to-cloud messages: straight to the hub, over the disk, and not at all.

use std::sync::Arc;
use std::time::Duration;

use modtwin_core::deliveries::{Full, MAX_BREAKS, MAX_MESSAGES};
use modtwin_core::governor::Policy;
use modtwin_core::status::{Fault, HubState, Reason};
use modtwin_session::clock::ClockState;
use modtwin_session::handle::ModuleHandle;
use modtwin_session::link::LinkStatus;
use modtwin_session::messages::{DeviceMessage, MAX_MESSAGE_BYTES, SendError, Settled, Until};
use serde_json::json;
use tokio::task::JoinHandle;

use crate::rig::{Call, Rig};
use crate::shelf::Shelf;

const LIMIT: Duration = Duration::from_secs(30);

type Sending = JoinHandle<Result<Settled, SendError>>;

/// Hands a message in; whether it was taken and how far it came is told later.
fn send(handle: &ModuleHandle, text: &str, until: Until) -> Sending {
    let message = DeviceMessage { payload: text.into(), ..DeviceMessage::default() };
    let handle = handle.clone();
    tokio::spawn(async move { handle.send(message, until).await })
}

async fn live(rig: &mut Rig) {
    rig.go_live(json!({"$version": 1}), json!({"$version": 1})).await;
}

fn cut() -> LinkStatus {
    LinkStatus::Lost(Fault::new(Reason::Network, "cut"))
}

/// Waits until nothing waits for the hub.
async fn all_sent(rig: &Rig) {
    rig.backlog_where(|backlog| backlog.waiting == 0).await;
}

#[tokio::test(start_paused = true)]
async fn a_message_on_a_good_link_is_confirmed_without_the_disk() {
    let mut rig = Rig::start().await;
    live(&mut rig).await;
    let message = DeviceMessage {
        payload: b"21".to_vec(),
        content_type: Some("application/json".to_owned()),
        properties: vec![("unit".to_owned(), "C".to_owned())],
        ..DeviceMessage::default()
    };
    let handle = rig.handle.clone();
    let sending = tokio::spawn(async move { handle.send(message, Until::Sent(LIMIT)).await });
    let Call::Deliver { number, topic, payload } = rig.hub.call().await else {
        panic!("no message")
    };
    assert_eq!(
        topic,
        "devices/gateway01/modules/module01/messages/events/%24.ct=application%2Fjson&unit=C"
    );
    assert_eq!(payload, b"21");
    assert!(!sending.is_finished());
    rig.hub.confirm(number);
    assert_eq!(sending.await.unwrap(), Ok(Settled::Sent));
    assert_eq!(rig.shelf.puts(), 0);
    all_sent(&rig).await;
}

#[tokio::test(start_paused = true)]
async fn without_a_hub_messages_are_stored_and_go_out_in_order() {
    let mut rig = Rig::start().await;
    for text in ["a", "b", "c"] {
        let settled = send(&rig.handle, text, Until::Sent(LIMIT)).await.unwrap();
        assert_eq!(settled, Ok(Settled::Stored));
    }
    assert_eq!(rig.shelf.waiting(), ["a", "b", "c"]);
    assert_eq!(rig.handle.backlog().waiting, 3);
    live(&mut rig).await;
    for expected in ["a", "b", "c"] {
        let (number, text) = rig.hub.delivery().await;
        assert_eq!(text, expected);
        rig.hub.confirm(number);
    }
    all_sent(&rig).await;
    rig.shelf_where(|shelf| shelf.waiting().is_empty()).await;
}

#[tokio::test(start_paused = true)]
async fn a_lost_link_stores_what_it_carried_and_the_next_one_brings_it() {
    let mut rig = Rig::start().await;
    live(&mut rig).await;
    let first = send(&rig.handle, "first", Until::Sent(LIMIT));
    rig.hub.delivery().await;
    let second = send(&rig.handle, "second", Until::Sent(LIMIT));
    rig.hub.delivery().await;
    rig.hub.say(cut());
    assert_eq!(first.await.unwrap(), Ok(Settled::Stored));
    assert_eq!(second.await.unwrap(), Ok(Settled::Stored));
    live(&mut rig).await;
    let (number, text) = rig.hub.delivery().await;
    assert_eq!(text, "first");
    // One at a time after a loss: the other might be what the hub closed for.
    assert!(rig.hub.calls_so_far().is_empty());
    rig.hub.confirm(number);
    let (number, text) = rig.hub.delivery().await;
    assert_eq!(text, "second");
    rig.hub.confirm(number);
    all_sent(&rig).await;
}

#[tokio::test(start_paused = true)]
async fn what_was_stored_is_sent_by_the_next_process() {
    let shelf = Arc::new(Shelf::holding(&[(3, "old"), (9, "newer")]));
    let mut rig = Rig::start_with_messages(Arc::clone(&shelf)).await;
    live(&mut rig).await;
    assert_eq!(rig.hub.delivery().await, (3, "old".to_owned()));
    assert_eq!(rig.hub.delivery().await, (9, "newer".to_owned()));
    let sending = send(&rig.handle, "newest", Until::Sent(LIMIT));
    let (number, text) = rig.hub.delivery().await;
    assert_eq!(text, "newest");
    assert!(number > 9, "{number}");
    for number in [3, 9, number] {
        rig.hub.confirm(number);
    }
    assert_eq!(sending.await.unwrap(), Ok(Settled::Sent));
    rig.shelf_where(|shelf| shelf.waiting().is_empty()).await;
}

#[tokio::test(start_paused = true)]
async fn a_hub_that_does_not_confirm_in_time_makes_a_message_late_and_stored() {
    let mut rig = Rig::start().await;
    live(&mut rig).await;
    let sending = send(&rig.handle, "slow", Until::Sent(Duration::from_secs(2)));
    let (number, _) = rig.hub.delivery().await;
    assert_eq!(sending.await.unwrap(), Err(SendError::Late));
    assert_eq!(rig.shelf.waiting(), ["slow"]);
    rig.hub.confirm(number);
    rig.shelf_where(|shelf| shelf.waiting().is_empty()).await;
}

#[tokio::test(start_paused = true)]
async fn who_asks_for_the_disk_alone_is_told_before_the_hub_confirms() {
    let mut rig = Rig::start().await;
    live(&mut rig).await;
    let settled = send(&rig.handle, "kept", Until::Stored).await.unwrap();
    assert_eq!(settled, Ok(Settled::Stored));
    let (number, _) = rig.hub.delivery().await;
    rig.hub.confirm(number);
    rig.shelf_where(|shelf| shelf.waiting().is_empty()).await;
}

#[tokio::test(start_paused = true)]
async fn what_the_hub_would_not_take_is_refused_at_once() {
    let rig = Rig::start().await;
    let large = "x".repeat(MAX_MESSAGE_BYTES + 1);
    let refused = send(&rig.handle, &large, Until::Stored).await.unwrap();
    assert!(matches!(refused, Err(SendError::Invalid(_))), "{refused:?}");
    assert_eq!(rig.handle.backlog().waiting, 0);
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_refuses_and_takes_again_once_there_is_room() {
    let mut rig = Rig::start().await;
    for _ in 0..MAX_MESSAGES {
        send(&rig.handle, "x", Until::Stored).await.unwrap().unwrap();
    }
    let refused = send(&rig.handle, "one too many", Until::Stored).await.unwrap();
    assert_eq!(refused, Err(SendError::Full(Full::Messages(MAX_MESSAGES))));
    live(&mut rig).await;
    let (number, _) = rig.hub.delivery().await;
    rig.hub.confirm(number);
    rig.backlog_where(|backlog| backlog.waiting < 1000).await;
    assert!(send(&rig.handle, "fits", Until::Stored).await.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_refuses_what_has_to_wait_and_nothing_else() {
    let mut rig = Rig::start().await;
    rig.shelf.breaks(true);
    let refused = send(&rig.handle, "x", Until::Sent(LIMIT)).await.unwrap();
    assert!(matches!(refused, Err(SendError::Storage(_))), "{refused:?}");
    assert_eq!(rig.handle.backlog().waiting, 0);
    live(&mut rig).await;
    let sending = send(&rig.handle, "y", Until::Sent(LIMIT));
    let (number, text) = rig.hub.delivery().await;
    assert_eq!(text, "y");
    rig.hub.confirm(number);
    assert_eq!(sending.await.unwrap(), Ok(Settled::Sent));
}

#[tokio::test(start_paused = true)]
async fn messages_that_can_not_be_read_are_not_written_over_and_come_back() {
    let shelf = Arc::new(Shelf::holding(&[(1, "somebody else's")]));
    shelf.hides(true);
    let mut rig = Rig::start_with_messages(Arc::clone(&shelf)).await;
    rig.hub.connect().await;
    let refused = send(&rig.handle, "new", Until::Stored).await.unwrap();
    assert!(matches!(refused, Err(SendError::Storage(_))), "{refused:?}");
    shelf.hides(false);
    // The next one finds that they can be read again, and the session begins anew with them.
    let refused = send(&rig.handle, "newer", Until::Stored).await.unwrap();
    assert!(refused.is_err());
    live(&mut rig).await;
    assert_eq!(rig.hub.delivery().await.1, "somebody else's");
}

#[tokio::test(start_paused = true)]
async fn a_message_that_breaks_each_link_is_set_aside_and_blames_nobody_else() {
    let mut rig = Rig::start().await;
    let poison = send(&rig.handle, "poison", Until::Stored);
    assert!(poison.await.unwrap().is_ok());
    assert!(send(&rig.handle, "good", Until::Stored).await.unwrap().is_ok());
    for n in 0..MAX_BREAKS {
        live(&mut rig).await;
        assert_eq!(rig.hub.delivery().await.1, "poison", "{n}");
        rig.hub.say(cut());
        // Six short sessions would look as if somebody else used the identity.
        rig.stands(HubState::Disconnected, Reason::Network).await;
    }
    live(&mut rig).await;
    let (number, text) = rig.hub.delivery().await;
    assert_eq!(text, "good");
    rig.hub.confirm(number);
    all_sent(&rig).await;
    rig.shelf_where(|shelf| shelf.waiting().is_empty()).await;
    assert_eq!(rig.shelf.aside(), ["poison"]);
    assert_eq!(rig.handle.backlog().set_aside, 1);
}

#[tokio::test(start_paused = true)]
async fn a_reconnect_of_our_own_blames_no_message() {
    let mut rig = Rig::start().await;
    live(&mut rig).await;
    let sending = send(&rig.handle, "innocent", Until::Sent(LIMIT));
    rig.hub.delivery().await;
    assert_eq!(rig.shelf.puts(), 0);
    for _ in 0..2 * MAX_BREAKS {
        rig.handle.reconnect().await;
        live(&mut rig).await;
        assert_eq!(rig.hub.delivery().await.1, "innocent");
    }
    assert_eq!(sending.await.unwrap(), Ok(Settled::Stored));
    assert!(rig.shelf.aside().is_empty());
}

#[tokio::test(start_paused = true)]
async fn messages_keep_to_the_budget_that_all_share() {
    let policy = Policy {
        connect_spacing: Duration::ZERO,
        operations_per_second: 1,
        retry_base: Duration::from_secs(1),
    };
    let mut rig = Rig::start_with(Arc::default(), policy, Vec::new(), ClockState::default()).await;
    live(&mut rig).await;
    let began = tokio::time::Instant::now();
    for n in 0..100_u32 {
        let sending = send(&rig.handle, "x", Until::Sent(Duration::from_secs(3600)));
        let (number, _) = rig.hub.delivery().await;
        rig.hub.confirm(number);
        assert_eq!(sending.await.unwrap(), Ok(Settled::Sent), "{n}");
    }
    // The bucket was full; what is beyond it takes its time.
    let took = began.elapsed();
    assert!(took > Duration::from_secs(40) && took < Duration::from_secs(110), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn stopping_stores_what_the_hub_has_not_confirmed() {
    let mut rig = Rig::start().await;
    live(&mut rig).await;
    let sending = send(&rig.handle, "last", Until::Sent(LIMIT));
    rig.hub.delivery().await;
    rig.stop();
    rig.end().await.unwrap();
    assert_eq!(sending.await.unwrap(), Ok(Settled::Stored));
    assert_eq!(rig.shelf.waiting(), ["last"]);
}
