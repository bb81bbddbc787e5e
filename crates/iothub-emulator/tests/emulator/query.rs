//! Queries over REST: what they find, pages, and what is refused.

use serde_json::{Value, json};

use super::support::{Answer, Hub, VERSION, now, service_token};

async fn ask(hub: &Hub, query: &str, headers: &[(&str, &str)]) -> Answer {
    let token = service_token(hub.running.connection_string(), now() + 60);
    let headers = [headers, &[("authorization", token.as_str())]].concat();
    let path = format!("/devices/query?api-version={VERSION}");
    hub.https.call("POST", &path, &headers, json!({ "query": query }).to_string()).await
}

fn header<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
    answer.headers.get(name).map(|value| value.to_str().expect("text"))
}

async fn tagged(hub: &Hub, module: &str, site: &str) {
    hub.module(module, Value::Null).await;
    let path = format!("/twins/gw/modules/{module}");
    let body = json!({"tags": {"site": site}, "properties": {"desired": {"fps": 25}}});
    assert_eq!(hub.service("PATCH", &path, body).await.status, 200);
}

#[tokio::test]
async fn twins_are_found_by_what_is_in_them() {
    let hub = Hub::start().await;
    tagged(&hub, "a", "north").await;
    tagged(&hub, "b", "south").await;
    let mut client = hub.connected("c").await;
    client.subscribe_twin().await;
    client.report("1", r#"{"mode":"eco"}"#).await;
    for (condition, expected) in [
        ("tags.site = 'north'", vec!["a"]),
        ("tags.site in ['north', 'south'] and properties.desired.fps > 20", vec!["a", "b"]),
        ("not is_defined(tags.site)", vec!["c"]),
        ("connectionState = 'Connected'", vec!["c"]),
        ("startswith(properties.reported.mode, 'e')", vec!["c"]),
        ("properties.desired.$version = 2", vec!["a", "b"]),
        ("deviceId = 'gw' and moduleId <> 'b' and status = 'enabled'", vec!["a", "c"]),
    ] {
        let answer =
            ask(&hub, &format!("select * from devices.modules where {condition}"), &[]).await;
        let found: Vec<&str> = answer
            .body
            .as_array()
            .expect("rows")
            .iter()
            .filter_map(|row| row["moduleId"].as_str())
            .collect();
        assert_eq!((answer.status, found), (200, expected), "{condition}");
        assert_eq!(header(&answer, "x-ms-item-type"), Some("Twin"));
    }
}

#[tokio::test]
async fn columns_counts_and_groups_are_raw() {
    let hub = Hub::start().await;
    for (module, site) in [("a", "north"), ("b", "south"), ("c", "north")] {
        tagged(&hub, module, site).await;
    }
    for (query, expected) in [
        ("select count() as n from devices.modules", json!([{"n": 3}])),
        (
            "SELECT tags.site AS site, COUNT() AS n FROM devices.modules GROUP BY tags.site",
            json!([{"site": "north", "n": 2}, {"site": "south", "n": 1}]),
        ),
        (
            "select moduleId, properties.desired.fps as rate from devices.modules where tags.site = 'south'",
            json!([{"moduleId": "b", "rate": 25}]),
        ),
        ("select top 1 deviceId from devices.modules", json!([{"deviceId": "gw"}])),
    ] {
        let answer = ask(&hub, query, &[]).await;
        assert_eq!((answer.status, &answer.body), (200, &expected), "{query}");
        assert_eq!(header(&answer, "x-ms-item-type"), Some("Raw"));
        assert_eq!(header(&answer, "x-ms-continuation"), None);
    }
}

#[tokio::test]
async fn pages_follow_each_other_whatever_comes_and_goes() {
    let hub = Hub::start().await;
    for module in ["a", "b", "c", "d", "e"] {
        hub.module(module, Value::Null).await;
    }
    let query = "select moduleId from devices.modules";
    let size = ("x-ms-max-item-count", "2");
    let first = ask(&hub, query, &[size]).await;
    assert_eq!(first.body, json!([{"moduleId": "a"}, {"moduleId": "b"}]));
    let token = header(&first, "x-ms-continuation").expect("a token").to_owned();
    hub.service_if("DELETE", "/devices/gw/modules/b", Value::Null, Some("*")).await;
    hub.module("aa", Value::Null).await;
    let second = ask(&hub, query, &[size, ("x-ms-continuation", &token)]).await;
    assert_eq!(
        second.body,
        json!([{"moduleId": "c"}, {"moduleId": "d"}]),
        "nothing twice, nothing left out"
    );
    let token = header(&second, "x-ms-continuation").expect("a token").to_owned();
    let third = ask(&hub, query, &[size, ("x-ms-continuation", &token)]).await;
    assert_eq!(third.body, json!([{"moduleId": "e"}]));
    assert_eq!(header(&third, "x-ms-continuation"), None, "the last page says so");
    let whole = ask(&hub, query, &[("x-ms-max-item-count", "5")]).await;
    assert_eq!(whole.body.as_array().map(Vec::len), Some(5));
    assert_eq!(
        header(&whole, "x-ms-continuation"),
        None,
        "nothing follows a page that holds the rest"
    );
}

#[tokio::test]
async fn what_is_no_query_page_or_token_is_400() {
    let hub = Hub::start().await;
    hub.module("m", Value::Null).await;
    let all = "select * from devices";
    for (query, headers, part) in [
        ("drop table devices", vec![], "expected select, found 'drop' at 0"),
        ("select * from devices where tags.a ~ 1", vec![], "unexpected '~'"),
        (all, vec![("x-ms-max-item-count", "0")], "at least 1"),
        (all, vec![("x-ms-max-item-count", "many")], "at least 1"),
        (all, vec![("x-ms-continuation", "made-up")], "no token of this query"),
    ] {
        let answer = ask(&hub, query, &headers).await;
        assert_eq!((answer.status, answer.error_code()), (400, "ArgumentInvalid"), "{query}");
        assert!(
            answer.body["Message"].as_str().is_some_and(|text| text.contains(part)),
            "{answer:?}"
        );
    }
    let page =
        ask(&hub, "select * from devices.modules where true", &[("x-ms-max-item-count", "1")])
            .await;
    assert_eq!(header(&page, "x-ms-continuation"), None);
    hub.module("n", Value::Null).await;
    let page = ask(&hub, "select * from devices.modules", &[("x-ms-max-item-count", "1")]).await;
    let token = header(&page, "x-ms-continuation").expect("a token");
    assert_eq!(
        ask(&hub, all, &[("x-ms-continuation", token)]).await.status,
        400,
        "another query's token"
    );
    assert_eq!(
        ask(&hub, all, &[("x-ms-max-item-count", "-1")]).await.status,
        200,
        "as SDKs leave it open"
    );
}
