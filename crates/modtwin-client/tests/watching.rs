//! Watches and what keeps them alive, against a scripted socket.
#![expect(clippy::expect_used, clippy::unwrap_used, reason = "helpers of tests may fail the test")]

#[expect(dead_code, reason = "each test file uses its share")]
mod scripted;

use std::time::Duration;

use modtwin_api::{Event, ProblemKind, Revision};
use modtwin_client::{Client, ClientError, Follow, Followed, WatchOptions};
use scripted::{
    DEADLINE, Daemon, answer, begin, chunk, connected, desired, end, event, hold, problem, snapshot,
};
use serde_json::json;

/// The next event of `follow`, passing over what is lost meanwhile.
async fn next(follow: &mut Follow) -> Event {
    let next = async {
        loop {
            match follow.next().await.unwrap().expect("the stream goes on") {
                Followed::Event(event) => return event,
                Followed::Lost { .. } => {}
            }
        }
    };
    tokio::time::timeout(DEADLINE, next).await.expect("an event comes in time")
}

#[tokio::test]
async fn a_watch_asks_for_paths_revision_and_handler_and_gives_events_in_order() {
    let daemon = Daemon::serve(|_, stream| {
        begin(stream);
        event(stream, &snapshot(7, &json!({"x": 1})));
        chunk(stream, "{\"type\":\"heart");
        chunk(stream, "beat\"}\n{\"type\":\"of_a_newer_version\"}\n\n");
        event(stream, &json!({"type": "hub", "module": "m", "hub": connected()}));
        event(stream, &desired(8, &json!({"x": 2})));
        end(stream);
    });
    let options = WatchOptions {
        paths: vec!["/hvac".to_owned(), "/a~1b&c".to_owned()],
        since: Some(Revision { generation: 1, version: 7 }),
        handler: Some("hvac 1".to_owned()),
    };
    let mut watch = Client::new(daemon.socket()).watch("m", &options).await.unwrap();
    assert_eq!(
        daemon.request().line,
        "GET /v1/modules/m/watch?path=%2Fhvac&path=%2Fa~1b%26c&since=1.7&handler=hvac%201"
    );
    assert!(matches!(watch.next().await.unwrap(), Some(Event::Snapshot(_))));
    assert_eq!(watch.next().await.unwrap(), Some(Event::Heartbeat));
    assert!(matches!(watch.next().await.unwrap(), Some(Event::Hub(_))));
    assert!(
        matches!(watch.next().await.unwrap(), Some(Event::Desired(change)) if change.version == 8)
    );
    assert_eq!(watch.next().await.unwrap(), None);
}

#[tokio::test]
async fn a_watch_that_is_refused_says_why() {
    let daemon =
        Daemon::serve(|_, stream| answer(stream, 403, &problem(403, "forbidden", "no rule")));
    let error =
        Client::new(daemon.socket()).watch("m", &WatchOptions::default()).await.unwrap_err();
    assert_eq!(error.problem_kind(), Some(ProblemKind::Forbidden));
}

#[tokio::test]
async fn lines_that_are_no_events_and_lines_without_end_are_protocol_errors() {
    let endless = "x".repeat(1024 * 1024 + 1);
    for bad in ["no json\n".to_owned(), "{\"type\":\"removed\"}\n".to_owned(), endless] {
        let shown: String = bad.chars().take(20).collect();
        let daemon = Daemon::serve(move |_, stream| {
            begin(stream);
            chunk(stream, &bad);
            hold(stream);
        });
        let client = Client::new(daemon.socket());
        let mut watch = client.watch("m", &WatchOptions::default()).await.unwrap();
        let error = watch.next().await.unwrap_err();
        assert!(matches!(error, ClientError::Protocol { .. }), "{shown:?}: {error:?}");
    }
}

#[tokio::test]
async fn a_stream_cut_within_a_line_gives_no_half_event() {
    let daemon = Daemon::serve(|_, stream| {
        begin(stream);
        chunk(stream, "{\"type\":\"heartbeat\"}");
        end(stream);
    });
    let client = Client::new(daemon.socket());
    let mut watch = client.watch("m", &WatchOptions::default()).await.unwrap();
    assert!(watch.next().await.is_err());
}

#[tokio::test]
async fn following_goes_on_after_a_cut_from_the_last_revision() {
    let daemon = Daemon::serve(|request, stream| {
        begin(stream);
        if request.line.contains("since=1.8") {
            event(
                stream,
                &json!({"type": "snapshot", "module": "m", "generation": 1, "version": 8,
                        "unchanged": true, "hub": connected(), "stale": false}),
            );
            hold(stream);
        } else {
            event(stream, &snapshot(7, &json!({})));
            event(stream, &desired(8, &json!({"x": 2})));
            // The daemon is killed: the connection ends without the stream's end.
        }
    });
    let mut follow = Client::new(daemon.socket()).follow("m", WatchOptions::default());
    assert!(matches!(next(&mut follow).await, Event::Snapshot(first) if !first.unchanged));
    assert!(matches!(next(&mut follow).await, Event::Desired(_)));
    assert!(matches!(next(&mut follow).await, Event::Snapshot(again) if again.unchanged));
    assert_eq!(daemon.request().line, "GET /v1/modules/m/watch");
    assert_eq!(daemon.request().line, "GET /v1/modules/m/watch?since=1.8");
}

#[tokio::test]
async fn following_waits_for_a_daemon_that_is_not_there_yet() {
    let daemon = Daemon::absent(|_, stream| {
        begin(stream);
        event(stream, &snapshot(1, &json!({})));
        hold(stream);
    });
    let mut follow = Client::new(daemon.socket()).follow("m", WatchOptions::default());
    let lost = follow.next().await.unwrap();
    assert!(matches!(
        lost,
        Some(Followed::Lost { error: ClientError::Unreachable { .. }, retry_in }) if retry_in > Duration::ZERO
    ));
    daemon.start();
    assert!(matches!(next(&mut follow).await, Event::Snapshot(_)));
}

#[tokio::test]
async fn following_ends_where_the_module_is_removed_or_another_attempt_cannot_help() {
    let daemon = Daemon::serve(|_, stream| {
        begin(stream);
        event(stream, &json!({"type": "removed", "module": "m"}));
        end(stream);
    });
    let mut follow = Client::new(daemon.socket()).follow("m", WatchOptions::default());
    assert!(matches!(next(&mut follow).await, Event::Removed { .. }));
    assert!(follow.next().await.unwrap().is_none());

    let daemon = Daemon::serve(|_, stream| answer(stream, 403, &problem(403, "forbidden", "no")));
    let mut follow = Client::new(daemon.socket()).follow("m", WatchOptions::default());
    assert_eq!(follow.next().await.unwrap_err().problem_kind(), Some(ProblemKind::Forbidden));
}

#[tokio::test]
async fn following_tries_again_where_the_daemon_is_busy() {
    let daemon =
        Daemon::serve(|_, stream| answer(stream, 429, &problem(429, "overloaded", "later")));
    let mut follow = Client::new(daemon.socket()).follow("m", WatchOptions::default());
    for _ in 0..2 {
        let lost = follow.next().await.unwrap();
        assert!(matches!(lost, Some(Followed::Lost { error: ClientError::Problem(_), .. })));
    }
}

#[tokio::test]
async fn a_peer_without_heartbeats_counts_as_dead() {
    let daemon = Daemon::serve(|_, stream| {
        begin(stream);
        event(stream, &snapshot(1, &json!({})));
        hold(stream);
    });
    let client = Client::new(daemon.socket());
    let mut watch = client.watch("m", &WatchOptions::default()).await.unwrap();
    assert!(matches!(watch.next().await.unwrap(), Some(Event::Snapshot(_))));
    // From here on nothing is written any more, so that only the clock can move things on.
    tokio::time::pause();
    let begin = tokio::time::Instant::now();
    let error = watch.next().await.unwrap_err();
    assert!(
        matches!(&error, ClientError::Unreachable { source, .. } if source.kind() == std::io::ErrorKind::TimedOut)
    );
    assert_eq!(begin.elapsed().as_secs(), 90);
    assert!(error.is_temporary());
}
