//! The program itself: its line on stdout, its signals, and a kill that it does not see coming.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use super::support::{Client, Https, Login, VERSION, module_token, now, service_token};

pub(crate) struct Program {
    child: Child,
    pub(crate) facts: Value,
}

impl Program {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_iothub-emulator"));
        command.args(arguments);
        Self::run(command)
    }

    /// Starts the program as `command` says, on free ports.
    pub(crate) fn run(mut command: Command) -> Self {
        let mut child = command
            .args(["--mqtt-port", "0", "--https-port", "0"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("started");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("stdout")).read_line(&mut line).expect("a line");
        let facts = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        Self { child, facts }
    }

    pub(crate) fn in_folder(folder: &Path) -> Self {
        Self::start(&["--dir", folder.to_str().expect("text")])
    }

    pub(crate) fn port(&self, name: &str) -> u16 {
        self.facts[name].as_u64().and_then(|port| port.try_into().ok()).expect("a port")
    }

    pub(crate) fn https(&self) -> Https {
        Https::new(
            ([127, 0, 0, 1], self.port("https_port")).into(),
            &std::fs::read(self.facts["ca"].as_str().expect("a path")).expect("read"),
        )
    }

    pub(crate) async fn service(&self, method: &str, path: &str, body: Value) -> Value {
        let string = self.facts["service_connection_string"].as_str().expect("a text");
        let token = service_token(string, now() + 60);
        let path = format!("{path}?api-version={VERSION}");
        let answer =
            self.https().call(method, &path, &[("authorization", &token)], body.to_string()).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body
    }

    pub(crate) fn end(mut self, signal: Signal) -> (Option<i32>, String) {
        kill(Pid::from_raw(self.child.id().try_into().expect("a pid")), signal).expect("signalled");
        let status = self.child.wait().expect("ended");
        let mut errors = String::new();
        self.child.stderr.take().expect("stderr").read_to_string(&mut errors).expect("text");
        (status.code(), errors)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn the_line_on_stdout_and_the_file_say_the_same() {
    let folder = tempfile::tempdir().expect("a folder");
    let program = Program::in_folder(folder.path());
    let file = std::fs::read(folder.path().join("emulator.json")).expect("the file");
    assert_eq!(serde_json::from_slice::<Value>(&file).expect("JSON"), program.facts);
    let members: Vec<&str> =
        program.facts.as_object().expect("an object").keys().map(String::as_str).collect();
    let expected =
        ["ca", "hostname", "https_port", "listen", "mqtt_port", "service_connection_string"];
    assert_eq!(members, expected);
    assert_eq!(
        (&program.facts["hostname"], &program.facts["listen"]),
        (&json!("localhost"), &json!("127.0.0.1"))
    );
    let string = program.facts["service_connection_string"].as_str().expect("a text");
    assert!(
        string.starts_with("HostName=localhost;SharedAccessKeyName=iothubowner;SharedAccessKey="),
        "{string}"
    );
}

#[tokio::test]
async fn sigterm_and_sigint_end_it_well_and_leave_no_temporary_folder() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let program = Program::start(&[]);
        let ca = program.facts["ca"].as_str().expect("a path").to_owned();
        assert!(Path::new(&ca).exists());
        assert_eq!(program.end(signal), (Some(0), String::new()), "{signal}");
        assert!(!Path::new(&ca).parent().expect("a folder").exists());
    }
}

#[tokio::test]
async fn kill_9_loses_nothing_that_was_answered() {
    let folder = tempfile::tempdir().expect("a folder");
    let program = Program::in_folder(folder.path());
    program.service("PUT", "/devices/gw", json!({})).await;
    let made = program.service("PUT", "/devices/gw/modules/m", json!({})).await;
    let key = made["authentication"]["symmetricKey"]["primaryKey"].as_str().expect("a key");
    let login = Login::module("gw", "m").with_token(&module_token(key, "gw", "m", now() + 600));
    let mut client = Client::connect(program.port("mqtt_port"), &login).await.expect("admitted");
    client.subscribe_twin().await;
    let mut last = String::new();
    for index in 0..50 {
        last = client.report("1", json!({"n": index}).to_string()).await.0;
        let body = json!({"properties": {"desired": {"n": index}}});
        program.service("PATCH", "/twins/gw/modules/m", body).await;
    }
    assert_eq!(last, "$iothub/twin/res/204/?$rid=1&$version=51");
    let (code, _) = program.end(Signal::SIGKILL);
    assert_eq!(code, None);

    let program = Program::in_folder(folder.path());
    let twin = program.service("GET", "/twins/gw/modules/m", Value::Null).await;
    for section in ["desired", "reported"] {
        let section = &twin["properties"][section];
        assert_eq!((&section["n"], &section["$version"]), (&json!(49), &json!(51)));
    }
    let mut client =
        Client::connect(program.port("mqtt_port"), &login).await.expect("the same key");
    assert!(client.session_present);
    assert_eq!(client.twin().await["desired"], json!({"n": 49, "$version": 51}));
}

#[tokio::test]
async fn max_modules_and_hostname_are_what_the_arguments_say() {
    let program =
        Program::start(&["--max-modules", "1", "--hostname", "127.0.0.1", "--listen", "127.0.0.1"]);
    assert_eq!(program.facts["hostname"], "127.0.0.1");
    program.service("PUT", "/devices/gw", json!({})).await;
    program.service("PUT", "/devices/gw/modules/a", json!({})).await;
    let string = program.facts["service_connection_string"].as_str().expect("a text");
    let token = service_token(string, now() + 60);
    let path = format!("/devices/gw/modules/b?api-version={VERSION}");
    let answer =
        program.https().call("PUT", &path, &[("authorization", &token)], "{}".to_owned()).await;
    assert_eq!(answer.status, 413);
}

#[test]
fn help_teaches_and_bad_arguments_are_refused() {
    let run = |argument: &str| {
        Command::new(env!("CARGO_BIN_EXE_iothub-emulator")).arg(argument).output().expect("run")
    };
    let help = run("--help");
    let text = String::from_utf8(help.stdout).expect("text");
    let parts = [
        "--dir",
        "--seed",
        "--tier",
        "--scenario",
        "export-ca",
        "connection-string --dir hub --create gw01 cam",
        "emulator/v1/faults",
        "Not imitated",
        "certificateAuthority",
    ];
    for part in parts {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert_eq!(run("--colour").status.code(), Some(2));
}
