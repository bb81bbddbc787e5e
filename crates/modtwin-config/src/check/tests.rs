//! What the checked config says for good files, and every way to get files wrong.

use std::fmt::Write;
use std::path::PathBuf;
use std::time::Duration;

use modtwin_core::document::Pointer;
use proptest::prelude::*;

use crate::key::{self, KeyDefault, KeyType};
use crate::model::*;
use crate::{Problem, ProblemKind, Problems, Source, keys};

mod table;
mod values;

const HUB: &str = "[hub]\nhostname = \"h\"\ndevice-id = \"d\"\n";

fn source(path: &str, text: &str) -> Source {
    Source { path: PathBuf::from(path), text: text.to_owned() }
}

fn check(text: &str) -> Result<Config, Problems> {
    Config::check(&[source("/etc/modtwin/a.toml", text)])
}

fn file(path: &str) -> FileRef {
    FileRef::Path(PathBuf::from(path))
}

fn pointers(texts: &[&str]) -> Vec<Pointer> {
    texts.iter().map(|text| Pointer::parse(text).unwrap()).collect()
}

/// The problems of a text as lines, without the file's name.
fn complaints(text: &str) -> Vec<String> {
    let problems = Config::check(&[source("a", text)]).unwrap_err();
    problems.iter().map(|problem| problem.to_string().split_off("a:".len())).collect()
}

/// The problems of lines put below a sound hub; lines are counted from the first of them.
fn complaints_below_hub(lines: &str) -> Vec<String> {
    let problems = Config::check(&[source("a", &format!("{HUB}{lines}"))]).unwrap_err();
    let below = HUB.lines().count();
    problems
        .into_iter()
        .map(|problem| {
            let line = problem.line.map(|line| line - below);
            Problem { line, ..problem }.to_string().split_off("a:".len())
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
        token-lifetime = "20min"
        operation-rate = "500/s"
        [socket]
        path = "modtwin.sock"
        admin-group = "operators"
        [state]
        directory = "/srv/modtwin"
        [credentials]
        expiry-warnings = ["14d", "12h"]
        [[module]]
        id = "module01"
        certificate = "module01.pem"
        private-key = "/keys/module01.key"
        private-key-password-file = "credential:password"
        acknowledge = "pnp"
        model-id = "dtmi:com:example:Gate_way2;12"
        method-timeout = "5s"
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
            token_lifetime: Duration::from_secs(1200),
            operations_per_second: 500,
        },
        socket: Socket {
            path: PathBuf::from("/etc/modtwin/modtwin.sock"),
            admin_group: "operators".to_owned(),
        },
        state: State { directory: PathBuf::from("/srv/modtwin") },
        credentials: Credentials {
            expiry_warnings: vec![Duration::from_secs(14 * 86_400), Duration::from_secs(12 * 3600)],
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
        method_timeout: Duration::from_secs(30),
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
            method_timeout: Duration::from_secs(5),
            handlers: vec![
                hvac,
                handler("lights", Principal::Group("lights".to_owned())),
                handler("camera", Principal::Unit("camera@1.service".to_owned())),
            ],
            ..module("module01", x509)
        },
        module("module02", Credential::ConnectionStringFile(file("/etc/modtwin/module02.txt"))),
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
    assert_eq!((config.hub.gateway_hostname, config.hub.trusted_ca), (None, None));
    assert_eq!(config.socket.path, PathBuf::from("/run/modtwin/modtwin.sock"));
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
        ["1: modules: unknown key, did you mean module?", "3: \"a\\nb\": unknown key"]
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
        source("a", "[hub]\nhostname = \"h:1\"\ndevice-id = 7\nport = 0\n[sockt]\n"),
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
        complaints_below_hub(&format!("{module}[[module.handler]]\nname = \"n\"\n{lines}"))
    };
    let one_of = "expected one of user, group and unit";
    assert_eq!(complain(""), [format!("4: module[1].handler[1]: {one_of}, found none")]);
    assert_eq!(
        complain("user = \"u\"\nunit = \"u.service\""),
        [format!("7: module[1].handler[1].unit: excludes user: {one_of}")]
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
        source("/x/conf.d/2.toml", "[hub]\nport = 3\n[socket]\nadmin-group = \"g\"\n"),
    ])
    .unwrap();
    assert_eq!(config.hub.port, 3);
    assert_eq!(config.hub.keep_alive, Duration::from_secs(60));
    assert_eq!(config.socket.path, PathBuf::from("/x/conf.d/s"));
    assert_eq!(config.socket.admin_group, "g");
    let ids: Vec<_> = config.modules.iter().map(|module| module.id.as_str()).collect();
    assert_eq!(ids, ["a", "b"]);
    let keys: Vec<_> = config.modules.into_iter().map(|module| module.credential).collect();
    let key = |path| Credential::SharedAccessKeyFile(file(path));
    assert_eq!(keys, [key("/x/k"), key("/x/conf.d/k")], "each relative to its own file");
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
    assert_eq!(problems.to_string(), "b:2: module[1].id: `m` is taken by the module at a:5");
    // A fault elsewhere in the module does not hide it.
    let problems = Config::check(&[
        source("a", &format!("{HUB}{module}x = 1\n")),
        source("b", &format!("{module}x = 1\n")),
    ])
    .unwrap_err();
    assert_eq!(problems.count(), 3);
    assert!(problems.iter().any(|problem| problem.kind == ProblemKind::Conflict));
}

#[test]
fn twenty_modules_are_taken_and_the_twenty_first_is_not() {
    let mut text = HUB.to_owned();
    for number in 1..=20 {
        writeln!(text, "[[module]]\nid = \"m{number}\"\nshared-access-key-file = \"k\"").unwrap();
    }
    assert_eq!(check(&text).unwrap().modules.len(), 20);
    let more = "[[module]]\nid = \"m21\"\nshared-access-key-file = \"k\"\n";
    let problems = Config::check(&[source("a", &text), source("b", more)]).unwrap_err();
    assert_eq!(problems.to_string(), "b:2: module: expected at most 20 modules, found 21");
}

#[test]
fn a_file_with_broken_syntax_reports_that_and_other_files_are_judged() {
    let problems = Config::check(&[
        source("a", "[hub]\nhostname = \"h\ndevice-id = \"d\"\nport = = 1\nzzz = 1\n"),
        source("b", "[socket]\npaht = \"x\"\n"),
    ])
    .unwrap_err();
    let (syntax, others): (Vec<_>, Vec<_>) =
        problems.iter().partition(|problem| problem.kind == ProblemKind::Syntax);
    let lines: Vec<_> = syntax.iter().map(|problem| problem.line).collect();
    assert!(lines.contains(&Some(2)) && lines.contains(&Some(4)), "{problems}");
    // Nothing is called missing: the broken file may have it.
    let others: Vec<_> = others.iter().map(ToString::to_string).collect();
    assert_eq!(others, ["b:2: socket.paht: unknown key, did you mean path?"]);
}

#[test]
fn a_key_that_is_there_twice_is_broken_syntax() {
    let text = format!("{HUB}port = 1\nport = 2\n");
    let problems = check(&text).unwrap_err();
    assert_eq!(problems.iter().map(|problem| problem.line).collect::<Vec<_>>(), [Some(5)]);
}

#[test]
fn tables_of_the_wrong_shape_are_one_problem_each() {
    for (text, expected) in [
        ("hub = 3\n", "1: hub: expected a table, found the bare number 3"),
        (
            "[hub]\nhostname = \"h\"\ndevice-id = \"d\"\n[module]\nid = \"m\"\n",
            "4: module: expected an array of tables, headed by [[…]], found a table",
        ),
        (
            "module = [1]\n[hub]\nhostname = \"h\"\ndevice-id = \"d\"\n",
            "1: module[1]: expected a table, found the bare number 1",
        ),
        ("[[hub]]\nhostname = \"h\"\n", "1: hub: expected a table, found an array"),
    ] {
        assert_eq!(complaints(text), [expected], "{text}");
    }
}

#[test]
fn an_empty_config_misses_the_hub() {
    let missing = "missing, and has no default";
    let expected = [format!(" hub.hostname: {missing}"), format!(" hub.device-id: {missing}")];
    assert_eq!(complaints(""), expected);
    assert_eq!(Config::check(&[]).unwrap_err().count(), 2);
}
