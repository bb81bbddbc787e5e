//! What single values may be: durations, choices, and what would break something later.

use super::*;

#[test]
fn durations_have_a_unit_and_a_range() {
    let complaint = |line: &str| complaints_below_hub(line).join("|");
    let unit = "expected a number with a unit such as \"30s\", found";
    for (line, expected) in [
        (
            "keep-alive = 180",
            "expected a string with a unit, such as \"30s\", found the bare number 180".to_owned(),
        ),
        (
            "keep-alive = 1.5",
            "expected a string with a unit, such as \"30s\", found the bare number 1.5".to_owned(),
        ),
        ("keep-alive = \"180\"", format!("{unit} \"180\"")),
        ("keep-alive = \" 1e3 \"", format!("{unit} \" 1e3 \"")),
        ("keep-alive = \"4s\"", "expected 5s to 1177s, found \"4s\"".to_owned()),
        ("keep-alive = \"1178s\"", "expected 5s to 1177s, found \"1178s\"".to_owned()),
        ("keep-alive = \"9500ms\"", "expected whole seconds, found \"9500ms\"".to_owned()),
        ("keep-alive = \"\"", "expected a duration, found \"\": value was empty".to_owned()),
    ] {
        assert_eq!(complaint(line), format!("1: hub.keep-alive: {expected}"), "{line}");
    }
    for line in ["keep-alive = \"5s\"", "keep-alive = \"1177s\"", "keep-alive = \"3min\""] {
        assert!(check(&format!("{HUB}{line}")).is_ok(), "{line}");
    }
    for line in ["\"9ms\"", "\"61s\"", "\"99999999999999999999s\"", "\"1 fortnight\"", "\"-1s\""] {
        assert!(complaint(&format!("retry-delay = {line}")).starts_with("1: hub.retry-delay: "));
    }
}

#[test]
fn rates_are_whole_numbers_a_second() {
    for (line, expected) in [
        ("\"20\"", "expected a string with a rate, such as \"20/s\", found \"20\""),
        ("\"x/s\"", "expected a string with a rate, such as \"20/s\", found \"x/s\""),
        ("\"-1/s\"", "expected a string with a rate, such as \"20/s\", found \"-1/s\""),
        ("\"0/s\"", "expected 1/s to 10000/s, found \"0/s\""),
        ("\"10001/s\"", "expected 1/s to 10000/s, found \"10001/s\""),
    ] {
        let found = complaints_below_hub(&format!("operation-rate = {line}")).remove(0);
        assert_eq!(found, format!("1: hub.operation-rate: {expected}"), "{line}");
    }
    let config = check(&format!("{HUB}operation-rate = \" 7 /s\"")).unwrap();
    assert_eq!(config.hub.operations_per_second, 7);
}

#[test]
fn choices_suggest_the_nearest() {
    assert_eq!(
        complaints_below_hub("transport = \"websockets\""),
        ["1: hub.transport: expected \"mqtt\" or \"websocket\", found \"websockets\", \
          did you mean websocket?"]
    );
    assert_eq!(
        complaints_below_hub("transport = \"amqp\""),
        ["1: hub.transport: expected \"mqtt\" or \"websocket\", found \"amqp\""]
    );
}

#[test]
fn values_that_would_break_something_later_are_refused() {
    let module = "[[module]]\nid = \"m\"\nshared-access-key-file = \"k\"\n";
    let handler = format!("{module}[[module.handler]]\nname = \"n\"\n");
    let long = "x".repeat(108);
    for bad in [
        "gateway-hostname = \"https://g\"".to_owned(),
        "gateway-hostname = \"\"".to_owned(),
        "api-version = \"a&b\"".to_owned(),
        "trusted-ca = \"\"".to_owned(),
        "trusted-ca = \"credential:ca\"".to_owned(),
        "trusted-ca = \"a\\u0000b\"".to_owned(),
        "port = 65536".to_owned(),
        "port = -1".to_owned(),
        "port = \"8883\"".to_owned(),
        format!("[socket]\npath = \"/{long}\""),
        "[socket]\nadmin-group = \"a:b\"".to_owned(),
        "[socket]\nadmin-group = \"\"".to_owned(),
        format!("{module}model-id = \"dtmi:a;0\""),
        format!("{module}model-id = \"dtmi:a_;1\""),
        format!("{module}model-id = \"dtmi:1a;1\""),
        format!("{module}model-id = \"urn:a;1\""),
        format!("{module}acknowledge = \"yes\""),
        "[[module]]\nid = \"m\"\nshared-access-key-file = \"credential:../x\"".to_owned(),
        "[[module]]\nid = \"m\"\nshared-access-key-file = \"credential:\"".to_owned(),
        "[[module]]\nid = \"m\"\nshared-access-key-file = \"credential:..\"".to_owned(),
        format!("{handler}user = \"u\"\nwatch = [\"hvac\"]"),
        format!("{handler}user = \"u\"\nwatch = [\"/a~2\"]"),
        format!("{handler}user = \"u\"\nreport = \"/hvac\""),
        format!("{handler}user = \"u\"\nreport = [1]"),
        format!("{handler}user = \"u\"\nmethods = [\"a/b\"]"),
        format!("{handler}user = \"u\"\nmethods = [\"\"]"),
        format!("{handler}user = \"u\"\nack-timeout = \"0s\""),
        format!("{handler}user = \"a b\""),
        format!("{handler}unit = \"hvac\""),
        format!("{handler}unit = \".service\""),
        format!("{handler}unit = \"hvac.timer\""),
        format!("{module}[[module.handler]]\nname = \"a b\"\nuser = \"u\""),
    ] {
        assert_eq!(complaints_below_hub(&bad).len(), 1, "{bad}");
    }
}
