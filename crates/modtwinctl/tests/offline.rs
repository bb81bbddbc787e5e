//! `csr` and `validate`: files in, files and findings out, no daemon anywhere.
#![expect(clippy::unwrap_used, reason = "helpers of tests may fail the test")]

#[expect(dead_code, reason = "each test file uses its share")]
mod program;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use modtwin_credentials::authority::CertificateAuthority;
use modtwin_credentials::request::KeyKind;
use program::{Ran, modtwinctl};
use tempfile::TempDir;

const DAY: Duration = Duration::from_secs(86_400);

/// A folder with a config, and an authority that signs for its modules.
struct Gateway {
    folder: TempDir,
    authority: CertificateAuthority,
}

impl Gateway {
    fn new() -> Self {
        let now = SystemTime::now();
        let authority =
            CertificateAuthority::create("test", KeyKind::EcP256, now - 9 * DAY..now + 9 * DAY);
        Self { folder: tempfile::tempdir().unwrap(), authority: authority.unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs the program in the folder.
    fn run(&self, arguments: &[&str]) -> Ran {
        let mut command: Command = modtwinctl(Path::new("/nowhere/modtwin.sock"), arguments);
        command.current_dir(self.folder.path()).output().unwrap().into()
    }

    /// Makes key and certificate of a module, its certificate good until `days` from now.
    fn module(&self, module: &str, days: i64, kind: &str) {
        let request = format!("{module}.csr");
        self.run(&["csr", "--device", "d", "--module", module, "--out", &request, "--kind", kind])
            .success();
        let now = SystemTime::now();
        let end = match u32::try_from(days) {
            Ok(ahead) => now + ahead * DAY,
            Err(_) => now - u32::try_from(-days).unwrap() * DAY,
        };
        let request = fs::read(self.path(&request)).unwrap();
        let certificate = self.authority.sign_csr(&request, now - 5 * DAY..end).unwrap();
        fs::write(self.path(&format!("{module}.pem")), certificate).unwrap();
    }

    /// Writes the config: the head, then these modules with their usual files.
    fn config(&self, modules: &[&str], more: &str) {
        let mut text = "[hub]\nhostname = \"h.example\"\ndevice-id = \"d\"\n".to_owned();
        for module in modules {
            text += &format!(
                "[[module]]\nid = \"{module}\"\ncertificate = \"{module}.pem\"\n\
                 private-key = \"{module}.key\"\n"
            );
        }
        fs::write(self.path("modtwind.toml"), text + more).unwrap();
    }

    fn validate(&self) -> Ran {
        self.run(&["validate", "--config", "modtwind.toml"])
    }
}

#[test]
fn requests_become_certificates_that_validate_takes_ec_and_rsa() {
    let gateway = Gateway::new();
    gateway.module("ec", 5, "ec");
    gateway.module("rsa", 5, "rsa");
    gateway.config(&["ec", "rsa"], "");
    assert_eq!(gateway.validate().success(), "modtwind.toml: valid, 2 modules\n");
    let mode = fs::metadata(gateway.path("ec.key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_request_goes_to_standard_output_and_leaves_the_key_in_its_file() {
    let gateway = Gateway::new();
    let ran = gateway.run(&["csr", "--device", "d", "--module", "m"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stdout.starts_with("-----BEGIN CERTIFICATE REQUEST-----\n"), "{ran:?}");
    assert!(ran.stdout.ends_with("-----END CERTIFICATE REQUEST-----\n"), "{ran:?}");
    assert_eq!(ran.stderr, "modtwinctl: private key written to `m.key`\n");
    let key = fs::read_to_string(gateway.path("m.key")).unwrap();
    assert!(key.starts_with("-----BEGIN PRIVATE KEY-----"));
}

#[test]
fn a_key_is_never_overwritten_unless_forced_and_may_be_used_again() {
    let gateway = Gateway::new();
    let csr = ["csr", "--device", "d", "--module", "m", "--json"];
    let made = gateway.run(&csr).json();
    assert_eq!(made["common_name"], "d/m");
    assert_eq!(made["private_key"], "m.key");
    let key = fs::read(gateway.path("m.key")).unwrap();

    let again = gateway.run(&csr);
    assert!(again.failure(1).contains("--key, or give --force"), "{again:?}");
    assert_eq!(fs::read(gateway.path("m.key")).unwrap(), key);

    let reused = gateway.run(&[&csr[..], &["--key", "m.key", "--out", "m.csr"]].concat()).json();
    assert_eq!(reused["request"], "m.csr");
    assert_eq!(fs::read(gateway.path("m.key")).unwrap(), key);
    assert_eq!(reused["pem"], fs::read_to_string(gateway.path("m.csr")).unwrap());

    let forced = gateway.run(&[&csr[..], &["--force", "--out", "m.csr"]].concat()).json();
    assert_eq!(forced["request"], "m.csr");
    assert_ne!(fs::read(gateway.path("m.key")).unwrap(), key);
}

#[test]
fn a_request_that_cannot_be_made_says_why() {
    let gateway = Gateway::new();
    let run = |arguments: &[&str]| gateway.run(&[&["csr"], arguments].concat());
    let bad = run(&["--device", "d", "--module", "a/b"]);
    assert!(bad.failure(64).contains("must not contain '/'"), "{bad:?}");
    let same = run(&["--device", "d", "--module", "m", "--key-out", "x", "--out", "x"]);
    assert!(same.failure(64).contains("can't both be `x`"), "{same:?}");
    let long = run(&["--device", &"d".repeat(60), "--module", "module"]);
    assert!(long.failure(1).contains("67 characters"), "{long:?}");
    let none = run(&["--device", "d", "--module", "m", "--key", "none.key"]);
    assert!(none.failure(1).contains("none.key"), "{none:?}");
    fs::write(gateway.path("text.key"), "text").unwrap();
    let text = run(&["--device", "d", "--module", "m", "--key", "text.key"]);
    assert!(text.failure(1).contains("PEM key without password"), "{text:?}");
    let nowhere = run(&["--device", "d", "--module", "m", "--key-out", "no/such/folder.key"]);
    assert!(nowhere.failure(1).contains("no/such/folder.key"), "{nowhere:?}");
}

#[test]
fn validate_tells_every_module_s_fault_at_once() {
    let gateway = Gateway::new();
    for (module, days) in [("good", 5), ("old", -1), ("swapped", 5), ("other", 5)] {
        gateway.module(module, days, "ec");
    }
    fs::copy(gateway.path("good.key"), gateway.path("swapped.key")).unwrap();
    for end in ["pem", "key"] {
        let from = gateway.path(&format!("other.{end}"));
        fs::copy(from, gateway.path(&format!("named.{end}"))).unwrap();
    }
    gateway.config(&["good", "old", "swapped", "named", "missing"], "");
    let ran = gateway.validate();
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(78), ""), "{ran:?}");
    let lines: Vec<&str> = ran.stderr.lines().collect();
    let expected = [
        ("module `old`", "expired on"),
        ("module `swapped`", "does not belong to the certificate"),
        ("module `named`", "d/other"),
        ("module `missing`", "missing.pem"),
    ];
    assert_eq!(lines.len(), expected.len(), "{ran:?}");
    for (line, (module, part)) in lines.iter().zip(expected) {
        assert!(line.contains(module) && line.contains(part), "{line}");
    }
    let json = gateway.run(&["validate", "--config", "modtwind.toml", "--json"]);
    assert_eq!((json.code, json.stderr.as_str()), (Some(78), ""), "{json:?}");
    let verdict = json.json();
    assert_eq!((&verdict["valid"], &verdict["modules"]), (&false.into(), &5.into()));
    assert_eq!(verdict["problems"][0]["module"], "old");
}

#[test]
fn validate_tells_every_fault_of_the_text_with_its_line() {
    let gateway = Gateway::new();
    gateway.config(&["m", "m"], "[socket]\npth = \"/x\"\n");
    let ran = gateway.validate();
    assert_eq!(ran.code, Some(78), "{ran:?}");
    assert!(ran.stderr.contains("modtwind.toml:13: socket.pth"), "{ran:?}");
    assert!(ran.stderr.contains("did you mean"), "{ran:?}");
    assert!(ran.stderr.lines().count() >= 2, "{ran:?}");
    let none = gateway.run(&["validate", "--config", "none.toml"]);
    assert!(none.failure(78).contains("none.toml"), "{none:?}");
}

#[test]
fn validate_warns_of_what_works_and_should_not_stay_so() {
    let gateway = Gateway::new();
    gateway.module("m", 5, "ec");
    fs::set_permissions(gateway.path("m.key"), fs::Permissions::from_mode(0o644)).unwrap();
    let handler = "[[module.handler]]\nname = \"h\"\nuser = \"no-such-user\"\n";
    gateway.config(&["m"], handler);
    let ran = gateway.validate();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stderr.contains("warning: module `m`: every user may read"), "{ran:?}");
    assert!(ran.stderr.contains("there is no user `no-such-user`"), "{ran:?}");
}

#[test]
fn validate_looks_at_the_trusted_authorities_and_passes_over_credentials_of_the_service() {
    let gateway = Gateway::new();
    fs::write(gateway.path("ca.pem"), "no certificate").unwrap();
    let text = "[hub]\nhostname = \"h.example\"\ndevice-id = \"d\"\ntrusted-ca = \"ca.pem\"\n\
                [[module]]\nid = \"m\"\nconnection-string-file = \"credential:m\"\n";
    fs::write(gateway.path("modtwind.toml"), text).unwrap();
    let ran = gateway.validate();
    assert_eq!(ran.code, Some(78), "{ran:?}");
    assert!(ran.stderr.contains("trusted-ca: `"), "{ran:?}");
    assert!(ran.stderr.contains("warning: module `m`: not checked"), "{ran:?}");
}

#[test]
fn a_difference_is_told_key_by_key_with_what_it_costs() {
    let gateway = Gateway::new();
    gateway.config(&["kept", "gone", "a", "b"], "");
    let text = fs::read_to_string(gateway.path("modtwind.toml")).unwrap();
    let same = gateway.run(&["diff", "modtwind.toml", "--config", "modtwind.toml"]);
    assert_eq!(same.success(), "no difference\n");
    let text = text
        .replace("\"d\"\n", "\"d\"\noperation-rate = \"5/s\"\n[socket]\nadmin-group = \"x\"\n")
        .replace("\"gone\"", "\"new\"")
        .replace("a.key\"\n", "a.key\"\nacknowledge = \"pnp\"\n")
        + "[[module.handler]]\nname = \"x\"\nuser = \"u\"\nreport = []\n";
    fs::create_dir(gateway.path("new")).unwrap();
    fs::write(gateway.path("new/modtwind.toml"), text).unwrap();
    // No key of all these modules is there, nor has to be.
    let expected = "\
+ module new
- module gone
~ module a: connects anew
    acknowledge: \"none\" -> \"pnp\"
~ module b: stays connected
    handler: [] -> [\"x\"]
    handler[x].methods: nothing -> []
    handler[x].report: nothing -> []
    handler[x].user: nothing -> \"u\"
    handler[x].watch: nothing -> [\"\"]
~ [hub]
    operation-rate: \"20/s\" -> \"5/s\"
~ [socket]: waits for a restart of modtwind
    admin-group: \"modtwin\" -> \"x\"
";
    for new in ["new", "new/modtwind.toml"] {
        let ran = gateway.run(&["diff", new, "--config", "modtwind.toml"]);
        assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (Some(1), expected, ""));
    }
    let ran = gateway.run(&["diff", "new", "--config", "modtwind.toml", "--json"]);
    let found = ran.json();
    assert_eq!(ran.code, Some(1));
    assert_eq!(found["reconnect"], serde_json::json!(["a"]));
    assert_eq!(found["needs_restart"], serde_json::json!(["socket"]));
    let first =
        serde_json::json!({"key": "hub.operation-rate", "before": "\"20/s\"", "after": "\"5/s\""});
    assert_eq!(found["keys"][0], first);
}

#[test]
fn a_difference_to_a_config_that_does_not_check_is_none() {
    let gateway = Gateway::new();
    gateway.config(&[], "");
    fs::write(gateway.path("bad.toml"), "[hub\n").unwrap();
    for (new, old) in [("bad.toml", "modtwind.toml"), ("modtwind.toml", "bad.toml")] {
        let ran = gateway.run(&["diff", new, "--config", old]);
        assert!(ran.failure(78).starts_with("bad.toml:1:"), "{ran:?}");
    }
    let ran = gateway.run(&["diff", "nowhere.toml", "--config", "modtwind.toml"]);
    assert!(ran.failure(78).contains("nowhere.toml: cannot read the file"), "{ran:?}");
}
