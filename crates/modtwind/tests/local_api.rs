//! The local API over a real socket, byte by byte: what peers get who are good, clumsy or hostile.
//! No module is served here; what modules say is tested with the whole daemon.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use modtwind::local_api::{AdminCommand, Facts, Limits, LocalApi, Registry, socket};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

const DEADLINE: Duration = Duration::from_secs(20);
/// A user and a group that own nothing here.
const STRANGER: u32 = 54_321;
const ADMIN_GROUP: u32 = 54_322;

/// A served socket in a folder of its own.
struct Daemon {
    folder: TempDir,
    registry: Option<watch::Sender<Arc<Registry>>>,
    commands: mpsc::Receiver<AdminCommand>,
    stop: Option<oneshot::Sender<()>>,
    served: JoinHandle<()>,
}

impl Daemon {
    async fn start() -> Self {
        Self::start_with(Limits::default()).await
    }

    async fn start_with(limits: Limits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        open_to_all(folder.path());
        let bound = socket::bind(&folder.path().join("s"), socket::SOCKET_MODE).await.unwrap();
        let (registry, follow) = watch::channel(Arc::new(registry()));
        let (admin, commands) = mpsc::channel(1);
        let api = LocalApi::with_limits(follow, admin, limits);
        let (stop, stopped) = oneshot::channel();
        let served = tokio::spawn(async move {
            let _guard = bound.guard;
            let stopped = async { stopped.await.unwrap_or_default() };
            api.serve(bound.listener, stopped).await;
        });
        Self { folder, registry: Some(registry), commands, stop: Some(stop), served }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("s")
    }

    async fn connect(&self) -> UnixStream {
        UnixStream::connect(self.path()).await.unwrap()
    }

    /// Sends `bytes` on a connection of its own and gives the first answer.
    async fn ask(&self, bytes: impl AsRef<[u8]>) -> Answer {
        ask(&mut self.connect().await, bytes).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask(get(path)).await
    }
}

fn registry() -> Registry {
    Registry {
        modules: Vec::new(),
        problems: BTreeMap::from([("broken".to_owned(), vec!["no such file `x.pem`".to_owned()])]),
        admin_group: "modtwin".to_owned(),
        admin_gid: Some(ADMIN_GROUP),
        daemon_uid: nix::unistd::geteuid().as_raw(),
        facts: Arc::new(Facts {
            version: "1.2.3".to_owned(),
            pid: 7,
            started: SystemTime::UNIX_EPOCH,
            config_path: PathBuf::from("/etc/modtwin/modtwind.toml"),
            socket_path: PathBuf::from("/run/modtwin/modtwin.sock"),
            state_directory: PathBuf::from("/var/lib/modtwin"),
            hub_hostname: "contoso.azure-devices.net".to_owned(),
            device_id: "device01".to_owned(),
        }),
    }
}

fn open_to_all(folder: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).unwrap();
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n")
}

/// One answer, taken apart.
#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    /// Asserts that it is a problem of that status and kind, and gives it.
    #[track_caller]
    fn problem(&self, status: u16, kind: &str) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let problem = self.json();
        assert_eq!(problem["kind"], kind, "{problem}");
        assert_eq!(problem["status"], status, "{problem}");
        assert_eq!(problem["type"], format!("urn:modtwin:problem:{kind}"));
        problem
    }
}

async fn in_time<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, what).await.expect("an end in time")
}

/// Reads one answer; `bodiless` is true after HEAD.
async fn read(stream: &mut UnixStream, bodiless: bool) -> Answer {
    in_time(async {
        let mut bytes = Vec::new();
        let end = loop {
            if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            let mut byte = [0];
            assert_eq!(stream.read(&mut byte).await.unwrap(), 1, "{}", String::from_utf8_lossy(&bytes));
            bytes.push(byte[0]);
        };
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let mut answer = Answer { status, head, body: Vec::new() };
        let length = answer.header("content-length").map_or(0, |text| text.parse().unwrap());
        if !bodiless {
            answer.body = vec![0; length];
            stream.read_exact(&mut answer.body).await.unwrap();
        }
        answer
    })
    .await
}

async fn ask(stream: &mut UnixStream, bytes: impl AsRef<[u8]>) -> Answer {
    // A peer that is refused early may find the other side closed before all is written.
    let _broken_pipe = in_time(stream.write_all(bytes.as_ref())).await;
    read(stream, bytes.as_ref().starts_with(b"HEAD")).await
}

/// Says whether the other side closes without another byte.
async fn is_closed(stream: &mut UnixStream) -> bool {
    in_time(stream.read(&mut [0])).await.map_or(true, |count| count == 0)
}

#[tokio::test]
async fn health_and_an_empty_list_are_answered() {
    let daemon = Daemon::start().await;
    let health = daemon.get("/v1/health").await;
    assert_eq!((health.status, health.json()), (200, json!({"healthy": true, "version": "1.2.3"})));
    let list = daemon.get("/v1/modules").await;
    assert_eq!((list.status, list.json()), (200, json!({"modules": []})));
    assert_eq!(list.header("content-type"), Some("application/json"));
}

#[tokio::test]
async fn health_fails_once_the_supervisor_is_gone() {
    let mut daemon = Daemon::start().await;
    drop(daemon.registry.take());
    let health = daemon.get("/v1/health").await;
    assert_eq!((health.status, &health.json()["healthy"]), (503, &json!(false)));
}

#[tokio::test]
async fn status_shows_the_daemon_and_modules_too_broken_to_serve() {
    let daemon = Daemon::start().await;
    let status = daemon.get("/v1/status").await.json();
    assert_eq!(status["device_id"], "device01");
    assert_eq!(status["storage"], json!({"directory": "/var/lib/modtwin", "writable": true}));
    let broken = &status["modules"][0];
    assert_eq!(broken["module"], "broken");
    assert_eq!((&broken["hub"]["state"], &broken["hub"]["reason"]), (&json!("disabled"), &json!("config")));
    assert_eq!(broken["problem"], "no such file `x.pem`");
}

#[tokio::test]
async fn head_is_get_without_the_body() {
    let daemon = Daemon::start().await;
    let mut stream = daemon.connect().await;
    let head = ask(&mut stream, "HEAD /v1/modules HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert_eq!((head.status, head.header("content-length")), (200, Some("14")));
    assert_eq!(ask(&mut stream, get("/v1/health")).await.status, 200);
}

#[tokio::test]
async fn unknown_paths_modules_and_methods_are_refused_as_problems() {
    let daemon = Daemon::start().await;
    for path in ["/", "/v2/modules", "/v1/modules/", "/v1/modules/m/other", "/v1/healthy"] {
        daemon.get(path).await.problem(404, "not_found");
    }
    for path in ["/v1/modules/absent", "/v1/modules/no%2Fid/watch"] {
        daemon.get(path).await.problem(404, "not_found");
    }
    let check = async |request: &str, allowed: &str| {
        let answer = daemon.ask(format!("{request} HTTP/1.1\r\nhost: x\r\n\r\n")).await;
        answer.problem(405, "method_not_allowed");
        assert_eq!(answer.header("allow"), Some(allowed));
    };
    check("DELETE /v1/modules", "GET, HEAD").await;
    check("OPTIONS /v1/modules/m/reported", "PATCH").await;
    check("BREW /v1/reload", "POST").await;
    check("GET /v1/modules/m/acks", "POST").await;
}

#[tokio::test]
async fn a_bad_query_names_its_parameter() {
    let daemon = Daemon::start().await;
    let problem = daemon.get("/v1/modules?path=%ff").await.problem(400, "invalid_request");
    assert_eq!(problem["field"], "query");
}

#[tokio::test]
async fn garbage_is_refused_and_the_next_peer_is_served() {
    let daemon = Daemon::start().await;
    let garbage: [&[u8]; 6] = [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a TLS greeting\r\n\r\n",
        b"\0\0\0\0\0\0\0\0\r\n\r\n",
        b"hello there\r\n\r\n",
        b"GET /v1/health HTTP/9.9\r\n\r\n",
        b"GET /v1/health HTTP/1.1\r\nno colon here\r\n\r\n",
        b"{\"json\": true}\r\n\r\n",
    ];
    for bytes in garbage {
        let mut stream = daemon.connect().await;
        ask(&mut stream, bytes).await.problem(400, "invalid_request");
        assert!(is_closed(&mut stream).await);
        assert_eq!(daemon.get("/v1/health").await.status, 200);
    }
}

#[tokio::test]
async fn a_header_block_beyond_16_kib_is_refused_with_the_limit() {
    let daemon = Daemon::start().await;
    let with_header = |size: usize| {
        format!("GET /v1/health HTTP/1.1\r\nhost: x\r\nx-long: {}\r\n\r\n", "a".repeat(size))
    };
    assert_eq!(daemon.ask(with_header(15 * 1024)).await.status, 200);
    let problem = daemon.ask(with_header(20 * 1024)).await.problem(431, "too_large");
    assert_eq!(problem["limit"], 16 * 1024);
    daemon.ask(get(&format!("/{}", "a".repeat(20 * 1024)))).await.problem(431, "too_large");
    let many: String = (0..200).map(|n| format!("x-{n}: 1\r\n")).collect();
    let many = format!("GET /v1/health HTTP/1.1\r\n{many}\r\n");
    daemon.ask(many).await.problem(431, "too_large");
}

#[tokio::test]
async fn a_refusal_of_the_second_request_leaves_the_first_answer_whole() {
    let daemon = Daemon::start().await;
    let mut stream = daemon.connect().await;
    stream.write_all(get("/v1/health").as_bytes()).await.unwrap();
    stream.write_all(b"nonsense\r\n\r\n").await.unwrap();
    let first = read(&mut stream, false).await;
    assert_eq!((first.status, &first.json()["healthy"]), (200, &json!(true)));
    read(&mut stream, false).await.problem(400, "invalid_request");
    assert!(is_closed(&mut stream).await);
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let daemon = Daemon::start().await;
    let mut stream = daemon.connect().await;
    let both = [get("/v1/modules"), get("/v1/absent"), get("/v1/health")].concat();
    stream.write_all(both.as_bytes()).await.unwrap();
    assert_eq!(read(&mut stream, false).await.json(), json!({"modules": []}));
    read(&mut stream, false).await.problem(404, "not_found");
    assert_eq!(read(&mut stream, false).await.json()["healthy"], true);
}

#[tokio::test]
async fn a_request_that_never_ends_is_dropped_and_harms_nobody() {
    let limits = Limits { header_timeout: Duration::from_millis(100), ..Limits::default() };
    let daemon = Daemon::start_with(limits).await;
    let mut half = daemon.connect().await;
    half.write_all(b"GET /v1/health HT").await.unwrap();
    let mut silent = daemon.connect().await;
    assert_eq!(daemon.get("/v1/health").await.status, 200);
    assert!(is_closed(&mut half).await);
    assert!(is_closed(&mut silent).await);
}

#[tokio::test]
async fn a_peer_that_never_reads_stops_being_read_and_harms_nobody() {
    let daemon = Daemon::start().await;
    let mut deaf = daemon.connect().await;
    let requests = get("/v1/status").repeat(64);
    let flood = async {
        loop {
            deaf.write_all(requests.as_bytes()).await.unwrap();
        }
    };
    // It can write only as much as the buffers between hold.
    let stuck = tokio::time::timeout(Duration::from_millis(500), flood).await;
    assert!(stuck.is_err());
    assert_eq!(daemon.get("/v1/health").await.status, 200);
}

#[tokio::test]
async fn connections_beyond_the_limit_are_told_so_and_served_again_later() {
    let limits = Limits { connections: 0, connections_per_user: 1, ..Limits::default() };
    let daemon = Daemon::start_with(limits).await;
    // The daemon's own user has 32 more than anybody.
    let mut open = Vec::new();
    for _ in 0..32 {
        let mut stream = daemon.connect().await;
        assert_eq!(ask(&mut stream, get("/v1/health")).await.status, 200);
        open.push(stream);
    }
    let refused = daemon.get("/v1/health").await;
    let problem = refused.problem(429, "overloaded");
    assert_eq!((&problem["limit"], refused.header("retry-after")), (&json!(32), Some("1")));
    open.clear();
    in_time(async {
        while daemon.get("/v1/health").await.status != 200 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_stop_answers_what_is_in_flight_and_closes_what_is_idle() {
    let mut daemon = Daemon::start().await;
    let mut idle = daemon.connect().await;
    assert_eq!(ask(&mut idle, get("/v1/health")).await.status, 200);
    let mut busy = daemon.connect().await;
    busy.write_all(b"POST /v1/reload HTTP/1.1\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    let AdminCommand::Reload { reply } = in_time(daemon.commands.recv()).await.unwrap();
    daemon.stop.take().unwrap().send(()).unwrap();
    assert!(is_closed(&mut idle).await);
    reply.send(Ok(modtwin_api::ReloadOutcome::default())).unwrap();
    assert_eq!(read(&mut busy, false).await.status, 200);
    assert!(is_closed(&mut busy).await);
    in_time(&mut daemon.served).await.unwrap();
    assert!(!daemon.path().exists());
}

#[tokio::test]
async fn a_stop_does_not_wait_for_a_request_without_end() {
    let limits = Limits { drain: Duration::from_millis(50), ..Limits::default() };
    let mut daemon = Daemon::start_with(limits).await;
    let mut busy = daemon.connect().await;
    busy.write_all(b"POST /v1/reload HTTP/1.1\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    let _unanswered = in_time(daemon.commands.recv()).await.unwrap();
    daemon.stop.take().unwrap().send(()).unwrap();
    in_time(&mut daemon.served).await.unwrap();
    assert!(is_closed(&mut busy).await);
}

#[tokio::test]
async fn a_reload_answers_what_changed_or_every_error() {
    let mut daemon = Daemon::start().await;
    let request = "POST /v1/reload HTTP/1.1\r\ncontent-length: 0\r\n\r\n";
    let mut stream = daemon.connect().await;
    stream.write_all(request.as_bytes()).await.unwrap();
    let AdminCommand::Reload { reply } = in_time(daemon.commands.recv()).await.unwrap();
    let outcome =
        modtwin_api::ReloadOutcome { added: vec!["new".to_owned()], ..Default::default() };
    reply.send(Ok(outcome)).unwrap();
    let answer = read(&mut stream, false).await;
    assert_eq!((answer.status, &answer.json()["added"]), (200, &json!(["new"])));

    stream.write_all(request.as_bytes()).await.unwrap();
    let AdminCommand::Reload { reply } = in_time(daemon.commands.recv()).await.unwrap();
    reply.send(Err(vec!["a.toml:3: no".to_owned(), "b.toml:1: no".to_owned()])).unwrap();
    let problem = read(&mut stream, false).await.problem(422, "invalid_config");
    assert_eq!(problem["errors"], json!(["a.toml:3: no", "b.toml:1: no"]));

    stream.write_all(request.as_bytes()).await.unwrap();
    drop(in_time(daemon.commands.recv()).await.unwrap());
    let problem = read(&mut stream, false).await.problem(500, "internal");
    assert!(problem["id"].is_string());
}

/// Connects as another user: the kernel notes who a process is at `connect`.
///
/// Linux keeps credentials by thread, and the raw calls change those of a thread of its own only.
#[expect(unsafe_code, reason = "the C library changes all threads of a process at once")]
fn connect_as(path: PathBuf, uid: u32, gid: u32, groups: &'static [u32]) -> UnixStream {
    let connect = move || {
        // SAFETY: the calls take numbers and, with its true length, an array that is only read.
        let outcomes = unsafe {
            [
                libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()),
                libc::syscall(libc::SYS_setresgid, gid, gid, gid),
                libc::syscall(libc::SYS_setresuid, uid, uid, uid),
            ]
        };
        assert_eq!(outcomes, [0; 3]);
        std::os::unix::net::UnixStream::connect(path).unwrap()
    };
    let stream = std::thread::spawn(connect).join().unwrap();
    stream.set_nonblocking(true).unwrap();
    UnixStream::from_std(stream).unwrap()
}

/// Changing users takes root, as the tests of CI are.
fn can_change_users() -> bool {
    nix::unistd::geteuid().is_root()
}

#[tokio::test]
async fn a_stranger_sees_nothing_and_is_told_which_rule_is_missing() {
    if !can_change_users() {
        return;
    }
    let daemon = Daemon::start().await;
    let mut stream = connect_as(daemon.path(), STRANGER, STRANGER, &[]);
    assert_eq!(ask(&mut stream, get("/v1/health")).await.status, 200);
    assert_eq!(ask(&mut stream, get("/v1/modules")).await.json(), json!({"modules": []}));
    for path in ["/v1/modules/absent", "/v1/modules/broken", "/v1/modules/broken/watch"] {
        let problem = ask(&mut stream, get(path)).await.problem(403, "forbidden");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains("uid 54321"), "{detail}");
        assert!(detail.contains("user = \"54321\""), "{detail}");
    }
    let problem = ask(&mut stream, get("/v1/status")).await.problem(403, "forbidden");
    assert!(problem["detail"].as_str().unwrap().contains("usermod -aG modtwin"), "{problem}");
    let post = |path: &str| format!("POST {path} HTTP/1.1\r\ncontent-length: 0\r\n\r\n");
    for path in ["/v1/reload", "/v1/modules/absent/reconnect", "/v1/modules/absent/acks"] {
        ask(&mut stream, post(path)).await.problem(403, "forbidden");
    }
}

#[tokio::test]
async fn a_member_of_the_admin_group_may_do_everything() {
    if !can_change_users() {
        return;
    }
    let daemon = Daemon::start().await;
    let mut by_group = connect_as(daemon.path(), STRANGER, ADMIN_GROUP, &[]);
    assert_eq!(ask(&mut by_group, get("/v1/status")).await.status, 200);
    let mut by_membership = connect_as(daemon.path(), STRANGER, STRANGER, &[4, ADMIN_GROUP]);
    assert_eq!(ask(&mut by_membership, get("/v1/status")).await.status, 200);
    ask(&mut by_membership, get("/v1/modules/absent")).await.problem(404, "not_found");
}

#[tokio::test]
async fn a_user_with_too_many_connections_does_not_use_up_those_of_others() {
    if !can_change_users() {
        return;
    }
    let limits = Limits { connections: 10, connections_per_user: 3, ..Limits::default() };
    let daemon = Daemon::start_with(limits).await;
    let mut open = Vec::new();
    for _ in 0..3 {
        let mut stream = connect_as(daemon.path(), STRANGER, STRANGER, &[]);
        assert_eq!(ask(&mut stream, get("/v1/health")).await.status, 200);
        open.push(stream);
    }
    let mut fourth = connect_as(daemon.path(), STRANGER, STRANGER, &[]);
    let problem = ask(&mut fourth, get("/v1/health")).await.problem(429, "overloaded");
    assert_eq!(problem["limit"], 3);
    let mut other = connect_as(daemon.path(), STRANGER + 5, STRANGER, &[]);
    assert_eq!(ask(&mut other, get("/v1/health")).await.status, 200);
}
