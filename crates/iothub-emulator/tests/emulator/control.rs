//! The web page, and looking at identities without a token.

use serde_json::{Value, json};

use super::support::Hub;

#[tokio::test]
async fn the_page_is_one_file_that_needs_nothing_from_outside() {
    let hub = Hub::start().await;
    let (status, headers, page) = hub.https.text("/").await;
    assert_eq!(status, 200);
    assert_eq!(headers.get("content-type").expect("a type"), "text/html; charset=utf-8");
    let policy = headers.get("content-security-policy").expect("a policy").to_str().expect("text");
    assert!(
        policy.starts_with("default-src 'none'") && policy.contains("connect-src 'self'"),
        "{policy}"
    );
    assert!(page.starts_with("<!doctype html>"), "{page}");
    for outside in ["http:", "https:", "src=", "href=", "@import", "url("] {
        assert!(!page.contains(outside), "{outside}");
    }
    // Every kind of fault has a button, and the calls that the page makes have answers.
    let refusal = hub.control("POST", "faults", json!({"kind": "?"})).await.body;
    let kinds =
        refusal["error"].as_str().and_then(|text| text.rsplit("one of ").next()).expect("kinds");
    for kind in kinds.split(", ") {
        assert!(page.contains(&format!("'{kind}'")), "{kind}");
    }
    for call in ["identities", "stats", "faults"] {
        assert!(page.contains(&format!("'{call}'")), "{call}");
        assert_eq!(hub.control("GET", call, Value::Null).await.status, 200, "{call}");
    }
}

#[tokio::test]
async fn identities_are_shown_with_their_state_and_without_their_keys() {
    let hub = Hub::start().await;
    let mut client = hub.connected("m").await;
    client.subscribe_twin().await;
    client.report("1", r#"{"a":1}"#).await;
    hub.patch_desired("m", json!({"b": 2})).await;
    let listed = hub.control("GET", "identities", Value::Null).await.body;
    let [device, module] = listed.as_array().expect("a list").as_slice() else {
        panic!("{listed}")
    };
    assert_eq!((&device["device"], &device["module"]), (&json!("gw"), &Value::Null));
    for (member, expected) in [
        ("module", json!("m")),
        ("connected", json!(true)),
        ("enabled", json!(true)),
        ("authentication", json!("sas")),
        ("desired_version", json!(2)),
        ("reported_version", json!(2)),
    ] {
        assert_eq!(module[member], expected, "{member}");
    }
    let twin = hub.control("GET", "identities/gw/m", Value::Null).await.body;
    assert_eq!(twin, hub.twin("m").await);
    for text in [listed.to_string(), twin.to_string()] {
        assert!(!text.contains("primaryKey") && !text.contains("SharedAccessKey"), "{text}");
    }
    let missing = hub.control("GET", "identities/gw/none", Value::Null).await;
    assert_eq!((missing.status, missing.body), (400, json!({"error": "no identity `gw/none`"})));
}

#[tokio::test]
async fn pages_of_somebody_else_may_order_nothing() {
    let hub = Hub::start().await;
    let order = json!({"kind": "throttle"}).to_string();
    let own = format!("https://localhost:{}", hub.running.https_port());
    for (origin, status) in [
        ("https://elsewhere.test", 403),
        ("null", 403),
        ("http://localhost", 403),
        (own.as_str(), 200),
    ] {
        let answer = hub
            .https
            .call("POST", "/emulator/v1/faults", &[("origin", origin)], order.clone())
            .await;
        assert_eq!(answer.status, status, "{origin}");
    }
    assert_eq!(
        hub.control("GET", "faults", Value::Null).await.body.as_array().map(Vec::len),
        Some(1)
    );
}

#[tokio::test]
async fn orders_are_refused_with_everything_that_is_wrong_with_them() {
    let hub = Hub::start().await;
    let answer =
        hub.control("POST", "faults", json!({"kind": "dorp", "chance": 7, "module": "m"})).await;
    assert_eq!(answer.status, 400);
    let error = answer.body["error"].as_str().expect("a reason");
    for part in
        ["did you mean `drop`?", "`chance`: must lie between 0 and 1", "`module`: needs `device`"]
    {
        assert!(error.contains(part), "{error}");
    }
}

#[tokio::test]
async fn lifecycle_and_twin_changes_are_told_with_what_changed() {
    let hub = Hub::start().await;
    let mut events = hub.events().await;
    hub.module("m", Value::Null).await;
    assert_eq!(events.find("created").await["authentication"], "sas", "the device");
    assert_eq!(events.find("created").await["module"], "m");
    let body = json!({"tags": {"site": "north"}, "properties": {"desired": {"a": 1}}});
    hub.service("PATCH", "/twins/gw/modules/m", body).await;
    assert_eq!(events.find("desired").await["patch"], json!({"a": 1}));
    assert_eq!(events.find("tags").await["patch"], json!({"site": "north"}));
    hub.service_if("PUT", "/devices/gw", json!({"status": "disabled"}), Some("*")).await;
    let updated = events.find("updated").await;
    assert_eq!((&updated["device"], &updated["status"]), (&json!("gw"), &json!("disabled")));
    hub.service_if("DELETE", "/devices/gw", Value::Null, Some("*")).await;
    assert_eq!(events.find("deleted").await["device"], "gw");
}
