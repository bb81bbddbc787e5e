//! `hub` against the real emulator: identities, twins, methods, and creating many at once.
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

#[expect(dead_code, reason = "each test file uses its share")]
mod program;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use modtwin_testkit::hub::Hub;
use program::{Ran, modtwinctl};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A hub, and a folder to work in.
struct Bench {
    hub: Hub,
    folder: TempDir,
}

impl Bench {
    async fn new() -> Self {
        Self::with(&[]).await
    }

    /// The same with more arguments for the hub.
    async fn with(arguments: &[&str]) -> Self {
        let hub = Hub::start_with(&std::env::temp_dir(), arguments).await.unwrap();
        Self { hub, folder: tempfile::tempdir().unwrap() }
    }

    fn emulator(&self) -> PathBuf {
        self.hub.facts.ca.parent().unwrap().to_owned()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs the program in the folder, without a hub in the environment.
    fn bare(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Ran {
        let mut command = modtwinctl(Path::new("/nowhere/modtwin.sock"), arguments);
        command
            .env_remove("IOTHUB_CONNECTION_STRING")
            .env_remove("IOTHUB_EMULATOR")
            .envs(environment.iter().copied());
        command.current_dir(self.folder.path()).output().unwrap().into()
    }

    /// Runs `hub` with the emulator's folder.
    fn hub(&self, arguments: &[&str]) -> Ran {
        let emulator = self.emulator();
        let mut all = vec!["hub", "--emulator", emulator.to_str().unwrap()];
        all.extend(arguments);
        self.bare(&all, &[])
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let mut all = vec!["--json"];
        all.extend(arguments);
        let ran = self.hub(&all);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        ran.json()
    }

    /// Writes a gateway's config with these modules' tables.
    fn config(&self, name: &str, device: &str, modules: &str) {
        let text = format!("[hub]\nhostname = \"localhost\"\ndevice-id = \"{device}\"\n{modules}");
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

#[tokio::test]
async fn a_device_lives_from_create_to_delete() {
    let bench = Bench::new().await;
    let made = bench.hub(&["device", "create", "d1"]);
    assert!(made.success().contains("connection string  HostName=localhost;DeviceId=d1;Shared"));
    assert!(bench.hub(&["device", "create", "d1"]).failure(1).contains("DeviceAlreadyExists"));
    let key = |found: &Value| found["authentication"]["symmetricKey"]["primaryKey"].clone();
    let before = bench.json(&["device", "show", "d1"]);
    let said = bench.hub(&["device", "disable", "d1", "--reason", "stolen"]);
    assert_eq!(said.success(), "d1 is disabled\n");
    let disabled = bench.json(&["device", "show", "d1"]);
    assert_eq!(
        (&disabled["status"], &disabled["statusReason"]),
        (&json!("disabled"), &json!("stolen"))
    );
    bench.hub(&["device", "enable", "d1"]).success();
    assert_eq!(key(&bench.json(&["device", "show", "d1"])), key(&before), "the keys stay");
    assert_eq!(bench.json(&["device", "list"]).as_array().unwrap().len(), 1);
    bench.hub(&["device", "delete", "d1"]).success();
    assert!(bench.hub(&["device", "show", "d1"]).failure(1).contains("hub device create"));
}

#[tokio::test]
async fn modules_of_every_kind_print_the_portals_connection_string() {
    let bench = Bench::new().await;
    let none = bench.hub(&["module", "create", "d1", "m1"]);
    assert!(none.failure(77).contains("the module's device does not exist or is disabled"));
    bench.hub(&["device", "create", "d1"]).success();

    let keyed = bench.hub(&["module", "create", "d1", "m1"]);
    let string = "HostName=localhost;DeviceId=d1;ModuleId=m1;SharedAccessKey=";
    assert!(keyed.success().contains(string), "{keyed:?}");
    let again = bench.hub(&["module", "create", "d1", "m1"]);
    assert!(again.failure(1).contains("ModuleAlreadyExistsOnDevice, 409301"), "{again:?}");

    bench.bare(&["cert", "self-signed", "--device", "d1", "--module", "m2"], &[]).success();
    let made = bench.hub(&["module", "create", "d1", "m2", "--certificate", "m2.pem"]);
    assert!(made.success().contains("DeviceId=d1;ModuleId=m2;x509=true"));
    let shown = bench.bare(&["--json", "cert", "show", "m2.pem"], &[]).json();
    let found = bench.json(&["module", "show", "d1", "m2"]);
    let registered = |found: &Value, which: &str| {
        found["authentication"]["x509Thumbprint"][format!("{which}Thumbprint")].clone()
    };
    assert_eq!(registered(&found, "primary"), shown["thumbprint_sha256"]);

    // The roll-over: a second certificate beside the first, then alone.
    let second = "AB".repeat(32);
    let update = ["module", "update", "d1", "m2", "--secondary-thumbprint", &second];
    bench.hub(&update).success();
    let found = bench.json(&["module", "show", "d1", "m2"]);
    assert_eq!(registered(&found, "primary"), shown["thumbprint_sha256"]);
    assert_eq!(registered(&found, "secondary"), json!(second));

    let made = bench.hub(&["module", "create", "d1", "m3", "--by-authority"]);
    assert!(made.success().contains("certificateAuthority"));
    let list = bench.hub(&["module", "list", "d1"]);
    assert_eq!(list.success().lines().count(), 3);

    bench.hub(&["module", "create", "d1", "m4", "--out", "m4.txt"]).success();
    let mode = fs::metadata(bench.path("m4.txt")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let text = fs::read_to_string(bench.path("m4.txt")).unwrap();
    assert!(text.starts_with("HostName=localhost;DeviceId=d1;ModuleId=m4;SharedAccessKey="));
    let taken = bench.hub(&["module", "create", "d1", "m5", "--out", "m4.txt"]);
    assert!(taken.failure(1).contains("exists already"));
    let absent = bench.hub(&["module", "show", "d1", "m5"]);
    assert!(absent.failure(1).contains("ModuleNotFound"), "no identity without its key");
    bench.hub(&["module", "delete", "d1", "m4"]).success();
}

#[tokio::test]
async fn a_twin_is_shown_patched_and_replaced_with_if_match() {
    let bench = Bench::new().await;
    bench.hub(&["device", "create", "d1"]).success();
    bench.hub(&["module", "create", "d1", "m1"]).success();
    let patched = bench.json(&["twin", "patch", "d1", "m1", "target=21", "mode.fan=on"]);
    let etag = patched["etag"].as_str().unwrap().to_owned();
    assert_eq!(patched["properties"]["desired"]["mode"]["fan"], "on");
    bench.hub(&["twin", "patch", "d1", "m1", "--tags", "site=north"]).success();
    let stale = bench.hub(&["twin", "patch", "d1", "m1", "a=1", "--if-match", &etag]);
    assert!(stale.failure(1).contains("it has changed since; read it again"), "{stale:?}");
    let replaced = bench.json(&["twin", "replace", "d1", "m1", "{\"only\":1}"]);
    assert_eq!(replaced["properties"]["desired"]["only"], 1);
    assert!(replaced["properties"]["desired"].get("target").is_none());
    assert_eq!(replaced["tags"]["site"], "north", "the tags stay");
    let etag = replaced["etag"].as_str().unwrap();
    bench.hub(&["twin", "replace", "d1", "m1", "{\"b\":2}", "--if-match", etag]).success();
    let shown = bench.hub(&["twin", "show", "d1", "m1"]);
    assert!(shown.success().contains("\"b\": 2"));
    assert!(bench.hub(&["twin", "show", "d1", "M1"]).failure(1).contains("upper and lower case"));
}

#[tokio::test]
async fn a_method_of_a_module_that_is_away_is_explained() {
    let bench = Bench::new().await;
    bench.hub(&["device", "create", "d1"]).success();
    bench.hub(&["module", "create", "d1", "m1"]).success();
    let away = bench.hub(&["method", "d1", "m1", "reboot", "{\"in\":5}", "--timeout", "5s"]);
    let said = away.failure(1);
    assert!(said.contains("(DeviceNotOnline, 404103)"), "{said}");
    assert!(said.contains("not connected, or takes no methods"), "{said}");
    assert!(bench.hub(&["method", "d1", "m1", "x", "{"]).failure(64).contains("expected JSON"));
    assert!(
        bench.hub(&["method", "d1", "m1", "x", "--timeout", "1s"]).failure(64).contains("5s to")
    );
}

#[tokio::test]
async fn the_connection_string_comes_from_three_places_and_is_never_echoed() {
    let bench = Bench::new().await;
    let facts = &bench.hub.facts;
    let string = facts
        .service_connection_string
        .replace("HostName=localhost", &format!("HostName=localhost:{}", facts.https_port));
    let key = string.split("SharedAccessKey=").nth(1).unwrap().to_owned();
    let ca = facts.ca.to_str().unwrap().to_owned();
    fs::write(bench.path("service.txt"), format!("{string}\n")).unwrap();
    let list = ["hub", "--ca", &ca, "device", "list"];
    let from_environment = bench.bare(&list, &[("IOTHUB_CONNECTION_STRING", &string)]);
    from_environment.success();
    let file = ["hub", "--ca", &ca, "--connection-string-file", "service.txt", "device", "list"];
    bench.bare(&file, &[("IOTHUB_CONNECTION_STRING", "not this one")]).success();
    let argument = ["hub", "--ca", &ca, "--connection-string", &string, "device", "list"];
    bench.bare(&argument, &[]).success();

    let emulator = bench.emulator();
    let emulator = emulator.to_str().unwrap();
    bench.bare(&["hub", "device", "list"], &[("IOTHUB_EMULATOR", emulator)]).success();
    let both = [("IOTHUB_EMULATOR", emulator), ("IOTHUB_CONNECTION_STRING", &string)];
    assert!(bench.bare(&list, &both).failure(64).contains("both set"));
    let two = ["hub", "--emulator", emulator, "--connection-string-file", "x", "device", "list"];
    assert!(bench.bare(&two, &[]).failure(64).contains("exclude each other"));
    let nothing = bench.bare(&list, &[]);
    assert!(nothing.failure(64).contains("no hub: give"));
    let wrong = string.replace(&key, "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=");
    let refused = bench.bare(&list, &[("IOTHUB_CONNECTION_STRING", &wrong)]);
    assert!(refused.failure(77).contains("key or policy does not allow it"), "{refused:?}");
    // No authority that is trusted signed the emulator's certificate.
    let untrusted =
        bench.bare(&["hub", "device", "list"], &[("IOTHUB_CONNECTION_STRING", &string)]);
    assert!(untrusted.failure(69).contains("is not trusted"), "{untrusted:?}");
    let broken = string.replace(&key, "s3cret");
    let help = bench.bare(&["hub", "--help"], &[("IOTHUB_CONNECTION_STRING", &string)]);
    let broken = bench.bare(&list, &[("IOTHUB_CONNECTION_STRING", &broken)]);
    for ran in [&from_environment, &nothing, &refused, &untrusted, &broken, &help] {
        let said = format!("{ran:?}");
        assert!(!said.contains(&key) && !said.contains("s3cret"), "{said}");
    }
}

#[tokio::test]
async fn apply_shows_its_plan_creates_what_is_missing_and_can_be_repeated() {
    let bench = Bench::new().await;
    bench.bare(&["cert", "self-signed", "--device", "g1", "--module", "own"], &[]).success();
    let modules = "[[module]]\nid = \"own\"\ncertificate = \"own.pem\"\nprivate-key = \"own.key\"\n\
                   [[module]]\nid = \"string\"\nconnection-string-file = \"string.txt\"\n\
                   [[module]]\nid = \"key\"\nshared-access-key-file = \"key.txt\"\n";
    bench.config("g1.toml", "g1", modules);
    let dry = bench.hub(&["apply", "g1.toml", "--dry-run"]);
    let plan = dry.success();
    for part in [
        "+ device g1",
        "+ module g1/own (selfSigned)",
        "+ module g1/string (sas) -> ",
        "1 device and 3 modules to create; 0 are there",
    ] {
        assert!(plan.contains(part), "{plan}");
    }
    let unasked = bench.hub(&["apply", "g1.toml"]);
    assert_eq!(unasked.code, Some(64), "{unasked:?}");
    assert_eq!(bench.json(&["device", "list"]), json!([]), "nothing was done");

    let done = bench.json(&["apply", "g1.toml", "--yes", "--rate", "60000"]);
    assert_eq!((&done["devices_created"], &done["modules_created"]), (&json!(1), &json!(3)));
    assert_eq!(done["secrets_written"], 2);
    for name in ["string.txt", "key.txt"] {
        let mode = fs::metadata(bench.path(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    let again = bench.hub(&["apply", "g1.toml", "--yes"]);
    assert_eq!(again.success(), "nothing to do: 1 device and 3 modules are there\n");

    // A lost file is written again; what differs is told and left alone.
    fs::remove_file(bench.path("key.txt")).unwrap();
    bench.hub(&["module", "delete", "g1", "own"]).success();
    bench.hub(&["module", "create", "g1", "own"]).success();
    let third = bench.hub(&["apply", "g1.toml", "--yes"]);
    assert!(third.success().contains("! g1/own: expected authentication selfSigned, found sas"));
    let key = fs::read_to_string(bench.path("key.txt")).unwrap();
    let found = bench.json(&["module", "show", "g1", "key"]);
    assert_eq!(found["authentication"]["symmetricKey"]["primaryKey"], key.trim());
}

#[tokio::test]
async fn apply_takes_folders_and_lists_and_tells_every_problem_at_once() {
    let bench = Bench::new().await;
    for n in 1..=3 {
        let module = "[[module]]\nid = \"m\"\ncertificate = \"m.pem\"\nprivate-key = \"m.key\"\n";
        bench.config(&format!("fleet/g{n}/modtwind.toml"), &format!("g{n}"), module);
    }
    let early = bench.hub(&["apply", "fleet", "--yes"]);
    assert_eq!((early.code, early.stderr.lines().count()), (Some(78), 3), "{early:?}");
    let fleet = ["apply", "fleet", "--yes", "--x509", "authority", "--rate", "60000"];
    assert_eq!(bench.json(&fleet)["modules_created"], 3);

    let thumbprint = "0a".repeat(20);
    let list = format!(
        "device,module,authentication,thumbprint\ng1,m,authority,\ng4,a,,\ng4,b,,{thumbprint}\ng5,,,\n"
    );
    fs::write(bench.path("list.csv"), list).unwrap();
    let done = bench.json(&["apply", "list.csv", "--yes", "--rate", "60000"]);
    assert_eq!((&done["devices_created"], &done["modules_created"]), (&json!(2), &json!(2)));
    assert_eq!(done["already_there"], 1);

    let bad = "device,module,authentication,thumbprint\ng/1,m,,\ng1,m#,,\ng1,n,magic,\ng1,o,thumbprint,\n\
               g1,p,,zz\ng1,q,,\ng1,q,,\n";
    fs::write(bench.path("bad.csv"), bad).unwrap();
    let refused = bench.hub(&["apply", "bad.csv", "--yes"]);
    assert_eq!((refused.code, refused.stderr.lines().count()), (Some(78), 6), "{refused:?}");
    fs::write(bench.path("head.csv"), "gerät,modul\na,b\n").unwrap();
    assert!(bench.hub(&["apply", "head.csv", "--yes"]).failure(78).contains("head.csv"));

    bench.config("other.toml", "g9", "");
    let text = fs::read_to_string(bench.path("other.toml")).unwrap();
    fs::write(bench.path("other.toml"), text.replace("localhost", "other.example")).unwrap();
    let other = bench.hub(&["apply", "other.toml", "--yes"]);
    assert!(other.failure(78).contains("expected `localhost`"), "{other:?}");
    assert!(bench.hub(&["apply", "nowhere", "--yes"]).failure(78).contains("cannot read"));
}

#[tokio::test]
async fn apply_to_a_fleet_keeps_its_rate_and_goes_on_where_it_was_cut() {
    const GATEWAYS: usize = 20;
    const MODULES: usize = 20;
    // Of the 5000 calls a minute that an S1 hub of that many units takes.
    const RATE: u32 = 3000;
    let bench = Bench::with(&["--tier", "s1", "--units", "50"]).await;
    for g in 1..=GATEWAYS {
        let modules = (1..=MODULES)
            .map(|m| format!("[[module]]\nid = \"m{m}\"\nconnection-string-file = \"m{m}.txt\"\n"));
        bench.config(
            &format!("fleet/g{g}/modtwind.toml"),
            &format!("g{g}"),
            &modules.collect::<String>(),
        );
    }
    let emulator = bench.emulator();
    let rate = RATE.to_string();
    let apply = ["--json", "hub", "--emulator", emulator.to_str().unwrap(), "apply", "fleet"];
    let apply = [&apply[..], &["--yes", "--rate", &rate]].concat();
    let secrets = || {
        let files =
            (1..=GATEWAYS).flat_map(|g| (1..=MODULES).map(move |m| format!("fleet/g{g}/m{m}.txt")));
        files.filter(|file| bench.path(file).metadata().is_ok_and(|found| found.len() > 0)).count()
    };
    // Killed in the middle, twice.
    for cut_at in [50, 150] {
        let began = Instant::now();
        let before = secrets();
        let mut command = modtwinctl(Path::new("/nowhere/modtwin.sock"), &apply);
        let mut running = command.current_dir(bench.folder.path()).spawn().unwrap();
        program::eventually("the fleet is half made", || secrets() >= cut_at);
        let took = began.elapsed();
        running.kill().unwrap();
        running.wait().unwrap();
        let made = u32::try_from(cut_at - before).unwrap();
        let least = Duration::from_secs(60) / RATE * made;
        assert!(took >= least, "{made} calls in {took:?}, which should take {least:?}");
    }
    let begun = secrets();
    assert!(begun < GATEWAYS * MODULES);
    let done = bench.bare(&apply, &[]).json();
    assert_eq!(done["failed"], json!([]));
    let there = done["already_there"].as_u64().unwrap() + done["modules_created"].as_u64().unwrap();
    assert_eq!(there, 400);
    assert!(done["already_there"].as_u64().unwrap() >= 150, "it began anew");
    assert_eq!(secrets(), GATEWAYS * MODULES);
    assert_eq!(bench.json(&["device", "list"]).as_array().unwrap().len(), GATEWAYS);
    for g in [1, GATEWAYS] {
        let modules = bench.json(&["module", "list", &format!("g{g}")]);
        assert_eq!(modules.as_array().unwrap().len(), MODULES);
    }
    assert!(bench.bare(&apply, &[]).stdout.contains("\"modules_created\":0"));
    let stats = bench.hub.service().unwrap().stats().await.unwrap();
    let meter = &stats["throttle"]["meters"]["registry"];
    assert!(meter["passed"].as_u64().unwrap() > 420, "{meter}");
    assert_eq!((&meter["delayed"], &meter["refused"]), (&json!(0), &json!(0)));
}
