//! `watch`, with and without a command to run.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests may fail the test"
)]

#[expect(dead_code, reason = "each test file uses its share")]
mod program;
#[expect(dead_code, reason = "each test file uses its share")]
#[path = "../../modtwin-client/tests/scripted/mod.rs"]
mod scripted;

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Mutex;
use std::sync::mpsc::{Sender, channel};

use program::{Background, eventually, run};
use scripted::{
    Daemon, Request, answer, begin, chunk, connected, desired, end, event, hold, problem, snapshot,
};
use serde_json::{Value, json};

/// A daemon that takes acknowledgements and serves watches by `stream`.
fn watched(stream: impl Fn(&Request, &mut UnixStream) + Send + Sync + 'static) -> Daemon {
    Daemon::serve(by_watch(stream))
}

fn by_watch(
    stream: impl Fn(&Request, &mut UnixStream) + Send + Sync + 'static,
) -> impl Fn(&Request, &mut UnixStream) + Send + Sync + 'static {
    move |request, connection| {
        if request.line.starts_with("POST") {
            answer(connection, 202, &json!({}));
        } else {
            begin(connection);
            stream(request, connection);
        }
    }
}

/// A daemon that tells of each event sent here, on one stream.
fn told() -> (Daemon, Sender<Value>) {
    let (sender, receiver) = channel::<Value>();
    let receiver = Mutex::new(receiver);
    let daemon = watched(move |_, stream| {
        for next in receiver.lock().unwrap().iter() {
            event(stream, &next);
        }
    });
    (daemon, sender)
}

/// The next acknowledgement that reaches the daemon.
fn ack(daemon: &Daemon) -> Value {
    daemon.request_to("POST /v1/modules/m/acks").json()
}

#[test]
fn watch_prints_each_event_in_words_or_as_it_came() {
    let events = [
        snapshot(7, &json!({"a": 1})),
        json!({"type": "heartbeat"}),
        desired(8, &json!({"a": 2})),
        // Rights have changed.
        snapshot(8, &json!({"b": 1})),
        json!({"type": "hub", "module": "m",
               "hub": {"state": "disconnected", "reason": "network", "since": "2026-11-23T10:00:00Z"}}),
        json!({"type": "desired", "module": "m", "generation": 2, "version": 1,
               "patch": {"a": null, "b": 1}, "desired": {"b": 1}, "reset": true}),
        json!({"type": "removed", "module": "m"}),
    ];
    let sent = events.clone();
    let daemon = watched(move |_, stream| {
        sent.iter().for_each(|next| event(stream, next));
        end(stream);
    });
    let ran = run(
        &daemon.socket(),
        &["watch", "m", "--path", "/a", "--path", "/b", "--since", "1.6", "--handler", "hvac"],
    );
    assert_eq!(
        ran.success(),
        "snapshot 1.7 {\"a\":1} connected (ok)\n\
         desired 1.8 {\"a\":2}\n\
         snapshot 1.8 {\"b\":1} connected (ok)\n\
         hub disconnected (network)\n\
         desired 2.1 reset {\"b\":1}\n\
         removed m\n"
    );
    assert_eq!(
        daemon.request().line,
        "GET /v1/modules/m/watch?path=%2Fa&path=%2Fb&since=1.6&handler=hvac"
    );
    let ran = run(&daemon.socket(), &["watch", "m", "--json"]);
    let lines: Vec<Value> =
        ran.success().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines, events);
}

#[test]
fn watch_says_at_once_that_nobody_is_there_but_waits_for_one_that_was() {
    let folder = tempfile::tempdir().unwrap();
    run(&folder.path().join("none.sock"), &["watch", "m"]).failure(69);

    let daemon = watched(|request, stream| {
        event(stream, &snapshot(7, &json!({})));
        if request.line.contains("since=1.7") {
            event(stream, &desired(8, &json!({"a": 2})));
            hold(stream);
        }
    });
    let mut watch = Background::start(&daemon.socket(), &["watch", "m"]);
    let mut lines = BufReader::new(watch.stdout()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line == "desired 1.8 {\"a\":2}"));
    let ran = watch.terminate();
    assert_eq!(ran.code, Some(0));
    assert_eq!(ran.stderr.lines().count(), 1, "{ran:?}");
    assert!(ran.stderr.trim_end().ends_with("trying again"), "{ran:?}");
}

#[test]
fn a_watch_that_is_forbidden_ends_with_77_whether_or_not_it_executes() {
    let daemon =
        Daemon::serve(|_, stream| answer(stream, 403, &problem(403, "forbidden", "no rule")));
    for line in [&["watch", "m"][..], &["watch", "m", "--exec", "true"]] {
        assert_eq!(run(&daemon.socket(), line).failure(77), "no rule");
    }
}

#[test]
fn exec_gets_document_and_names_and_acknowledges_what_it_applied() {
    let (daemon, tell) = told();
    let log = daemon.folder().join("log");
    let script = "cat; echo $MODTWIN_MODULE $MODTWIN_GENERATION.$MODTWIN_VERSION $MODTWIN_HANDLER";
    let script = format!("{{ {script}; }} >> {}", log.display());
    let hook = Background::start(
        &daemon.socket(),
        &["watch", "m", "--handler", "hvac", "--exec", "sh", "-c", &script],
    );
    tell.send(snapshot(7, &json!({"a": 1}))).unwrap();
    assert_eq!(
        ack(&daemon),
        json!({"version": 7, "generation": 1, "status": 200, "handler": "hvac"})
    );
    tell.send(json!({"type": "hub", "module": "m", "hub": connected()})).unwrap();
    tell.send(desired(8, &json!({"b": "ä"}))).unwrap();
    assert_eq!(ack(&daemon)["version"], 8);
    assert_eq!(hook.terminate().success(), "");
    assert_eq!(
        fs::read_to_string(log).unwrap(),
        "{\"a\":1}\nm 1.7 hvac\n{\"b\":\"ä\"}\nm 1.8 hvac\n"
    );
}

#[test]
fn exec_runs_for_a_snapshot_in_mid_stream_as_for_a_change() {
    let (daemon, tell) = told();
    let log = daemon.folder().join("log");
    let script = format!("cat >> {}", log.display());
    let hook = Background::start(&daemon.socket(), &["watch", "m", "--exec", "sh", "-c", &script]);
    tell.send(snapshot(7, &json!({"a": 1, "b": 2}))).unwrap();
    assert_eq!(ack(&daemon)["version"], 7);
    tell.send(snapshot(7, &json!({"b": 2}))).unwrap();
    assert_eq!(ack(&daemon), json!({"version": 7, "generation": 1, "status": 200}));
    assert_eq!(hook.terminate().success(), "");
    assert_eq!(fs::read_to_string(log).unwrap(), "{\"a\":1,\"b\":2}\n{\"b\":2}\n");
}

/// Runs `command` for one snapshot and returns how it is acknowledged.
fn acknowledged(options: &[&str], command: &[&str]) -> (u64, String) {
    let (daemon, tell) = told();
    let line = [&["watch", "m"], options, &["--exec"], command].concat();
    let hook = Background::start(&daemon.socket(), &line);
    tell.send(snapshot(7, &json!({"long": "x".repeat(100_000)}))).unwrap();
    let ack = ack(&daemon);
    hook.terminate();
    let description = ack["description"].as_str().unwrap_or_default().to_owned();
    (ack["status"].as_u64().unwrap(), description)
}

#[test]
fn exec_refuses_with_the_last_words_of_a_command_that_fails() {
    let script = "echo first >&2; printf 'no \\033[31mvalve\\n\\n' >&2; exit 3";
    assert_eq!(acknowledged(&[], &["sh", "-c", script]), (500, "no [31mvalve".to_owned()));
    assert_eq!(acknowledged(&[], &["sh", "-c", "exit 3"]), (500, "exit status 3".to_owned()));
    assert_eq!(
        acknowledged(&[], &["sh", "-c", "kill -9 $$"]),
        (500, "ended by signal 9".to_owned())
    );
    let (status, description) = acknowledged(&[], &["/nowhere/command"]);
    assert_eq!(status, 500);
    assert!(description.starts_with("cannot run `/nowhere/command`"), "{description}");
    let long = acknowledged(&[], &["sh", "-c", "printf '%01000d' 7 >&2; exit 1"]).1;
    assert_eq!(long.chars().count(), 256);
}

#[test]
fn exec_succeeds_without_reading_its_input_and_with_children_left_behind() {
    assert_eq!(acknowledged(&[], &["true"]), (200, String::new()));
    // The child that stays keeps standard error open.
    assert_eq!(acknowledged(&[], &["sh", "-c", "sleep 2 & exit 0"]), (200, String::new()));
}

#[test]
fn exec_ends_a_command_that_takes_too_long_with_all_its_children() {
    let folder = tempfile::tempdir().unwrap();
    let pid = folder.path().join("pid");
    let script = format!("sleep 600 & echo $! > {}; wait", pid.display());
    let (status, description) = acknowledged(&["--exec-timeout", "300ms"], &["sh", "-c", &script]);
    assert_eq!((status, description.as_str()), (504, "did not end within 300ms"));
    let child = fs::read_to_string(pid).unwrap();
    eventually("the child is gone", || is_gone(child.trim()));
}

/// Says whether a process has ended; one that nobody has waited for yet has ended too.
fn is_gone(pid: &str) -> bool {
    let stat = fs::read_to_string(Path::new("/proc").join(pid).join("stat")).unwrap_or_default();
    stat.is_empty() || stat.contains(") Z ")
}

#[test]
fn exec_runs_one_at_a_time_and_skips_to_the_newest() {
    let (sent, is_sent) = channel();
    let sent = Mutex::new(sent);
    let daemon = watched(move |_, stream| {
        event(stream, &snapshot(1, &json!({"v": 1})));
        for version in 2..=4 {
            event(stream, &desired(version, &json!({"v": version})));
        }
        // More than every buffer between here and there: once written, all before is read.
        let heartbeats = "{\"type\":\"heartbeat\"}\n".repeat(3_000);
        (0..80).for_each(|_| chunk(stream, &heartbeats));
        sent.lock().unwrap().send(()).unwrap();
        hold(stream);
    });
    let (log, go) = (daemon.folder().join("log"), daemon.folder().join("go"));
    let script =
        format!("cat >> {}; until [ -e {} ]; do sleep 0.02; done", log.display(), go.display());
    let hook = Background::start(&daemon.socket(), &["watch", "m", "--exec", "sh", "-c", &script]);
    is_sent.recv_timeout(scripted::DEADLINE).unwrap();
    fs::write(go, "").unwrap();
    let versions = [ack(&daemon), ack(&daemon)].map(|ack| ack["version"].clone());
    assert_eq!(versions, [json!(1), json!(4)]);
    hook.terminate();
    assert_eq!(fs::read_to_string(log).unwrap(), "{\"v\":1}\n{\"v\":4}\n");
}

#[test]
fn exec_waits_until_nothing_changes_any_more() {
    let daemon = watched(|_, stream| {
        event(stream, &snapshot(1, &json!({"v": 1})));
        event(stream, &desired(2, &json!({"v": 2})));
        event(stream, &desired(3, &json!({"v": 3})));
        hold(stream);
    });
    let log = daemon.folder().join("log");
    let script = format!("cat >> {}", log.display());
    let options = ["watch", "m", "--exec-debounce", "300ms", "--exec", "sh", "-c", &script];
    let hook = Background::start(&daemon.socket(), &options);
    assert_eq!(ack(&daemon)["version"], 3);
    hook.terminate();
    assert_eq!(fs::read_to_string(log).unwrap(), "{\"v\":3}\n");
}

#[test]
fn changes_without_end_put_exec_off_for_a_while_only() {
    let daemon = watched(|_, stream| {
        event(stream, &snapshot(1, &json!({})));
        for version in 2.. {
            let line = format!("{}\n", desired(version, &json!({"v": version})));
            let chunk = format!("{:x}\r\n{line}\r\n", line.len());
            if stream.write_all(chunk.as_bytes()).is_err() {
                break;
            }
        }
    });
    let options = ["watch", "m", "--exec-debounce", "100ms", "--exec", "cat"];
    let hook = Background::start(&daemon.socket(), &options);
    assert_eq!(ack(&daemon)["status"], 200);
    hook.terminate();
}

#[test]
fn exec_outlives_the_daemon_and_runs_again_only_for_what_is_new() {
    let (heard, hears) = channel();
    let heard = Mutex::new(heard);
    let daemon = Daemon::absent(by_watch(move |request, stream| {
        heard.lock().unwrap().send(request.line.clone()).unwrap();
        match request.line.split("since=").nth(1) {
            None => event(stream, &snapshot(1, &json!({"v": 1}))),
            Some("1.1") => {
                let same = json!({"type": "snapshot", "module": "m", "generation": 1, "version": 1,
                                  "unchanged": true, "hub": connected(), "stale": true});
                event(stream, &same);
                event(stream, &desired(2, &json!({"v": 2})));
            }
            Some(_) => {
                event(stream, &snapshot(3, &json!({"v": 3})));
                hold(stream);
            }
        }
        // The stream breaks here, as with a daemon that is killed.
    }));
    let log = daemon.folder().join("log");
    let script = format!("cat >> {}", log.display());
    let hook = Background::start(&daemon.socket(), &["watch", "m", "--exec", "sh", "-c", &script]);
    daemon.start();
    let newest = || ack(&daemon)["version"].as_u64().unwrap();
    while newest() < 3 {}
    let ran = hook.terminate();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let watches: Vec<String> = hears.try_iter().collect();
    assert_eq!(
        watches,
        [
            "GET /v1/modules/m/watch",
            "GET /v1/modules/m/watch?since=1.1",
            "GET /v1/modules/m/watch?since=1.2"
        ]
    );
    let runs = fs::read_to_string(log).unwrap();
    assert_eq!(runs.matches("{\"v\":1}").count(), 1, "{runs}");
    assert!(runs.ends_with("{\"v\":3}\n"), "{runs}");
}

#[test]
fn exec_delivers_an_acknowledgement_that_the_daemon_could_not_take_at_first() {
    let tries = std::sync::atomic::AtomicU32::new(0);
    let daemon = Daemon::serve(move |request, stream| {
        if !request.line.starts_with("POST") {
            begin(stream);
            event(stream, &snapshot(7, &json!({})));
            hold(stream);
        } else if tries.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 0 {
            answer(stream, 507, &problem(507, "storage", "disk full"));
        } else {
            answer(stream, 202, &json!({}));
        }
    });
    let hook = Background::start(&daemon.socket(), &["watch", "m", "--exec", "true"]);
    assert_eq!(ack(&daemon), ack(&daemon));
    let ran = hook.terminate();
    assert!(
        ran.stderr.contains("cannot acknowledge version 7: disk full; trying again"),
        "{ran:?}"
    );
}

#[test]
fn a_signal_ends_exec_with_its_command_and_without_an_acknowledgement() {
    let (daemon, tell) = told();
    let pid = daemon.folder().join("pid");
    let script = format!("echo $$ > {}; sleep 600", pid.display());
    let hook = Background::start(&daemon.socket(), &["watch", "m", "--exec", "sh", "-c", &script]);
    tell.send(snapshot(7, &json!({}))).unwrap();
    eventually("the command runs", || {
        fs::read_to_string(&pid).is_ok_and(|text| text.ends_with('\n'))
    });
    assert_eq!(hook.terminate().success(), "");
    assert!(is_gone(fs::read_to_string(&pid).unwrap().trim()));
    assert_eq!(daemon.request().line, "GET /v1/modules/m/watch");
    assert!(daemon.is_unasked(), "an interrupted run is neither applied nor refused");
}

#[test]
fn exec_ends_where_the_module_is_removed() {
    let daemon = watched(|_, stream| {
        event(stream, &json!({"type": "removed", "module": "m"}));
        end(stream);
    });
    let hook = Background::start(&daemon.socket(), &["watch", "m", "--exec", "true"]);
    assert!(hook.finish().failure(1).contains("was removed"));
}
