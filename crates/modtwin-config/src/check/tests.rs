//! What the checked config says for good files, and every way to get files wrong.

use std::fmt::Write;
use std::path::PathBuf;
use std::time::Duration;

use modtwin_core::document::Pointer;
use proptest::prelude::*;

use crate::key::{self, KeyDefault, KeyType};
use crate::model::*;
use crate::{Problem, ProblemKind, Problems, Source, keys};

const HUB: &str = "[hub]\nhostname = \"h\"\ndevice-id = \"d\"\n";

fn source(path: &str, text: &str) -> Source {
    Source {
        path: PathBuf::from(path),
        text: text.to_owned(),
    }
}

fn check(text: &str) -> Result<Config, Problems> {
    Config::check(&[source("/etc/modtwin/a.toml", text)])
}

fn file(path: &str) -> FileRef {
    FileRef::Path(PathBuf::from(path))
}

fn pointers(texts: &[&str]) -> Vec<Pointer> {
    texts
        .iter()
        .map(|text| Pointer::parse(text).unwrap())
        .collect()
}

/// The problems of a text as lines, without the file's name.
fn complaints(text: &str) -> Vec<String> {
    let problems = Config::check(&[source("a", text)]).unwrap_err();
    problems
        .iter()
        .map(|problem| problem.to_string().split_off("a:".len()))
        .collect()
}

/// The problems of lines put below a sound hub; lines are counted from the first of them.
fn complaints_below_hub(lines: &str) -> Vec<String> {
    let problems = Config::check(&[source("a", &format!("{HUB}{lines}"))]).unwrap_err();
    let below = HUB.lines().count();
    problems
        .into_iter()
        .map(|problem| {
            let line = problem.line.map(|line| line - below);
            Problem { line, ..problem }
                .to_string()
                .split_off("a:".len())
        })
        .collect()
}

/// A config with every key that there is.
const EVERYTHING: &str = r#"
        [hub]
        hostname = "contoso.azure-devices.net"
        device-id = "device01"
        transport = "websocket"
        port = 8443
        gateway-hostname = "gateway.example"
        trusted-ca = "ca.pem"
        keep-alive = "2min 30s"
        api-version = "2020-09-30"
        retry-delay = "50ms"
        [socket]
        path = "modtwin.sock"
        admin-group = "operators"
        [state]
        directory = "/srv/modtwin"
        [[module]]
        id = "module01"
        certificate = "module01.pem"
        private-key = "/keys/module01.key"
        private-key-password-file = "credential:password"
        acknowledge = "pnp"
        model-id = "dtmi:com:example:Gate_way2;12"
          [[module.handler]]
          name = "hvac"
          user = "hvac"
          watch = ["/hvac", "/a~1b"]
          report = []
          methods = ["reboot", "hvac*start"]
          ack-timeout = "30s"
          [[module.handler]]
          name = "lights"
          group = "lights"
          [[module.handler]]
          name = "camera"
          unit = "camera@1.service"
        [[module]]
        id = "module02"
        connection-string-file = "module02.txt"
        [[module]]
        id = "module03"
        shared-access-key-file = "credential:key.3"
    "#;

/// What [`EVERYTHING`] says.
fn everything() -> Config {
    Config {
        hub: Hub {
            hostname: "contoso.azure-devices.net".to_owned(),
            device_id: modtwin_core::ids::DeviceId::new("device01").unwrap(),
            transport: Transport::WebSocket,
            port: 8443,
            gateway_hostname: Some("gateway.example".to_owned()),
            trusted_ca: Some(PathBuf::from("/etc/modtwin/ca.pem")),
            keep_alive: Duration::from_secs(150),
            api_version: "2020-09-30".to_owned(),
            retry_delay: Duration::from_millis(50),
        },
        socket: Socket {
            path: PathBuf::from("/etc/modtwin/modtwin.sock"),
            admin_group: "operators".to_owned(),
        },
        state: State {
            directory: PathBuf::from("/srv/modtwin"),
        },
        modules: all_modules(),
    }
}

/// The modules of [`EVERYTHING`].
fn all_modules() -> Vec<Module> {
    let handler = |name: &str, principal| Handler {
        name: name.to_owned(),
        principal,
        watch: pointers(&[""]),
        report: pointers(&[""]),
        methods: Vec::new(),
        ack_timeout: None,
    };
    let module = |id: &str, credential| Module {
        id: modtwin_core::ids::ModuleId::new(id).unwrap(),
        credential,
        acknowledge: Acknowledge::None,
        model_id: None,
        handlers: Vec::new(),
    };
    let hvac = Handler {
        watch: pointers(&["/hvac", "/a~1b"]),
        report: Vec::new(),
        methods: vec!["reboot".to_owned(), "hvac*start".to_owned()],
        ack_timeout: Some(Duration::from_secs(30)),
        ..handler("hvac", Principal::User("hvac".to_owned()))
    };
    let x509 = Credential::X509 {
        certificate: file("/etc/modtwin/module01.pem"),
        private_key: file("/keys/module01.key"),
        private_key_password_file: Some(FileRef::Credential("password".to_owned())),
    };
    vec![
        Module {
            acknowledge: Acknowledge::Pnp,
            model_id: Some("dtmi:com:example:Gate_way2;12".to_owned()),
            handlers: vec![
                hvac,
                handler("lights", Principal::Group("lights".to_owned())),
                handler("camera", Principal::Unit("camera@1.service".to_owned())),
            ],
            ..module("module01", x509)
        },
        module(
            "module02",
            Credential::ConnectionStringFile(file("/etc/modtwin/module02.txt")),
        ),
        module(
            "module03",
            Credential::SharedAccessKeyFile(FileRef::Credential("key.3".to_owned())),
        ),
    ]
}

#[test]
fn every_key_is_read_into_its_field() {
    assert_eq!(check(EVERYTHING), Ok(everything()));
}

#[test]
fn a_hub_alone_is_a_config_and_the_rest_has_defaults() {
    let config = check(HUB).unwrap();
    assert_eq!(config.hub.transport, Transport::Mqtt);
    assert_eq!(config.hub.port, 8883);
    assert_eq!(config.hub.keep_alive, Duration::from_secs(180));
    assert_eq!(config.hub.api_version, "2021-04-12");
    assert_eq!(config.hub.retry_delay, Duration::from_secs(1));
    assert_eq!(
        (config.hub.gateway_hostname, config.hub.trusted_ca),
        (None, None)
    );
    assert_eq!(
        config.socket.path,
        PathBuf::from("/run/modtwin/modtwin.sock")
    );
    assert_eq!(config.socket.admin_group, "modtwin");
    assert_eq!(config.state.directory, PathBuf::from("/var/lib/modtwin"));
    assert!(config.modules.is_empty());
    let websocket = check(&format!("{HUB}transport = \"websocket\"")).unwrap();
    assert_eq!(websocket.hub.port, 443);
}

#[test]
fn a_gateway_is_dialled_in_the_hubs_place() {
    assert_eq!(check(HUB).unwrap().hub.dial_name(), "h");
    let config = check(&format!("{HUB}gateway-hostname = \"g\"")).unwrap();
    assert_eq!(config.hub.dial_name(), "g");
}

#[test]
fn an_unknown_key_names_its_line_and_the_nearest_key() {
    let text = "[[module]]\nid = \"m\"\ncertifcate = \"c\"\nprivate-key = \"k\"\n";
    assert_eq!(
        complaints_below_hub(text),
        [
            "1: module[1].certificate: missing, and private-key is of no use without it",
            "3: module[1].certifcate: unknown key, did you mean certificate?",
        ]
    );
    assert_eq!(
        complaints("[hub]\nhost-name = \"h\"\ndevice_id = \"d\"\nzzz = 1\n"),
        [
            "1: hub.hostname: missing, and has no default",
            "1: hub.device-id: missing, and has no default",
            "2: hub.host-name: unknown key, did you mean hostname?",
            "3: hub.device_id: unknown key, did you mean device-id?",
            "4: hub.zzz: unknown key",
        ]
    );
    assert_eq!(
        complaints_below_hub("[[modules]]\nid = \"m\"\n[\"a\\nb\"]\n"),
        [
            "1: modules: unknown key, did you mean module?",
            "3: \"a\\nb\": unknown key"
        ]
    );
}

#[test]
fn a_key_under_the_wrong_header_is_told_where_it_belongs() {
    let text = "[[module]]\nid = \"m\"\nshared-access-key-file = \"k\"\n[[module.handler]]\n\
                name = \"n\"\nuser = \"u\"\nacknowledge = \"pnp\"\n";
    assert_eq!(
        complaints_below_hub(text),
        ["7: module[1].handler[1].acknowledge: unknown key here, it belongs under [[module]]"]
    );
}

#[test]
fn all_problems_of_all_files_are_reported_at_once() {
    let problems = Config::check(&[
        source(
            "a",
            "[hub]\nhostname = \"h:1\"\ndevice-id = 7\nport = 0\n[sockt]\n",
        ),
        source("b", "[state]\ndirectory = []\n[[module]]\nid = \"$m\"\n"),
    ])
    .unwrap_err();
    assert_eq!(
        problems.to_string().lines().collect::<Vec<_>>(),
        [
            "a:2: hub.hostname: expected a host name without scheme, port and path, found \"h:1\"",
            "a:3: hub.device-id: expected a string, found the bare number 7",
            "a:4: hub.port: expected a port from 1 to 65535, found 0",
            "a:5: sockt: unknown key, did you mean socket?",
            "b:2: state.directory: expected a string with a path, found an array",
            "b:3: module[1]: no credential, expected certificate and private-key, or \
             connection-string-file, or shared-access-key-file",
            "b:4: module[1].id: an id must not begin with `$`: the hub reserves such names",
        ]
    );
    assert_eq!(problems.count(), 7);
}

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
        (
            "keep-alive = \"4s\"",
            "expected 5s to 1177s, found \"4s\"".to_owned(),
        ),
        (
            "keep-alive = \"1178s\"",
            "expected 5s to 1177s, found \"1178s\"".to_owned(),
        ),
        (
            "keep-alive = \"9500ms\"",
            "expected whole seconds, found \"9500ms\"".to_owned(),
        ),
        (
            "keep-alive = \"\"",
            "expected a duration, found \"\": value was empty".to_owned(),
        ),
    ] {
        assert_eq!(
            complaint(line),
            format!("1: hub.keep-alive: {expected}"),
            "{line}"
        );
    }
    for line in [
        "keep-alive = \"5s\"",
        "keep-alive = \"1177s\"",
        "keep-alive = \"3min\"",
    ] {
        assert!(check(&format!("{HUB}{line}")).is_ok(), "{line}");
    }
    for line in [
        "\"9ms\"",
        "\"61s\"",
        "\"99999999999999999999s\"",
        "\"1 fortnight\"",
        "\"-1s\"",
    ] {
        assert!(complaint(&format!("retry-delay = {line}")).starts_with("1: hub.retry-delay: "));
    }
}

#[test]
fn choices_suggest_the_nearest() {
    assert_eq!(
        complaints_below_hub("transport = \"websockets\""),
        [
            "1: hub.transport: expected \"mqtt\" or \"websocket\", found \"websockets\", \
          did you mean websocket?"
        ]
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

#[test]
fn a_module_has_exactly_one_whole_credential() {
    let complain = |lines: &str| complaints_below_hub(&format!("[[module]]\nid = \"m\"\n{lines}"));
    let one = "a module has one credential";
    for (lines, expected) in [
        (
            "certificate = \"c\"",
            "1: module[1].private-key: missing, and certificate is of no use without it".to_owned(),
        ),
        (
            "certificate = \"c\"\nprivate-key = \"k\"\nconnection-string-file = \"s\"",
            format!("5: module[1].connection-string-file: excludes certificate: {one}"),
        ),
        (
            "private-key = \"k\"\nshared-access-key-file = \"s\"",
            format!("4: module[1].shared-access-key-file: excludes private-key: {one}"),
        ),
        (
            "connection-string-file = \"c\"\nshared-access-key-file = \"s\"",
            format!("4: module[1].shared-access-key-file: excludes connection-string-file: {one}"),
        ),
    ] {
        assert_eq!(complain(lines), [expected], "{lines}");
    }
    assert_eq!(complain("private-key-password-file = \"p\"").len(), 2);
}

#[test]
fn a_handler_is_exactly_one_principal() {
    let complain = |lines: &str| {
        let module = "[[module]]\nid = \"m\"\nshared-access-key-file = \"k\"\n";
        complaints_below_hub(&format!(
            "{module}[[module.handler]]\nname = \"n\"\n{lines}"
        ))
    };
    let one_of = "expected one of user, group and unit";
    assert_eq!(
        complain(""),
        [format!("4: module[1].handler[1]: {one_of}, found none")]
    );
    assert_eq!(
        complain("user = \"u\"\nunit = \"u.service\""),
        [format!(
            "7: module[1].handler[1].unit: excludes user: {one_of}"
        )]
    );
}

#[test]
fn handlers_of_one_module_have_different_names() {
    let handler = "[[module.handler]]\nname = \"n\"\nuser = \"u\"\n";
    let module = "[[module]]\nid = \"m\"\nshared-access-key-file = \"k\"\n";
    assert_eq!(
        complaints_below_hub(&format!("{module}{handler}{handler}")),
        ["8: module[1].handler[2].name: \"n\" is taken by the handler on line 8"],
    );
    let other = module.replace("\"m\"", "\"o\"");
    assert!(check(&format!("{HUB}{module}{handler}{other}{handler}")).is_ok());
}

#[test]
fn later_files_win_key_by_key_and_add_modules() {
    let module = |id: &str| format!("[[module]]\nid = \"{id}\"\nshared-access-key-file = \"k\"\n");
    let first = format!("{HUB}port = 1\nkeep-alive = \"60s\"\n{}", module("a"));
    let later = format!("[hub]\nport = 2\n[socket]\npath = \"s\"\n{}", module("b"));
    let config = Config::check(&[
        source("/x/a.toml", &first),
        source("/x/conf.d/1.toml", &later),
        source(
            "/x/conf.d/2.toml",
            "[hub]\nport = 3\n[socket]\nadmin-group = \"g\"\n",
        ),
    ])
    .unwrap();
    assert_eq!(config.hub.port, 3);
    assert_eq!(config.hub.keep_alive, Duration::from_secs(60));
    assert_eq!(config.socket.path, PathBuf::from("/x/conf.d/s"));
    assert_eq!(config.socket.admin_group, "g");
    let ids: Vec<_> = config
        .modules
        .iter()
        .map(|module| module.id.as_str())
        .collect();
    assert_eq!(ids, ["a", "b"]);
    let keys: Vec<_> = config
        .modules
        .into_iter()
        .map(|module| module.credential)
        .collect();
    let key = |path| Credential::SharedAccessKeyFile(file(path));
    assert_eq!(
        keys,
        [key("/x/k"), key("/x/conf.d/k")],
        "each relative to its own file"
    );
}

#[test]
fn a_value_that_a_later_file_overrides_is_judged_all_the_same() {
    let problems = Config::check(&[
        source("a", &format!("{HUB}port = \"x\"\n")),
        source("b", "[hub]\nport = 3\n"),
    ])
    .unwrap_err();
    assert_eq!(problems.count(), 1);
}

#[test]
fn a_repeated_module_names_both_places() {
    let module = "[[module]]\nid = \"m\"\nshared-access-key-file = \"k\"\n";
    let problems =
        Config::check(&[source("a", &format!("{HUB}{module}")), source("b", module)]).unwrap_err();
    assert_eq!(
        problems.to_string(),
        "b:2: module[1].id: `m` is taken by the module at a:5"
    );
    // A fault elsewhere in the module does not hide it.
    let problems = Config::check(&[
        source("a", &format!("{HUB}{module}x = 1\n")),
        source("b", &format!("{module}x = 1\n")),
    ])
    .unwrap_err();
    assert_eq!(problems.count(), 3);
    assert!(
        problems
            .iter()
            .any(|problem| problem.kind == ProblemKind::Conflict)
    );
}

#[test]
fn twenty_modules_are_taken_and_the_twenty_first_is_not() {
    let mut text = HUB.to_owned();
    for number in 1..=20 {
        writeln!(
            text,
            "[[module]]\nid = \"m{number}\"\nshared-access-key-file = \"k\""
        )
        .unwrap();
    }
    assert_eq!(check(&text).unwrap().modules.len(), 20);
    let more = "[[module]]\nid = \"m21\"\nshared-access-key-file = \"k\"\n";
    let problems = Config::check(&[source("a", &text), source("b", more)]).unwrap_err();
    assert_eq!(
        problems.to_string(),
        "b:2: module: expected at most 20 modules, found 21"
    );
}

#[test]
fn a_file_with_broken_syntax_reports_that_and_other_files_are_judged() {
    let problems = Config::check(&[
        source(
            "a",
            "[hub]\nhostname = \"h\ndevice-id = \"d\"\nport = = 1\nzzz = 1\n",
        ),
        source("b", "[socket]\npaht = \"x\"\n"),
    ])
    .unwrap_err();
    let (syntax, others): (Vec<_>, Vec<_>) = problems
        .iter()
        .partition(|problem| problem.kind == ProblemKind::Syntax);
    let lines: Vec<_> = syntax.iter().map(|problem| problem.line).collect();
    assert!(
        lines.contains(&Some(2)) && lines.contains(&Some(4)),
        "{problems}"
    );
    // Nothing is called missing: the broken file may have it.
    let others: Vec<_> = others.iter().map(ToString::to_string).collect();
    assert_eq!(
        others,
        ["b:2: socket.paht: unknown key, did you mean path?"]
    );
}

#[test]
fn a_key_that_is_there_twice_is_broken_syntax() {
    let text = format!("{HUB}port = 1\nport = 2\n");
    let problems = check(&text).unwrap_err();
    assert_eq!(
        problems
            .iter()
            .map(|problem| problem.line)
            .collect::<Vec<_>>(),
        [Some(5)]
    );
}

#[test]
fn tables_of_the_wrong_shape_are_one_problem_each() {
    for (text, expected) in [
        (
            "hub = 3\n",
            "1: hub: expected a table, found the bare number 3",
        ),
        (
            "[hub]\nhostname = \"h\"\ndevice-id = \"d\"\n[module]\nid = \"m\"\n",
            "4: module: expected an array of tables, headed by [[…]], found a table",
        ),
        (
            "module = [1]\n[hub]\nhostname = \"h\"\ndevice-id = \"d\"\n",
            "1: module[1]: expected a table, found the bare number 1",
        ),
        (
            "[[hub]]\nhostname = \"h\"\n",
            "1: hub: expected a table, found an array",
        ),
    ] {
        assert_eq!(complaints(text), [expected], "{text}");
    }
}

#[test]
fn an_empty_config_misses_the_hub() {
    let missing = "missing, and has no default";
    let expected = [
        format!(" hub.hostname: {missing}"),
        format!(" hub.device-id: {missing}"),
    ];
    assert_eq!(complaints(""), expected);
    assert_eq!(Config::check(&[]).unwrap_err().count(), 2);
}

/// A config in which the key at `path` has the value `value`.
fn with_key(path: &str, value: &str) -> String {
    let (table, name) = path.rsplit_once('.').unwrap_or(("", path));
    match table {
        "" => format!("{} = {value}\n", name.trim_end_matches("[]")),
        "module[].handler[]" => format!("[[module]]\n[[module.handler]]\n{name} = {value}\n"),
        "module[]" => format!("[[module]]\n{} = {value}\n", name.trim_end_matches("[]")),
        table => format!("[{table}]\n{name} = {value}\n"),
    }
}

#[test]
fn every_key_of_the_table_is_read_and_its_type_checked() {
    for known in keys() {
        let problems = check(&with_key(known.path, "true")).unwrap_err();
        let path = known.path.trim_end_matches("[]").replace("[]", "[1]");
        let found = problems.iter().find(|problem| problem.key == path).unwrap();
        assert_eq!(found.kind, ProblemKind::WrongType, "{path}");
        assert_eq!(
            found.message,
            format!("expected {}, found true", known.value)
        );
    }
}

#[test]
fn every_required_key_is_missed_and_no_other() {
    let required: Vec<_> = keys()
        .iter()
        .filter(|known| known.default == KeyDefault::Required && known.value == KeyType::Text)
        .map(|known| known.path.replace("[]", "[1]"))
        .collect();
    let problems = check("[[module]]\n[[module.handler]]\n").unwrap_err();
    let missing = problems
        .iter()
        .filter(|problem| problem.message.contains("no default"));
    let mut missing: Vec<_> = missing.map(|problem| problem.key.clone()).collect();
    missing.sort();
    let mut sorted = required;
    sorted.sort();
    assert_eq!(missing, sorted);
}

#[test]
fn every_default_of_the_table_is_what_the_config_has() {
    let complete = "[[module]]\nid = \"m\"\nshared-access-key-file = \"k\"\n";
    let plain = check(&format!("{HUB}{complete}")).unwrap();
    for known in keys() {
        let KeyDefault::Value(default) = known.default else {
            continue;
        };
        let (table, name) = known.path.rsplit_once('.').unwrap();
        let line = format!("{name} = {default:?}\n");
        let text = match table {
            "hub" => format!("{HUB}{line}{complete}"),
            "module[]" => format!("{HUB}{complete}{line}"),
            table => format!("{HUB}[{table}]\n{line}{complete}"),
        };
        assert_eq!(check(&text), Ok(plain.clone()), "{}", known.path);
    }
    assert_eq!(key::default_value("hub.port"), "");
}

proptest! {
    #[test]
    fn any_text_is_a_config_or_has_problems(text in "\\PC*|(?s).*") {
        if let Err(problems) = check(&text) {
            prop_assert!(problems.count() > 0);
            prop_assert!(problems.iter().all(|problem| problem.line != Some(0)));
        }
    }

    #[test]
    fn any_damage_to_a_config_leaves_a_config_or_problems(
        at in 0usize..2_000,
        length in 0usize..40,
        insert in "[\\[\\]=\"'.#\n a-z0-9{},]{0,12}",
    ) {
        let sample = include_str!("../../../../config/examples/certificates.toml");
        let floor = |at: usize| (0..=at.min(sample.len()))
            .rev().find(|at| sample.is_char_boundary(*at)).unwrap_or(0);
        let (start, end) = (floor(at), floor(at + length));
        let damaged = format!("{}{insert}{}", &sample[..start], &sample[end..]);
        if let Err(problems) = check(&damaged) {
            prop_assert!(problems.count() > 0);
            let lines = damaged.lines().count() + 1;
            prop_assert!(problems.iter().all(|problem| problem.line.is_none_or(|line| line <= lines)));
        }
    }
}
