//! The program's errands and its arguments: the CA, connection strings, scenarios with mistakes, an ordinary user.

use std::path::Path;
use std::process::{Command, Output};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::program::Program;
use super::support::{Client, Login, module_token, now};

fn errand(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_iothub-emulator")).args(arguments).output().expect("run")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}

fn path(path: &Path) -> &str {
    path.to_str().expect("text")
}

#[tokio::test]
async fn the_ca_is_exported_while_it_runs_and_afterwards() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = path(folder.path());
    let none = errand(&["export-ca", "--dir", dir]);
    assert_eq!(none.status.code(), Some(1));
    let said = text(&none.stderr);
    assert!(
        said.contains("ca.pem") && said.contains(&format!("iothub-emulator --dir {dir}")),
        "{said}"
    );
    let program = Program::in_folder(folder.path());
    let expected = std::fs::read(folder.path().join("ca.pem")).expect("the CA");
    let running = errand(&["export-ca", "--dir", dir]);
    assert_eq!((running.status.code(), &running.stdout), (Some(0), &expected));
    program.end(Signal::SIGTERM);
    let output = folder.path().join("copy.pem");
    let stopped = errand(&["export-ca", "--dir", dir, "--output", path(&output)]);
    assert_eq!((stopped.status.code(), stopped.stdout.as_slice()), (Some(0), &b""[..]));
    assert_eq!(std::fs::read(&output).expect("written"), expected);
    std::fs::write(folder.path().join("ca.pem"), "nonsense").expect("written");
    let damaged = errand(&["export-ca", "--dir", dir]);
    assert_eq!((damaged.status.code(), damaged.stdout.as_slice()), (Some(1), &b""[..]));
    assert!(text(&damaged.stderr).contains("expected a certificate in"), "{damaged:?}");
}

#[tokio::test]
async fn a_printed_connection_string_is_good_for_a_login() {
    let folder = tempfile::tempdir().expect("a folder");
    let program = Program::in_folder(folder.path());
    let dir = path(folder.path());
    let unknown = errand(&["connection-string", "--dir", dir, "gw01", "cam"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(
        text(&unknown.stderr).contains("`gw01` is unknown to the hub: add --create"),
        "{unknown:?}"
    );
    let made = errand(&["connection-string", "--dir", dir, "--create", "gw01", "cam"]);
    let string = text(&made.stdout);
    let key = string
        .trim_end()
        .strip_prefix("HostName=localhost;DeviceId=gw01;ModuleId=cam;SharedAccessKey=");
    let key = key.unwrap_or_else(|| panic!("{string} {}", text(&made.stderr)));
    assert!(text(&made.stderr).contains(&format!("MQTT on port {}", program.port("mqtt_port"))));
    let login =
        Login::module("gw01", "cam").with_token(&module_token(key, "gw01", "cam", now() + 60));
    assert!(Client::connect(program.port("mqtt_port"), &login).await.is_ok());
    let again = errand(&["connection-string", "--dir", dir, "--create", "gw01", "cam"]);
    assert_eq!(text(&again.stdout), string, "what is there is not made anew");
    let secondary =
        text(&errand(&["connection-string", "--dir", dir, "--secondary", "gw01", "cam"]).stdout);
    assert!(secondary.starts_with("HostName=") && secondary != string, "{secondary}");
    let device = text(&errand(&["connection-string", "--dir", dir, "gw01"]).stdout);
    assert!(device.starts_with("HostName=localhost;DeviceId=gw01;SharedAccessKey="), "{device}");
    let service = text(&errand(&["connection-string", "--dir", dir]).stdout);
    assert_eq!(Some(service.trim_end()), program.facts["service_connection_string"].as_str());
}

#[tokio::test]
async fn certificates_odd_ids_and_stopped_hubs_have_their_answers() {
    let folder = tempfile::tempdir().expect("a folder");
    let program = Program::in_folder(folder.path());
    let dir = path(folder.path());
    let string =
        |arguments: &[&str]| errand(&[&["connection-string", "--dir", dir], arguments].concat());
    let body = json!({"authentication": {"type": "certificateAuthority"}});
    program.service("PUT", "/devices/gw", json!({})).await;
    program.service("PUT", "/devices/gw/modules/x", body).await;
    assert_eq!(
        text(&string(&["gw", "x"]).stdout),
        "HostName=localhost;DeviceId=gw;ModuleId=x;x509=true\n"
    );
    let odd = string(&["--create", "a+b%_@;", "m"]);
    assert!(
        text(&odd.stdout).starts_with("HostName=localhost;DeviceId=a+b%_@;;ModuleId=m;"),
        "{odd:?}"
    );
    let illegal = string(&["--create", "a b"]);
    assert_eq!(illegal.status.code(), Some(1));
    assert!(
        text(&illegal.stderr).contains("400") && text(&illegal.stderr).contains("illegal id"),
        "{illegal:?}"
    );
    assert_eq!(string(&["--create"]).status.code(), Some(2), "nobody to create");
    program.end(Signal::SIGTERM);
    let stopped = string(&["gw"]);
    assert_eq!(stopped.status.code(), Some(1));
    assert!(text(&stopped.stderr).contains("no emulator runs in"), "{stopped:?}");
}

#[test]
fn a_scenario_with_mistakes_starts_nothing_and_names_them_all() {
    let folder = tempfile::tempdir().expect("a folder");
    let (dir, file) = (folder.path().join("hub"), folder.path().join("bad.toml"));
    std::fs::write(
        &file,
        "[[step]]\nat = \"1s\"\nkind = \"dorp\"\n[[step]]\nwhen = \"1s\"\nkind = \"drop\"\n",
    )
    .expect("written");
    let refused = errand(&["--dir", path(&dir), "--scenario", path(&file)]);
    let said = text(&refused.stderr);
    assert_eq!((refused.status.code(), refused.stdout.as_slice()), (Some(1), &b""[..]));
    for part in [
        "bad.toml:3: `kind`: unknown kind `dorp`, did you mean `drop`?",
        "bad.toml:4: `at`",
        "bad.toml:5: unknown key `when`",
    ] {
        assert!(said.contains(part), "{part} in {said}");
    }
    assert!(!dir.exists(), "nothing was made");
    let missing = errand(&["--scenario", path(&folder.path().join("none.toml"))]);
    assert!(text(&missing.stderr).contains("cannot read scenario"), "{missing:?}");
}

#[test]
fn tiers_that_do_not_exist_are_refused() {
    for (arguments, code, part) in [
        (&["--tier", "b1"][..], 2, "f1, s1, s2, s3"),
        (&["--units", "2"][..], 2, "--tier"),
        (&["--tier", "f1", "--units", "2"][..], 1, "expected 1 to 1 units of tier f1, found 2"),
    ] {
        let refused = errand(arguments);
        assert_eq!(refused.status.code(), Some(code), "{arguments:?}");
        assert!(text(&refused.stderr).contains(part), "{refused:?}");
    }
}

#[tokio::test]
async fn a_tier_and_a_scenario_are_what_the_arguments_say() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("s.toml");
    std::fs::write(&file, "[[step]]\nat = \"0s\"\nkind = \"refuse\"\n").expect("written");
    let program = Program::start(&["--tier", "S2", "--units", "3", "--scenario", path(&file)]);
    let call = async |name: &str| {
        program.https().call("GET", &format!("/emulator/v1/{name}"), &[], String::new()).await.body
    };
    let stats = call("stats").await;
    assert_eq!(
        (&stats["throttle"]["tier"], &stats["throttle"]["units"]),
        (&json!("s2"), &json!(3))
    );
    super::support::eventually("the step happens", async || {
        call("faults").await[0]["kind"] == "refuse"
    })
    .await;
}

/// As root, everything is done by another user; otherwise the user is an ordinary one already.
#[tokio::test]
async fn an_ordinary_user_needs_nothing_special() {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).expect("set");
    // A copy, as the checkout may be out of the other user's reach.
    let (program, dir) = (folder.path().join("iothub-emulator"), folder.path().join("hub"));
    std::fs::copy(env!("CARGO_BIN_EXE_iothub-emulator"), &program).expect("copied");
    std::fs::create_dir(&dir).expect("made");
    let is_root = nix::unistd::Uid::effective().is_root();
    if is_root {
        let (user, group) =
            (nix::unistd::Uid::from_raw(NOBODY), nix::unistd::Gid::from_raw(NOBODY));
        nix::unistd::chown(&dir, Some(user), Some(group)).expect("given away");
    }
    let command = |arguments: &[&str]| {
        let mut command = Command::new(&program);
        command.args(arguments).current_dir(&dir).env_clear();
        if is_root {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    };
    let running = Program::run(command(&["--dir", path(&dir)]));
    let order = ["connection-string", "--dir", path(&dir), "--create", "gw", "m"];
    let made = command(&order).output().expect("run");
    assert!(text(&made.stdout).contains("ModuleId=m;SharedAccessKey="), "{made:?}");
    let twin = running.service("GET", "/twins/gw/modules/m", Value::Null).await;
    assert_eq!(twin["moduleId"], "m");
    assert_eq!(running.end(Signal::SIGTERM), (Some(0), String::new()));
    assert!(command(&["export-ca", "--dir", path(&dir)]).output().expect("run").status.success());
}

/// The user that owns nothing.
const NOBODY: u32 = 65_534;
