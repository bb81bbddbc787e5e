//! The real program, started and read.
#![expect(clippy::expect_used, reason = "helpers of tests may fail the test")]
#![expect(unreachable_pub, reason = "included by several tests as a module")]

use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// What a run printed and how it ended.
#[derive(Debug)]
pub struct Ran {
    /// The exit status.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Ran {
    /// Standard output as one JSON document on one line.
    pub fn json(&self) -> Value {
        assert_eq!(self.stdout.lines().count(), 1, "{self:?}");
        serde_json::from_str(&self.stdout).expect("standard output is JSON")
    }

    /// The one line on standard error of a run that failed with `code` and printed nothing else.
    pub fn failure(&self, code: i32) -> &str {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert_eq!(self.stdout, "", "{self:?}");
        assert_eq!(self.stderr.lines().count(), 1, "{self:?}");
        self.stderr.trim_end().strip_prefix("modtwinctl: ").expect("the program's name first")
    }

    /// Standard output of a run that succeeded in silence.
    pub fn success(&self) -> &str {
        assert_eq!((self.code, self.stderr.as_str()), (Some(0), ""), "{self:?}");
        &self.stdout
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        let code = output.status.code();
        Self { code, stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

/// The program with `arguments`, asking the daemon at `socket`; a child that is forgotten dies.
pub fn modtwinctl(socket: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_modtwinctl"));
    command
        .args(arguments)
        .env_remove("CREDENTIALS_DIRECTORY")
        .env("MODTWIN_SOCKET", socket)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Runs the program to its end.
pub fn run(socket: &Path, arguments: &[&str]) -> Ran {
    modtwinctl(socket, arguments).output().expect("the program starts").into()
}

/// Runs the program to its end with `input` on standard input.
pub fn run_with_input(socket: &Path, arguments: &[&str], input: &str) -> Ran {
    let mut child =
        modtwinctl(socket, arguments).stdin(Stdio::piped()).spawn().expect("the program starts");
    let mut stdin = child.stdin.take().expect("piped");
    // The program may end before it has read everything.
    let _ended = stdin.write_all(input.as_bytes());
    drop(stdin);
    child.wait_with_output().expect("the program ends").into()
}

/// A program that runs on; killed with the test.
pub struct Background(Option<Child>);

impl Background {
    /// Starts the program.
    pub fn start(socket: &Path, arguments: &[&str]) -> Self {
        Self(Some(modtwinctl(socket, arguments).spawn().expect("the program starts")))
    }

    /// Sends SIGTERM and waits for the end.
    pub fn terminate(mut self) -> Ran {
        let child = self.0.take().expect("it runs");
        let id = i32::try_from(child.id()).expect("a process id");
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(id), nix::sys::signal::Signal::SIGTERM)
            .expect("it still runs");
        child.wait_with_output().expect("the program ends").into()
    }

    /// Waits for the end.
    pub fn finish(mut self) -> Ran {
        self.0.take().expect("it runs").wait_with_output().expect("the program ends").into()
    }

    /// Standard output, to be read while the program runs.
    pub fn stdout(&mut self) -> std::process::ChildStdout {
        self.0.as_mut().and_then(|child| child.stdout.take()).expect("piped")
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            let _ended = child.kill();
            let _reaped = child.wait();
        }
    }
}

/// Waits until `condition` holds.
pub fn eventually(what: &str, condition: impl Fn() -> bool) {
    let begin = Instant::now();
    while !condition() {
        assert!(begin.elapsed() < Duration::from_secs(20), "waited in vain until {what}");
        // Polls: `condition`, for 20 s.
        std::thread::sleep(Duration::from_millis(10));
    }
}
