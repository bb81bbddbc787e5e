//! The query language: what is understood, what is refused, and that no text or twin upsets it.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::Query;

fn twin() -> Value {
    json!({
        "deviceId": "gw'1", "moduleId": "cam", "status": "enabled", "connectionState": "Connected",
        "capabilities": {"iotEdge": false}, "version": 7,
        "tags": {"site": "north", "floor": 3, "odd name": true, "list": [1, {"deep": "x"}]},
        "properties": {
            "desired": {"fps": 25, "$version": 4},
            "reported": {"fps": 25.0, "$version": 9, "mode": null},
        },
    })
}

fn fits(condition: &str) -> bool {
    let text = format!("SELECT * FROM devices.modules WHERE {condition}");
    Query::parse(&text).unwrap_or_else(|error| panic!("{text}: {error}")).fits(&twin())
}

#[test]
fn conditions_hold_or_do_not() {
    for (condition, expected) in [
        ("deviceId = 'gw\\'1'", true),
        ("devices.deviceId = 'gw''1'", true),
        ("devices.modules.moduleId=\"cam\"", true),
        ("deviceid = 'GW''1'", false),
        ("tags.site IN ['south', 'north']", true),
        ("tags.site in []", false),
        ("tags.site NIN ['south']", true),
        ("tags.site not in ['north']", false),
        ("tags.floor >= 3 AND tags.floor < 3.5", true),
        ("tags.floor <> 3", false),
        ("tags.floor != '3'", true),
        ("tags['odd name']", true),
        ("tags.list[1].deep = 'x'", true),
        ("tags.list[7] = 1", false),
        ("properties.desired.$version = 4", true),
        ("properties.desired.fps = properties.reported.fps", true),
        ("properties.reported.mode = null", true),
        ("is_defined(tags.site) and not is_defined(tags.nothing)", true),
        ("startswith(moduleId, 'c') and endswith(moduleId, 'm') and contains(moduleId, 'a')", true),
        ("STARTS_WITH(moduleId, 'm')", false),
        ("startswith(tags.floor, '3')", false),
        ("capabilities.iotEdge", false),
        ("capabilities.iotEdge = false", true),
        ("not (tags.site = 'south' or status = 'disabled')", true),
        ("tags.site = 'south' or tags.floor = 3 and status = 'enabled'", true),
        ("(tags.site = 'north' or tags.floor = 3) and status = 'disabled'", false),
        ("not not status = 'enabled'", true),
        ("true", true),
        ("-1 < tags.floor and 1e3 > tags.floor", true),
    ] {
        assert_eq!(fits(condition), expected, "{condition}");
    }
}

#[test]
fn what_is_not_there_is_neither_true_nor_false() {
    for condition in
        ["tags.no = 1", "tags.no != 1", "not tags.no = 1", "tags.no > 1", "tags.site > 3"]
    {
        assert!(!fits(condition), "{condition}");
    }
    assert!(fits("tags.no = 1 or status = 'enabled'"), "one part that is true decides");
    assert!(!fits("not (tags.no = 1 and status = 'enabled')"));
    assert!(fits("not (tags.no = 1 and status = 'disabled')"), "one part that is false decides");
}

#[test]
fn columns_are_named_after_their_last_step_or_as_told() {
    let text = "select deviceId, properties.reported.fps as rate, tags.no from devices.modules";
    let query = Query::parse(text).expect("legal");
    assert!(!query.gives_twins() && query.wants_modules() && !query.sums_up());
    assert_eq!(query.row(twin()), json!({"deviceId": "gw'1", "rate": 25.0}));
}

#[test]
fn rows_are_counted_whole_and_by_group() {
    let twins: Vec<Value> = [("a", Some(1)), ("b", Some(2)), ("a", Some(4)), ("c", None)]
        .into_iter()
        .map(|(site, floor)| match floor {
            Some(floor) => json!({"tags": {"site": site, "floor": floor}}),
            None => json!({"tags": {"site": site}}),
        })
        .collect();
    let groups = |text: &str| {
        let query = Query::parse(text).expect("legal");
        assert!(query.sums_up());
        Value::Array(query.groups(&twins))
    };
    assert_eq!(groups("select count() as n from devices"), json!([{"n": 4}]));
    assert_eq!(
        groups("select tags.site as site, count() as n from devices group by tags.site"),
        json!([{"site": "a", "n": 2}, {"site": "b", "n": 1}, {"site": "c", "n": 1}])
    );
    assert_eq!(
        groups(
            "select sum(tags.floor) as s, avg(tags.floor) as m, min(tags.floor) as l, max(tags.floor) as h from devices"
        ),
        json!([{"s": 7, "m": 7.0 / 3.0, "l": 1, "h": 4}])
    );
    let none = Query::parse("select count() as n, avg(tags.x) as m from devices").expect("legal");
    assert_eq!(none.groups(&[]), [json!({"n": 0})]);
}

#[test]
fn what_is_no_query_is_refused_with_the_place() {
    for (text, part) in [
        ("", "expected select, found the end at 0"),
        ("drop table devices", "expected select, found 'drop' at 0"),
        ("select * from jobs", "expected devices or devices.modules"),
        ("select * from devices.twins", "expected modules"),
        ("select * from devices where", "expected a name, found the end"),
        ("select * from devices where tags.a =", "found the end at 36"),
        ("select * from devices where tags.a = 'x", "text without an end at 37"),
        ("select * from devices where 'x'", "expected a comparison"),
        ("select * from devices where colour = 1", "unknown member at 28"),
        ("select * from devices where tags.a in 'x'", "expected a list"),
        ("select * from devices where tags.a in [tags.b]", "texts and numbers alone"),
        ("select * from devices order by deviceId", "expected where, group by or the end"),
        ("select * from devices group by deviceId", "found '*'"),
        ("select deviceId, count() as n from devices", "must be in group by"),
        ("select tags.a, tags.b as a from devices", "is there twice"),
        ("select * from devices where tags.a = ;", "unexpected ';'"),
        ("select top -1 * from devices", "expected a whole number"),
        ("select * from devices where tags.a = 1.2.3", "expected a number"),
    ] {
        let reason = Query::parse(text).expect_err(text);
        assert!(reason.contains(part), "{text}: {reason}");
    }
}

#[test]
fn nesting_has_a_limit_and_length_has_none() {
    let nested = |depth: usize| {
        format!("select * from devices where {}true{}", "(".repeat(depth), ")".repeat(depth))
    };
    assert!(Query::parse(&nested(64)).is_ok());
    assert!(Query::parse(&nested(65)).is_err());
    assert!(Query::parse(&nested(100_000)).is_err());
    let long = vec!["not tags.a = 1"; 10_000].join(" or ");
    assert!(Query::parse(&format!("select * from devices where {long}")).is_ok());
    let nots = "not ".repeat(100_000);
    assert!(Query::parse(&format!("select * from devices where {nots}true")).is_ok());
}

/// Pieces from which nearly right queries are put together.
const PIECES: [&str; 36] = [
    "select",
    "*",
    "from",
    "devices",
    ".",
    "modules",
    "where",
    "and",
    "or",
    "not",
    "(",
    ")",
    "[",
    "]",
    ",",
    "=",
    "!=",
    "<",
    "<=",
    ">",
    ">=",
    "in",
    "nin",
    "is_defined",
    "startswith",
    "count",
    "as",
    "n",
    "group",
    "by",
    "tags",
    "'x'",
    "1",
    "null",
    "top",
    "deviceId",
];

proptest! {
    #[test]
    fn any_text_gets_an_answer(text in ".{0,200}") {
        let _ = Query::parse(&text);
    }

    #[test]
    fn any_order_of_words_gets_an_answer(words in prop::collection::vec(prop::sample::select(&PIECES[..]), 0..30)) {
        if let Ok(query) = Query::parse(&words.join(" ")) {
            let _ = query.fits(&twin());
            let _ = query.groups(&[twin()]);
        }
    }

    #[test]
    fn any_condition_is_judged_and_its_opposite_is_the_opposite(
        words in prop::collection::vec(prop::sample::select(&PIECES[7..]), 1..12)
    ) {
        let condition = words.join(" ");
        let plain = Query::parse(&format!("select * from devices where {condition}"));
        let opposite = Query::parse(&format!("select * from devices where not ({condition})"));
        if let (Ok(plain), Ok(opposite)) = (plain, opposite) {
            prop_assert!(plain.group_by.is_empty() && !(plain.fits(&twin()) && opposite.fits(&twin())));
        }
    }

    #[test]
    fn every_text_can_be_asked_for(text in "\\PC{0,40}") {
        let quoted = text.replace('\\', "\\\\").replace('\'', "''");
        let query = Query::parse(&format!("select * from devices where tags.t = '{quoted}'"));
        let twin = json!({"tags": {"t": text}});
        prop_assert!(query.expect("legal").fits(&twin));
    }

    #[test]
    fn whole_numbers_order_as_they_should(left in any::<i64>(), right in any::<i64>()) {
        let twin = json!({"tags": {"n": left}});
        for (sign, expected) in [("<", left < right), (">=", left >= right), ("=", left == right)] {
            let query = Query::parse(&format!("select * from devices where tags.n {sign} {right}"));
            prop_assert_eq!(query.expect("legal").fits(&twin), expected, "{} {} {}", left, sign, right);
        }
    }
}
