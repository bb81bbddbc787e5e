//! How the page looks.

use std::time::{Duration, UNIX_EPOCH};

use modtwin_api::{
    BudgetStatus, ClockStatus, ConfigState, ConfigTrial, CredentialKind, CredentialStatus,
    HandlerStatus, HubReason, HubStatus, MessagesStatus, ModuleStatus, PendingStatus, Quarantined,
    RefusedConfig, RefusedReason, SizeStatus, StorageStatus, Timestamp,
};

use super::*;

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_795_428_000)
}

fn ago(seconds: u64) -> Timestamp {
    Timestamp::from(now() - Duration::from_secs(seconds))
}

fn handler(name: &str, applied: Option<u64>, status: u16) -> HandlerStatus {
    HandlerStatus {
        name: name.to_owned(),
        desired_version: None,
        applied_version: applied,
        status: Some(status),
        description: None,
        at: Some(ago(5)),
        watching: true,
    }
}

fn module(name: &str, state: HubState, reason: HubReason) -> ModuleStatus {
    ModuleStatus {
        module: name.to_owned(),
        hub: HubStatus { state, reason, since: ago(11_040), next_attempt: None, detail: None },
        generation: 1,
        desired_version: Some(7),
        reported_version: Some(12),
        as_of: Some(ago(3)),
        pending: PendingStatus::default(),
        quarantined: Vec::new(),
        messages: None,
        sizes: None,
        handlers: Vec::new(),
        credential: None,
        reconnects: 0,
        problem: None,
    }
}

fn status(modules: Vec<ModuleStatus>) -> Status {
    Status {
        version: "0.1.0".to_owned(),
        pid: 4711,
        started: ago(273_600),
        config: "/etc/modtwin/modtwind.toml".to_owned(),
        socket: "/run/modtwin/modtwin.sock".to_owned(),
        hub_hostname: "contoso.azure-devices.net".to_owned(),
        device_id: "device01".to_owned(),
        storage: StorageStatus {
            directory: "/var/lib/modtwin".to_owned(),
            writable: true,
            problem: None,
            writes: None,
            bytes_written: None,
        },
        clock: None,
        budget: None,
        config_state: None,
        modules,
    }
}

/// A daemon with something of everything.
fn mixed() -> Status {
    let mut good = module("thermostat", HubState::Connected, HubReason::Ok);
    good.handlers = vec![handler("hvac", Some(6), 500), handler("fan", Some(7), 200)];
    good.quarantined =
        vec![Quarantined { key: "big".to_owned(), status: 400, message: "too long".to_owned() }];
    good.pending = PendingStatus { keys: 2, bytes: 31 };
    let mut late = module("meter", HubState::Disconnected, HubReason::Network);
    late.hub.detail = Some("no route to host".to_owned());
    late.hub.next_attempt = Some(Timestamp::from(now() + Duration::from_secs(12)));
    let mut old = module("camera", HubState::Disabled, HubReason::ExpiredCredential);
    old.desired_version = None;
    old.pending.keys = 1;
    old.credential = Some(CredentialStatus {
        kind: CredentialKind::X509,
        expires: Some(ago(86_400)),
        days_left: Some(-1),
        warnings: Vec::new(),
    });
    status(vec![good, late, old])
}

#[test]
fn a_page_shows_modules_in_columns_and_problems_with_the_way_out() {
    let expected = "\
device01 at contoso.azure-devices.net: 1 of 3 connected
modtwind 0.1.0, process 4711, up 3d 4h

MODULE     STATE        REASON             SINCE DESIRED APPLIED PENDING DAYS
thermostat connected    ok                 3h 4m       7       6       2    -
meter      disconnected network            3h 4m       7       -       -    -
camera     disabled     expired_credential 3h 4m       -       -       1   -1

HANDLER  MODULE      DESIRED  APPLIED  LAST WORD           WATCHES
hvac     thermostat        7        6  500 refused 5s ago  yes
fan      thermostat        7        7  200 applied 5s ago  yes

Problems
  thermostat: the hub refused reported key `big` (400): too long
    -> report a value that the hub takes, or null
  thermostat: handler hvac refused a version (500): it gave no reason
    -> mend the desired properties or the handler
  meter: network: no route to host
    -> check the gateway's network and name resolution; next attempt in 12s
  camera: expired_credential
    -> renew it: modtwinctl csr --device device01 --module camera
";
    assert_eq!(page(&mixed(), now(), false), expected);
}

#[test]
fn colours_change_nothing_but_colours() {
    let coloured = page(&mixed(), now(), true);
    assert!(coloured.contains("\u{1b}[32mconnected   \u{1b}[0m"), "{coloured}");
    assert!(coloured.contains("\u{1b}[31mdisabled"), "{coloured}");
    let mut plain = coloured;
    for code in ["\u{1b}[0m", "\u{1b}[1m", "\u{1b}[31m", "\u{1b}[32m", "\u{1b}[33m"] {
        plain = plain.replace(code, "");
    }
    // The heads' last blanks are inside their colour.
    let trimmed: Vec<_> = plain.lines().map(str::trim_end).collect();
    assert_eq!(trimmed.join("\n") + "\n", page(&mixed(), now(), false));
}

#[test]
fn no_line_is_wider_than_80_columns() {
    let mut modules = Vec::new();
    for reason in HubReason::ALL {
        for state in HubState::ALL {
            let mut long = module(&format!("{}-{reason}", "m".repeat(90)), *state, *reason);
            long.hub.since = ago(99 * 86_400 + 23 * 3_600);
            long.hub.detail = Some(format!("{} {}", "word ".repeat(40), "x".repeat(300)));
            long.desired_version = Some(9_999_999);
            long.pending.keys = 99;
            let mut handler = handler(&"h".repeat(90), Some(9_999_999), 504);
            handler.desired_version = Some(9_999_999);
            long.handlers.push(handler);
            modules.push(long);
        }
    }
    let mut status = status(modules);
    status.hub_hostname = "h".repeat(250);
    status.device_id = "d".repeat(128);
    status.storage.writable = false;
    status.storage.problem = Some("disk full ".repeat(20));
    for line in page(&status, now(), false).lines() {
        assert!(line.chars().count() <= WIDTH, "{} columns: {line}", line.chars().count());
    }
}

#[test]
fn whatever_the_numbers_a_module_has_one_line_and_a_name_with_both_its_ends() {
    let long = |end: &str| format!("building-{}{end}", "m".repeat(128 - 9 - end.len()));
    let mut huge = module(&long("-a"), HubState::Disconnected, HubReason::ExpiredCredential);
    huge.hub.since = ago(99 * 86_400 + 23 * 3_600);
    huge.desired_version = Some(u64::MAX);
    huge.pending.keys = u64::MAX;
    huge.handlers = vec![handler("h", Some(u64::MAX), 200)];
    let credential = CredentialStatus {
        kind: CredentialKind::X509,
        expires: None,
        days_left: Some(i64::MIN),
        warnings: Vec::new(),
    };
    huge.credential = Some(credential);
    let usual = module(&long("-b"), HubState::Connected, HubReason::Ok);
    let page = page(&status(vec![huge, usual]), now(), false);
    let table: Vec<&str> = page.lines().skip_while(|line| !line.starts_with("MODULE")).collect();
    assert!(page.lines().all(|line| line.chars().count() <= WIDTH), "{page}");
    assert!(table[1].starts_with("buil…m-a disconnected"), "{page}");
    assert!(table[2].starts_with("buil…m-b connected"), "{page}");
    assert_eq!(table[3], "", "one line a module: {page}");
}

#[test]
fn clock_disk_budget_sizes_and_silence_are_told() {
    let mut full = module("full", HubState::Disconnected, HubReason::Clock);
    full.hub.detail = Some("the clock says 1970".to_owned());
    let sizes = SizeStatus { desired: 5, reported: 30_000, limit: 32_768, warn_at: 26_215 };
    full.sizes = Some(sizes);
    let mut silent = handler("hvac", None, 504);
    silent.desired_version = Some(6);
    silent.description = Some("no acknowledgement of version 6 within 30 s".to_owned());
    let mut new = handler("new", None, 0);
    (new.status, new.at, new.watching) = (None, None, false);
    full.handlers = vec![silent, new];
    let mut status = status(vec![full]);
    let problem = Some("the clock says 1970".to_owned());
    status.clock = Some(ClockStatus { trusted: false, problem });
    status.budget = Some(BudgetStatus { operations_per_second: 20, percent: 50 });
    (status.storage.writes, status.storage.bytes_written) = (Some(12), Some(34_567));
    let page = page(&status, now(), false);
    let expected = "\
clock WRONG, storage ok (12 writes, 34 kB), slowed to 50 % of 20/s by the hub

MODULE  STATE         REASON  SINCE  DESIRED  APPLIED  PENDING  DAYS
full    disconnected  clock   3h 4m        7        -        -     -

HANDLER  MODULE  DESIRED  APPLIED  LAST WORD          WATCHES
hvac     full          6        -  504 silent 5s ago  yes
new      full          7        -  none yet           no

Problems
  clock: the clock says 1970
    -> set it: timedatectl; no connection is attempted until then
  full: reported has 30000 of 32768 bytes: the hub will refuse more
    -> shorten or delete some of what is reported
  full: handler hvac kept silent (504): no acknowledgement of version 6 within
    30 s
    -> see whether it runs: a late acknowledgement still counts
";
    assert!(page.ends_with(expected), "{page}");
}

#[test]
fn a_config_that_is_not_in_force_is_the_first_problem() {
    let mut status = status(vec![module("m", HubState::Connected, HubReason::Ok)]);
    let refused = |reason, errors: &[&str]| ConfigState {
        digest: "sha256:0".to_owned(),
        version: None,
        loaded: ago(100),
        files: Vec::new(),
        refused: Some(RefusedConfig {
            digest: None,
            reason,
            errors: errors.iter().map(ToString::to_string).collect(),
            since: ago(10),
        }),
        trial: None,
    };
    let errors = ["a.toml:3: hub.prt: unknown key", "a.toml:9: no"];
    status.config_state = Some(refused(RefusedReason::Invalid, &errors));
    let expected = "Problems
  config: refused, the one before is in force: a.toml:3: hub.prt: unknown key
    (and 1 more)
    -> mend it, see modtwinctl validate
";
    let found = page(&status, now(), false);
    assert!(found.ends_with(expected), "{found}");
    status.config_state = Some(refused(RefusedReason::RolledBack, &["module `m`: tls"]));
    let found = page(&status, now(), false);
    assert!(found.contains("config: rolled back: module `m`: tls\n"), "{found}");
}

#[test]
fn a_config_on_trial_says_until_when_and_for_whom_it_waits() {
    let mut status = status(vec![module("m", HubState::Connected, HubReason::Ok)]);
    let trial = |awaited: &[&str]| ConfigState {
        digest: "sha256:0".to_owned(),
        version: None,
        loaded: ago(10),
        files: Vec::new(),
        refused: None,
        trial: Some(ConfigTrial {
            until: Timestamp::from(now() + Duration::from_secs(50)),
            awaited: awaited.iter().map(ToString::to_string).collect(),
        }),
    };
    status.config_state = Some(trial(&["thermostat", "meter"]));
    let found = page(&status, now(), false);
    let expected = "config on trial: unless confirmed, the one before returns in 50s; not back yet:\n  \
                    thermostat, meter\n";
    assert!(found.contains(expected), "{found}");
    assert!(!found.contains("Problems"), "{found}");
    status.config_state = Some(trial(&[]));
    let found = page(&status, now(), false);
    assert!(found.contains("returns in 50s; every module\n  is back\n"), "{found}");
    let long = "m".repeat(120);
    status.config_state = Some(trial(&[&long, &long, &long, &long, &long]));
    let found = page(&status, now(), false);
    assert!(found.lines().all(|line| line.chars().count() <= WIDTH), "{found}");
    assert!(found.contains("and 1 more"), "{found}");
}

#[test]
fn messages_that_wait_are_counted_and_those_set_aside_are_a_problem() {
    let with = |name: &str, waiting, bytes, set_aside| {
        let mut module = module(name, HubState::Connected, HubReason::Ok);
        module.messages = Some(MessagesStatus { waiting, bytes, set_aside });
        module
    };
    let modules = vec![with("a", 21, 34_567, 0), with("b", 0, 0, 2), with("c", 1, 12, 0)];
    let found = page(&status(modules), now(), false);
    assert!(found.contains("\nmessages wait for the hub: a 21 (34 kB), c 1 (12 B)\n"), "{found}");
    assert!(found.contains("  b: 2 messages are set aside"), "{found}");
    let many = (0..20).map(|n| with(&format!("{}{n}", "m".repeat(110)), 1_000, 4_194_304, 0));
    let found = page(&status(many.collect()), now(), false);
    assert!(found.lines().all(|line| line.chars().count() <= WIDTH), "{found}");
    let idle = page(&status(vec![with("a", 0, 0, 0)]), now(), false);
    assert!(!idle.contains("message"), "{idle}");
}

#[test]
fn the_same_trouble_of_many_modules_is_told_once() {
    let modules =
        (1..=20).map(|n| module(&format!("m{n:02}"), HubState::Disconnected, HubReason::Network));
    let page = page(&status(modules.collect()), now(), false);
    let problems = page.split("Problems\n").nth(1).expect("problems");
    assert_eq!(
        problems,
        "  m01, m02, m03, m04 and 16 more: network\n    \
         -> check the gateway's network and name resolution\n"
    );
}

#[test]
fn a_daemon_that_is_well_has_no_problems_and_one_without_modules_says_so() {
    let well = status(vec![
        module("a", HubState::Connected, HubReason::Ok),
        module("b", HubState::Connecting, HubReason::Starting),
    ]);
    assert!(!page(&well, now(), false).contains("Problems"));
    let empty = page(&status(Vec::new()), now(), false);
    assert!(empty.starts_with(
        "device01 at contoso.azure-devices.net: no module in /etc/modtwin/modtwind.toml\n"
    ));
    assert!(!empty.contains("MODULE"));
}

#[test]
fn text_from_elsewhere_cannot_steer_the_terminal() {
    let mut evil = module("m\u{1b}[2J", HubState::Disconnected, HubReason::HubError);
    evil.hub.detail = Some("a\nb\u{1b}]0;x\u{7}".to_owned());
    let page = page(&status(vec![evil]), now(), false);
    assert!(!page.chars().any(|char| char.is_control() && char != '\n'), "{page:?}");
    assert!(page.contains("hub_error: a b"), "{page}");
}

#[test]
fn a_certificate_that_ends_within_a_month_is_a_problem_before_it_is_over() {
    let ending = |days| {
        let mut module = module("camera", HubState::Connected, HubReason::Ok);
        module.credential = Some(CredentialStatus {
            kind: CredentialKind::X509,
            expires: None,
            days_left: Some(days),
            warnings: Vec::new(),
        });
        page(&status(vec![module]), now(), false)
    };
    assert!(ending(7).contains("camera: its certificate ends in 7 days"), "{}", ending(7));
    assert!(ending(1).contains("ends in 1 day\n"));
    assert!(ending(7).contains("modtwinctl csr --device device01 --module camera"));
    assert!(!ending(31).contains("Problems"));
}
