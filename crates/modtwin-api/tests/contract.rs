//! The wire format of version 1, frozen: every text here must parse and print for ever.
#![expect(clippy::expect_used, reason = "helpers of tests may fail the test")]

use modtwin_api::{
    AckRequest, Event, Health, MessageSent, MessageStored, MethodEvent, MethodResponse, ModuleList,
    Problem, ProblemKind, ReloadOutcome, ReportAccepted, ReportStored, Snapshot, Status,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// Reads `frozen` as a `T`, writes it again and expects the same; then once more with members that
/// a newer version might add.
fn check<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(frozen: Value) -> T {
    let read: T = serde_json::from_value(frozen.clone()).expect("the frozen text parses");
    assert_eq!(serde_json::to_value(&read).expect("it prints"), frozen);
    let mut grown = frozen;
    grow(&mut grown);
    let again: T = serde_json::from_value(grown).expect("unknown members are ignored");
    assert_eq!(again, read);
    read
}

/// Adds an unknown member to every object, but not inside twin documents, where all keys count.
fn grow(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for (key, inner) in members.iter_mut() {
                if !["desired", "reported", "pending", "patch", "payload"].contains(&key.as_str()) {
                    grow(inner);
                }
            }
            members.insert("a_member_of_a_newer_version".to_owned(), json!({"x": [1]}));
        }
        Value::Array(items) => items.iter_mut().for_each(grow),
        _ => {}
    }
}

fn connected() -> Value {
    json!({"state": "connected", "reason": "ok", "since": "2026-11-23T10:00:00Z"})
}

#[test]
fn the_snapshot_of_the_contract_parses_and_prints() {
    let snapshot: Snapshot = check(json!({
        "module": "thermostat", "hub": connected(),
        "generation": 1, "desired": {"targetTemperature": 21}, "version": 7,
        "reported": {"temperature": 20.5}, "reported_version": 12, "pending": {},
        "applied": [{"handler": "hvac", "version": 7, "status": 200, "at": "2026-11-23T10:00:01Z"}],
        "as_of": "2026-11-23T10:00:03Z", "stale": false,
    }));
    assert_eq!(snapshot.revision().expect("a version").etag(), "\"1.7\"");
}

#[test]
fn a_snapshot_tells_the_owner_of_refused_keys() {
    check::<Snapshot>(json!({
        "module": "thermostat", "hub": connected(),
        "generation": 1, "desired": {}, "version": 7, "reported": {}, "reported_version": 12,
        "pending": {}, "quarantined": [{"key": "bad", "status": 400, "message": "too long"}],
        "applied": [], "as_of": "2026-11-23T10:00:03Z", "stale": false,
    }));
}

#[test]
fn a_snapshot_before_the_first_sync_has_nulls() {
    let snapshot: Snapshot = check(json!({
        "module": "thermostat",
        "hub": {"state": "disconnected", "reason": "network", "since": "2026-11-23T10:00:00Z",
                "next_attempt": "2026-11-23T10:00:01.250Z", "detail": "no route to host"},
        "generation": 1, "desired": null, "version": null,
        "reported": null, "reported_version": null, "pending": {"a": null}, "applied": [],
        "as_of": null, "stale": true,
    }));
    assert_eq!(snapshot.revision(), None);
}

#[test]
fn the_list_of_modules_parses_and_prints() {
    check::<ModuleList>(json!({"modules": [
        {"module": "a", "hub": connected(), "desired_version": 7, "applied_version": null,
         "handlers": ["hvac", "fan"]},
        {"module": "b", "hub": connected(), "desired_version": null, "applied_version": null,
         "handlers": []},
    ]}));
}

#[test]
fn the_events_of_the_contract_parse_and_print() {
    check::<Event>(json!({
        "type": "snapshot", "module": "thermostat", "generation": 1, "version": 7,
        "desired": {"targetTemperature": 21}, "hub": connected(), "stale": false,
    }));
    check::<Event>(json!({
        "type": "desired", "module": "thermostat", "generation": 1, "version": 8,
        "patch": {"targetTemperature": 22}, "desired": {"targetTemperature": 22},
    }));
    check::<Event>(json!({
        "type": "desired", "module": "thermostat", "generation": 2, "version": 1,
        "patch": {"targetTemperature": null}, "desired": {}, "reset": true,
    }));
    check::<Event>(json!({
        "type": "hub", "module": "thermostat",
        "hub": {"state": "disconnected", "reason": "network", "since": "2026-11-23T10:00:00Z"},
    }));
    assert_eq!(check::<Event>(json!({"type": "heartbeat"})), Event::Heartbeat);
    check::<Event>(json!({"type": "removed", "module": "thermostat"}));
}

#[test]
fn a_snapshot_event_leaves_desired_out_only_where_unchanged() {
    check::<Event>(json!({
        "type": "snapshot", "module": "m", "generation": 1, "version": null, "desired": null,
        "hub": connected(), "stale": true,
    }));
    check::<Event>(json!({
        "type": "snapshot", "module": "m", "generation": 1, "version": 7, "unchanged": true,
        "hub": connected(), "stale": false,
    }));
}

#[test]
fn an_event_of_an_unknown_type_is_passed_over_and_a_broken_one_is_not() {
    let parse = |text: &str| Event::parse(text.as_bytes());
    assert_eq!(parse(r#"{"type":"weather","sun":true}"#).expect("an object with a type"), None);
    assert_eq!(parse(r#"{"type":"heartbeat"}"#).expect("known"), Some(Event::Heartbeat));
    for broken in [
        "",
        "{",
        "[]",
        "{}",
        r#"{"type":7}"#,
        r#"{"type":"removed"}"#,
        r#"{"type":"desired","module":"m","generation":1,"version":"8","patch":{},"desired":{}}"#,
        r#"{"type":"snapshot","module":"m","generation":1,"version":1,"desired":[],"stale":true}"#,
    ] {
        assert!(parse(broken).is_err(), "{broken}");
    }
}

#[test]
fn the_answers_to_a_report_parse_and_print() {
    check::<ReportStored>(json!({"stored": true, "sequence": 41}));
    check::<ReportAccepted>(json!({"stored": true, "sequence": 41, "version": 13}));
}

#[test]
fn the_answers_to_a_message_parse_and_print() {
    check::<MessageSent>(json!({"sent": true}));
    check::<MessageStored>(json!({"stored": true}));
}

#[test]
fn calls_of_methods_and_their_answers_parse_and_print() {
    check::<MethodEvent>(json!({
        "type": "invoke", "id": "00ff-7", "method": "reboot", "payload": {"in": 5}, "timeout_ms": 30_000,
    }));
    check::<MethodEvent>(json!({
        "type": "invoke", "id": "00ff-8", "method": "reboot", "payload": null, "timeout_ms": 1,
    }));
    assert_eq!(check::<MethodEvent>(json!({"type": "heartbeat"})), MethodEvent::Heartbeat);
    check::<MethodEvent>(json!({"type": "removed", "module": "thermostat"}));
    check::<MethodResponse>(json!({"status": 200, "payload": [1, "a"]}));
    check::<MethodResponse>(json!({"status": 501, "payload": null}));
    let short: MethodResponse = serde_json::from_value(json!({"status": 200})).expect("no payload");
    assert_eq!(short.payload, Value::Null);
    let parse = |text: &str| MethodEvent::parse(text.as_bytes());
    assert_eq!(parse(r#"{"type":"weather"}"#).expect("an object with a type"), None);
    for broken in ["", "{}", "[]", r#"{"type":"invoke"}"#, r#"{"type":"removed"}"#] {
        assert!(parse(broken).is_err(), "{broken}");
    }
}

#[test]
fn an_acknowledgement_parses_and_prints_with_and_without_its_optional_members() {
    check::<AckRequest>(json!({"version": 7, "status": 200}));
    check::<AckRequest>(json!({
        "version": 7, "generation": 2, "status": 422, "description": "too hot",
        "handler": "hvac", "paths": ["/hvac", ""],
    }));
    for bad in [json!({"version": 7}), json!({"version": -1, "status": 200}), json!([7, 200])] {
        assert!(serde_json::from_value::<AckRequest>(bad.clone()).is_err(), "{bad}");
    }
}

#[test]
fn only_success_and_refusal_are_statuses_of_an_acknowledgement() {
    for yes in [200, 299, 400, 599] {
        assert!(AckRequest::is_status(yes), "{yes}");
    }
    for no in [0, 100, 199, 300, 399, 600, u16::MAX] {
        assert!(!AckRequest::is_status(no), "{no}");
    }
}

#[test]
fn the_status_of_the_daemon_parses_and_prints() {
    let status: Status = check(json!({
        "version": "0.1.0", "pid": 4711, "started": "2026-11-23T09:00:00Z",
        "config": "/etc/modtwin/modtwind.toml", "socket": "/run/modtwin/modtwin.sock",
        "hub_hostname": "contoso.azure-devices.net", "device_id": "device01",
        "storage": {"directory": "/var/lib/modtwin", "writable": false, "problem": "read-only"},
        "modules": [{
            "module": "thermostat", "hub": connected(), "generation": 1,
            "desired_version": 7, "reported_version": 12, "as_of": "2026-11-23T10:00:03Z",
            "pending": {"keys": 2, "bytes": 31},
            "quarantined": [{"key": "bad", "status": 400, "message": "value too long"}],
            "handlers": [
                {"name": "hvac", "applied_version": 6, "status": 500, "description": "no valve",
                 "at": "2026-11-23T10:00:01Z", "watching": true},
                {"name": "fan", "applied_version": 7, "status": 200,
                 "at": "2026-11-23T10:00:01Z", "watching": false},
                {"name": "new", "applied_version": null, "status": null, "at": null,
                 "watching": false},
            ],
            "credential": {"kind": "x509", "expires": "2026-12-01T00:00:00Z", "days_left": 7,
                           "warnings": ["renew soon"]},
            "reconnects": 3, "problem": "the certificate expires in 7 days",
        }, {
            "module": "late", "hub": connected(), "generation": 1,
            "desired_version": null, "reported_version": null, "as_of": null,
            "pending": {"keys": 0, "bytes": 0}, "quarantined": [], "handlers": [],
            "credential": {"kind": "shared_access_key", "expires": null, "days_left": null,
                           "warnings": []},
            "reconnects": 0,
        }],
    }));
    let applied: Vec<_> = status.modules.iter().map(|module| module.applied_version()).collect();
    assert_eq!(applied, [Some(6), None]);
}

#[test]
fn what_a_status_has_learnt_to_say_parses_and_prints() {
    check::<Status>(json!({
        "version": "0.1.0", "pid": 4711, "started": "2026-11-23T09:00:00Z",
        "config": "/etc/modtwin/modtwind.toml", "socket": "/run/modtwin/modtwin.sock",
        "hub_hostname": "contoso.azure-devices.net", "device_id": "device01",
        "storage": {"directory": "/var/lib/modtwin", "writable": true, "writes": 12,
                    "bytes_written": 3456},
        "clock": {"trusted": false, "problem": "the clock says 1970"},
        "budget": {"operations_per_second": 20, "percent": 50},
        "modules": [{
            "module": "thermostat", "hub": connected(), "generation": 1,
            "desired_version": 7, "reported_version": 12, "as_of": "2026-11-23T10:00:03Z",
            "pending": {"keys": 0, "bytes": 0}, "quarantined": [],
            "sizes": {"desired": 5, "reported": 30000, "limit": 32768, "warn_at": 26215},
            "handlers": [{"name": "hvac", "desired_version": 6, "applied_version": null,
                          "status": 504, "description": "no acknowledgement",
                          "at": "2026-11-23T10:00:01Z", "watching": true}],
            "credential": null, "reconnects": 0,
        }],
    }));
}

#[test]
fn health_and_reload_parse_and_print() {
    check::<Health>(json!({"healthy": true, "version": "0.1.0"}));
    check::<Health>(json!({"healthy": false, "version": "0.1.0", "problem": "stuck"}));
    check::<ReloadOutcome>(json!({
        "added": ["a"], "removed": [], "changed": ["b"], "unchanged": ["c"],
        "needs_restart": ["[socket] path"],
    }));
}

#[test]
fn problems_carry_type_kind_and_the_members_of_their_kind() {
    let problem = Problem::new(ProblemKind::InvalidTwin, "shorten the key")
        .with_rule("/a/b", "a key has at most 1024 bytes")
        .with_limit(1024);
    assert_eq!(
        serde_json::to_value(&problem).expect("prints"),
        json!({
            "type": "urn:modtwin:problem:invalid_twin",
            "title": "the patch breaks a rule of twins",
            "status": 422, "detail": "shorten the key", "kind": "invalid_twin",
            "pointer": "/a/b", "rule": "a key has at most 1024 bytes", "limit": 1024,
        })
    );
    check::<Problem>(json!({
        "type": "urn:modtwin:problem:rejected_by_hub", "title": "the hub refused it",
        "status": 422, "detail": "d", "kind": "rejected_by_hub", "hub_status": 400,
    }));
    check::<Problem>(json!({
        "type": "urn:modtwin:problem:internal", "title": "the daemon failed",
        "status": 500, "detail": "d", "kind": "internal", "id": "5f3a",
    }));
    check::<Problem>(json!({
        "type": "urn:modtwin:problem:invalid_request", "title": "the request is not valid",
        "status": 400, "detail": "d", "kind": "invalid_request", "field": "since",
    }));
    check::<Problem>(json!({
        "type": "urn:modtwin:problem:invalid_config", "title": "the config files are not valid",
        "status": 422, "detail": "d", "kind": "invalid_config", "errors": ["a.toml:3: no"],
    }));
}

#[test]
fn kinds_have_the_http_status_of_the_contract() {
    let table: Vec<_> =
        ProblemKind::ALL.iter().map(|kind| (kind.status(), kind.as_str())).collect();
    assert_eq!(
        table,
        [
            (400, "invalid_request"),
            (403, "forbidden"),
            (404, "not_found"),
            (405, "method_not_allowed"),
            (409, "in_use"),
            (409, "unknown_version"),
            (413, "too_large"),
            (422, "invalid_twin"),
            (422, "rejected_by_hub"),
            (422, "invalid_config"),
            (429, "overloaded"),
            (503, "not_synced"),
            (504, "timeout"),
            (507, "storage"),
            (500, "internal"),
        ]
    );
}
