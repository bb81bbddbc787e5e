//! Each command that asks the daemon once: what it asks, prints, and ends with.

#[expect(dead_code, reason = "each test file uses its share")]
mod program;
#[expect(dead_code, reason = "each test file uses its share")]
#[path = "../../modtwin-client/tests/scripted/mod.rs"]
mod scripted;

use std::io::Read as _;
use std::path::Path;
use std::process::Stdio;

use program::{modtwinctl, run, run_with_input};
use scripted::{Daemon, answer, answer_text, connected, problem};
use serde_json::{Value, json};

/// A daemon that answers everything with `status` and `body`.
fn daemon(status: u16, body: Value) -> Daemon {
    Daemon::serve(move |_, stream| answer(stream, status, &body))
}

fn status() -> Value {
    json!({
        "version": "0.1.0", "pid": 4711, "started": "2026-11-23T09:00:00Z",
        "config": "/etc/modtwin/modtwind.toml", "socket": "/run/modtwin/modtwin.sock",
        "hub_hostname": "contoso.azure-devices.net", "device_id": "device01",
        "storage": {"directory": "/var/lib/modtwin", "writable": true},
        "modules": [{
            "module": "thermostat", "hub": connected(), "generation": 1, "desired_version": 7,
            "reported_version": 12, "as_of": "2026-11-23T10:00:03Z",
            "pending": {"keys": 0, "bytes": 0}, "quarantined": [],
            "handlers": [{"name": "hvac", "applied_version": 7, "status": 200, "at": null,
                          "watching": true}],
            "credential": null, "reconnects": 0,
        }],
    })
}

fn snapshot() -> Value {
    json!({
        "module": "m", "hub": connected(), "generation": 1, "desired": {"target": 21}, "version": 7,
        "reported": {"temperature": 20.5}, "reported_version": 12, "pending": {"fan": "on"},
        "applied": [{"handler": "hvac", "version": 7, "status": 200, "at": "2026-11-23T10:00:01Z"}],
        "as_of": "2026-11-23T10:00:03Z", "stale": false,
    })
}

#[test]
fn status_prints_a_table_without_colours_into_a_pipe() {
    let daemon = daemon(200, status());
    let ran = run(&daemon.socket(), &["status"]);
    let page = ran.success();
    assert!(
        page.starts_with("device01 at contoso.azure-devices.net: 1 of 1 connected\n"),
        "{page}"
    );
    assert!(page.contains("MODULE      STATE      REASON  SINCE"), "{page}");
    assert!(page.contains("thermostat  connected  ok"), "{page}");
    assert!(!page.contains('\u{1b}'), "{page}");
    assert_eq!(daemon.request().line, "GET /v1/status");
}

#[test]
fn status_as_json_is_the_daemon_s_answer_on_one_line() {
    let daemon = daemon(200, status());
    assert_eq!(run(&daemon.socket(), &["status", "--json"]).json(), status());
}

#[test]
fn get_prints_the_twin_or_one_section_of_it() {
    let daemon = daemon(200, snapshot());
    let socket = daemon.socket();
    let whole = run(&socket, &["get", "m"]);
    for part in [
        "m: connected, ok",
        "desired, version 1.7:",
        "\"target\": 21",
        "version 12:",
        "not accepted by the hub yet",
        "hvac version 7: 200 at 2026-11-23T10:00:01Z\n",
    ] {
        assert!(whole.success().contains(part), "{part}: {whole:?}");
    }
    assert_eq!(run(&socket, &["get", "m", "--json"]).json(), snapshot());
    assert_eq!(run(&socket, &["get", "m", "--desired"]).success(), "{\n  \"target\": 21\n}\n");
    let reported = run(&socket, &["--json", "get", "m", "--reported"]);
    assert_eq!(reported.success(), "{\"temperature\":20.5}\n");
}

#[test]
fn a_section_that_nobody_has_seen_yet_is_a_failure() {
    let daemon = daemon(
        200,
        json!({
            "module": "m", "hub": connected(), "generation": 1, "desired": null, "version": null,
            "reported": null, "reported_version": null, "pending": {}, "applied": [], "as_of": null,
            "stale": true,
        }),
    );
    let ran = run(&daemon.socket(), &["get", "m", "--desired", "--json"]);
    assert!(ran.failure(1).starts_with("nothing is known of `m` yet"));
    assert!(run(&daemon.socket(), &["get", "m"]).success().contains("never fetched from the hub"));
}

#[test]
fn report_sends_pairs_json_or_standard_input_and_says_how_far_they_came() {
    let daemon = Daemon::serve(|request, stream| {
        if request.line.contains("wait=hub") {
            answer(stream, 200, &json!({"stored": true, "sequence": 5, "version": 14}));
        } else {
            answer(stream, 202, &json!({"stored": true, "sequence": 4}));
        }
    });
    let socket = daemon.socket();
    let ran = run(&socket, &["report", "m", "temperature=-20.5", "fan.state=on", "old=null"]);
    assert_eq!(ran.success(), "stored, will reach the hub (sequence 4)\n");
    let request = daemon.request();
    assert_eq!(request.line, "PATCH /v1/modules/m/reported?wait=stored");
    let expected = json!({"temperature": -20.5, "fan": {"state": "on"}, "old": null});
    assert_eq!(request.json(), expected);

    let ran = run(&socket, &["report", "m", "{\"a\":[1]}", "--wait", "hub", "--timeout", "1m"]);
    assert_eq!(ran.success(), "accepted by the hub as reported version 14 (sequence 5)\n");
    let request = daemon.request();
    assert_eq!(request.line, "PATCH /v1/modules/m/reported?wait=hub&timeout=60");
    assert_eq!(request.json(), json!({"a": [1]}));

    let ran = run_with_input(&socket, &["report", "m", "-", "--json"], "{\"b\":\"ä\"}\n");
    assert_eq!(ran.json(), json!({"stored": true, "sequence": 4}));
    assert_eq!(daemon.request().json(), json!({"b": "ä"}));
}

#[test]
fn report_refuses_what_is_no_patch_before_it_asks_the_daemon() {
    let nobody = Path::new("/nowhere/modtwin.sock");
    assert!(run(nobody, &["report", "m", "temperature"]).failure(64).contains("KEY=VALUE"));
    assert!(run(nobody, &["report", "m", "[1]"]).failure(64).contains("JSON object"));
    let large = format!("{{\"a\":\"{}\"}}", "x".repeat(512 * 1024));
    let ran = run_with_input(nobody, &["report", "m", "-"], &large);
    assert!(ran.failure(1).contains("at most 524288 bytes"));
}

#[test]
fn ack_sends_what_was_said_and_nothing_else() {
    let daemon = daemon(202, json!({}));
    let socket = daemon.socket();
    let ran = run(&socket, &["ack", "m", "7"]);
    assert_eq!(ran.success(), "version 7 is on record as applied (200)\n");
    let request = daemon.request();
    assert_eq!(request.line, "POST /v1/modules/m/acks");
    assert_eq!(request.json(), json!({"version": 7, "status": 200}));

    let line = [
        "ack",
        "m",
        "8",
        "--status",
        "422",
        "--description",
        "too hot",
        "--handler",
        "hvac",
        "--generation",
        "2",
        "--json",
    ];
    let said = json!({"version": 8, "generation": 2, "status": 422, "description": "too hot",
                      "handler": "hvac"});
    assert_eq!(run(&socket, &line).json(), said);
    assert_eq!(daemon.request().json(), said);
}

#[test]
fn reload_names_what_changed_or_every_fault_that_keeps_the_old_config() {
    let good = daemon(
        200,
        json!({"added": ["a"], "removed": [], "changed": ["b", "c"],
                                  "unchanged": ["d"]}),
    );
    let ran = run(&good.socket(), &["reload"]);
    assert_eq!(ran.success(), "added: a\nchanged: b, c\n");
    assert_eq!(good.request().line, "POST /v1/reload");

    let mut refusal = problem(422, "invalid_config", "2 faults");
    refusal["errors"] = json!(["a.toml:3: hub.hostnme: no such key", "a.toml:9: id: twice"]);
    let bad = daemon(422, refusal);
    let ran = run(&bad.socket(), &["reload"]);
    assert_eq!(ran.code, Some(78));
    assert_eq!(
        ran.stderr,
        "modtwinctl: a.toml:3: hub.hostnme: no such key\nmodtwinctl: a.toml:9: id: twice\n"
    );
}

#[test]
fn reconnect_asks_for_that_module() {
    let daemon = daemon(202, json!({}));
    let ran = run(&daemon.socket(), &["reconnect", "m", "--json"]);
    assert_eq!(ran.json(), json!({"reconnecting": "m"}));
    assert_eq!(daemon.request().line, "POST /v1/modules/m/reconnect");
}

#[test]
fn exit_statuses_tell_why() {
    let folder = tempfile::tempdir().unwrap();
    let nobody = folder.path().join("none.sock");
    let line = run(&nobody, &["status"]).failure(69).to_owned();
    assert!(
        line.contains("none.sock") && line.ends_with("name its socket with --socket"),
        "{line}"
    );

    let stale = folder.path().join("stale.sock");
    drop(std::os::unix::net::UnixListener::bind(&stale).unwrap());
    run(&stale, &["status"]).failure(69);

    let forbidden = daemon(403, problem(403, "forbidden", "add a [[module.handler]]\nfor uid 7"));
    let ran = run(&forbidden.socket(), &["get", "m"]);
    assert_eq!(ran.failure(77), "add a [[module.handler]] for uid 7");

    let full = daemon(507, problem(507, "storage", "free some space"));
    assert_eq!(run(&full.socket(), &["report", "m", "a=1"]).failure(1), "free some space");

    let other = Daemon::serve(|_, stream| answer_text(stream, 200, "<html>"));
    assert!(run(&other.socket(), &["status"]).failure(1).ends_with("; check --socket"));
}

#[test]
fn a_wrong_command_line_is_explained_in_one_line() {
    let nobody = Path::new("/nowhere/modtwin.sock");
    for (line, part) in [
        (&["status", "--jsn"][..], "tip: a similar argument exists: '--json'"),
        (&["statu"], "unrecognized subcommand 'statu'"),
        (&["get"], "<MODULE>"),
        (&["ack", "m", "7", "--status", "302"], "200 to 299 or 400 to 599"),
        (&["ack", "m", "-7"], "unexpected argument '-7'"),
        (&["report", "m", "a=1", "--timeout", "30"], "unit"),
        (&["watch", "m", "--path", "hvac"], "begins with `/`"),
        (&["watch", "m", "--since", "7"], "GENERATION.VERSION"),
        (&["watch", "m", "--exec-timeout", "5s"], "--exec"),
        (&["get", "m", "--desired", "--reported"], "cannot be used with"),
    ] {
        let ran = run(nobody, line);
        let said = ran.failure(64);
        assert!(said.contains(part) && said.ends_with("see modtwinctl --help"), "{line:?}: {said}");
    }
}

#[test]
fn help_and_version_are_no_failures_but_nothing_to_do_is() {
    let nobody = Path::new("/nowhere/modtwin.sock");
    let ran = run(nobody, &["--help"]);
    assert!(ran.success().contains("69 daemon unreachable"), "{ran:?}");
    assert!(run(nobody, &["--version"]).success().starts_with("modtwinctl "));
    let ran = run(nobody, &[]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(64), ""));
    assert!(ran.stderr.contains("Usage: modtwinctl"), "{ran:?}");
}

#[test]
fn the_socket_comes_from_the_option_before_the_environment() {
    let daemon = daemon(200, status());
    let socket = daemon.socket();
    let ran = run(
        Path::new("/nowhere/modtwin.sock"),
        &["status", "--json", "--socket", socket.to_str().unwrap()],
    );
    assert_eq!(ran.json(), status());
}

#[test]
fn a_reader_that_has_gone_ends_the_program_quietly() {
    let daemon = daemon(200, snapshot());
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut child =
        modtwinctl(&daemon.socket(), &["get", "m"]).stdout(Stdio::from(writer)).spawn().unwrap();
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!((child.wait().unwrap().code(), said.as_str()), (Some(0), ""));
}

#[test]
fn every_shell_gets_its_completions() {
    let nobody = Path::new("/nowhere/modtwin.sock");
    for shell in ["bash", "zsh", "fish"] {
        let ran = run(nobody, &["completions", shell]);
        assert!(ran.success().contains("reconnect"), "{shell}");
    }
    run(nobody, &["completions", "cmd.exe"]).failure(64);
}

#[test]
fn send_hands_over_the_payload_with_what_is_said_of_it() {
    let daemon = daemon(200, json!({"sent": true}));
    let socket = daemon.socket();
    let arguments = [
        "send",
        "m",
        "--property",
        "unit=°C",
        "--property",
        "a=b=c",
        "--content-type",
        "text/plain",
        "--message-id",
        "7",
        "--timeout",
        "5s",
    ];
    let ran = run_with_input(&socket, &arguments, "21.5");
    assert_eq!(ran.success(), "confirmed by the hub\n");
    let request = daemon.request();
    assert_eq!(request.line, "POST /v1/modules/m/messages?timeout=5");
    assert_eq!(request.body, b"21.5");
    for header in [
        "content-type: text/plain",
        "modtwin-message-id: 7",
        "modtwin-property: unit=°c",
        "modtwin-property: a=b=c",
    ] {
        assert!(request.headers.contains(header), "{header}: {}", request.headers);
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("payload");
    std::fs::write(&file, [0, 255]).unwrap();
    let ran = run(&socket, &["send", "m", &file.to_string_lossy(), "--json"]);
    assert_eq!(ran.json(), json!({"sent": true}));
    let request = daemon.request();
    assert_eq!(request.body, [0, 255]);
    assert!(!request.headers.contains("content-type"), "{}", request.headers);
}

#[test]
fn send_tells_stored_from_confirmed_and_refuses_what_it_can_not_read() {
    let daemon = daemon(202, json!({"stored": true}));
    let socket = daemon.socket();
    let ran = run_with_input(&socket, &["send", "m", "-", "--wait", "stored"], "x");
    assert_eq!(ran.success(), "stored, will reach the hub\n");
    assert_eq!(daemon.request().line, "POST /v1/modules/m/messages?wait=stored");
    let missing = run(&socket, &["send", "m", "/no/such/file"]);
    assert!(missing.failure(1).contains("/no/such/file"));
    assert!(run(&socket, &["send", "m", "--property", "=x"]).failure(64).contains("NAME=VALUE"));
    let large = "x".repeat(256 * 1024 + 1);
    assert!(run_with_input(&socket, &["send", "m"], &large).failure(1).contains("262144"));
}
