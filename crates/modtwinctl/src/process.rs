//! One run of a command: fed, watched, bounded in time, and judged.

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::failure::one_line;

/// The longest description that is passed on, in characters.
const MAX_DESCRIPTION: usize = 256;

/// How much of a line of standard error is kept, in bytes; enough for any description.
const MAX_LINE_BYTES: usize = 4 * MAX_DESCRIPTION;

/// How long a command has to end after SIGTERM before SIGKILL.
const GRACE: Duration = Duration::from_secs(2);

/// How long its outputs may stay open after the command: its own children may hold them.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// What to run.
#[derive(Debug)]
pub(crate) struct Job<'a> {
    /// The command and its arguments.
    pub(crate) command: &'a [OsString],
    /// What goes to its standard input.
    pub(crate) input: String,
    /// What is added to its environment.
    pub(crate) environment: Vec<(&'static str, String)>,
    /// How long it may run.
    pub(crate) timeout: Duration,
    /// How many bytes of standard output to keep; passed on instead where there is no number.
    pub(crate) keep: Option<usize>,
    /// Ends the run early when it is sent to or dropped.
    pub(crate) cancel: oneshot::Receiver<()>,
}

/// How a run ended, as an acknowledgement or the answer to a method says it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    /// 200 where it succeeded, 504 where it took too long, else 500.
    pub(crate) status: u16,
    /// Why it did not succeed.
    pub(crate) description: Option<String>,
    /// What it printed, where that was to be kept and it succeeded.
    pub(crate) stdout: Vec<u8>,
}

impl Ended {
    fn refused(status: u16, why: &str) -> Self {
        let why = one_line(why).chars().take(MAX_DESCRIPTION).collect();
        Self { status, description: Some(why), stdout: Vec::new() }
    }
}

/// Runs a command to its end, or to the end of its time. Dropped early, it asks the command and
/// all in its process group to end, and does not wait for that.
pub(crate) async fn run(job: Job<'_>) -> Ended {
    let mut group = match start(&job) {
        Ok(group) => group,
        Err(error) => return Ended::refused(500, &error),
    };
    let feed = tokio::spawn(feed(group.child.stdin.take(), job.input));
    let (stdout, keep) = (group.child.stdout.take(), job.keep.unwrap_or_default());
    let printed = tokio::spawn(async move {
        match stdout {
            Some(stdout) => whole(stdout, keep).await,
            None => Some(Vec::new()),
        }
    });
    let stderr = group.child.stderr.take();
    let mut words = tokio::spawn(async move {
        match stderr {
            Some(stderr) => last_line(stderr).await,
            None => String::new(),
        }
    });
    let ended = tokio::select! {
        biased;
        _ = job.cancel => Err(Ended::refused(500, "interrupted")),
        status = group.child.wait() => Ok(status),
        () = tokio::time::sleep(job.timeout) => {
            let limit = humantime::format_duration(job.timeout);
            Err(Ended::refused(504, &format!("did not end within {limit}")))
        }
    };
    feed.abort();
    let status = match ended {
        Ok(status) => status,
        Err(early) => {
            group.end().await;
            words.abort();
            printed.abort();
            return early;
        }
    };
    let words = match tokio::time::timeout(LAST_WORDS, &mut words).await {
        Ok(words) => words.unwrap_or_default(),
        Err(_elapsed) => {
            words.abort();
            String::new()
        }
    };
    let ended = judge(status, &words);
    match ended.status {
        200 => with_output(ended, printed, keep).await,
        _ => {
            printed.abort();
            ended
        }
    }
}

/// Gives a command its input.
async fn feed(stdin: Option<ChildStdin>, input: String) {
    if let Some(mut stdin) = stdin {
        // A command that does not read all of its input has read enough.
        let _enough = stdin.write_all(input.as_bytes()).await;
    }
}

/// Adds what a run that succeeded printed.
async fn with_output(ended: Ended, mut printed: JoinHandle<Option<Vec<u8>>>, keep: usize) -> Ended {
    match tokio::time::timeout(LAST_WORDS, &mut printed).await {
        Ok(Ok(Some(stdout))) => Ended { stdout, ..ended },
        Ok(_) => Ended::refused(500, &format!("printed more than {keep} bytes")),
        Err(_elapsed) => {
            printed.abort();
            Ended::refused(500, "left its standard output open")
        }
    }
}

fn start(job: &Job<'_>) -> Result<Group, String> {
    let Some((program, arguments)) = job.command.split_first() else {
        return Err("no command to run".to_owned());
    };
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env_remove("MODTWIN_HANDLER")
        .envs(job.environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::piped())
        .stdout(if job.keep.is_some() { Stdio::piped() } else { Stdio::inherit() })
        .stderr(Stdio::piped())
        .process_group(0);
    match command.spawn() {
        Ok(child) => Ok(Group::new(child)),
        Err(error) => Err(format!("cannot run `{}`: {error}", program.display())),
    }
}

fn judge(status: io::Result<ExitStatus>, words: &str) -> Ended {
    let status = match status {
        Ok(status) if status.success() => {
            return Ended { status: 200, description: None, stdout: Vec::new() };
        }
        Ok(status) => status,
        Err(error) => return Ended::refused(500, &format!("cannot wait for it: {error}")),
    };
    if !words.trim().is_empty() {
        return Ended::refused(500, words);
    }
    match (status.code(), status.signal()) {
        (Some(code), _) => Ended::refused(500, &format!("exit status {code}")),
        (None, Some(signal)) => Ended::refused(500, &format!("ended by signal {signal}")),
        (None, None) => Ended::refused(500, "ended without a status"),
    }
}

/// Reads everything and keeps it; none where that is more than `most` bytes.
async fn whole(mut stdout: impl AsyncRead + Unpin, most: usize) -> Option<Vec<u8>> {
    let mut kept = Some(Vec::new());
    let mut chunk = [0; 4096];
    while let Ok(count @ 1..) = stdout.read(&mut chunk).await {
        let come = chunk.get(..count).unwrap_or_default();
        // What is too much is read on, or the command would never end.
        kept = kept.filter(|kept| kept.len() + count <= most).map(|mut kept| {
            kept.extend_from_slice(come);
            kept
        });
    }
    kept
}

/// Passes standard error on and keeps its last line that says anything.
async fn last_line(mut stderr: impl AsyncRead + Unpin) -> String {
    let (mut line, mut last) = (Vec::new(), Vec::new());
    let mut chunk = [0; 4096];
    while let Ok(count @ 1..) = stderr.read(&mut chunk).await {
        let come = chunk.get(..count).unwrap_or_default();
        // Without standard error there is nobody left to tell.
        let _unheard = io::stderr().write_all(come);
        for byte in come {
            if *byte == b'\n' {
                keep(&mut line, &mut last);
            } else if line.len() < MAX_LINE_BYTES {
                line.push(*byte);
            }
        }
    }
    keep(&mut line, &mut last);
    String::from_utf8_lossy(&last).into_owned()
}

fn keep(line: &mut Vec<u8>, last: &mut Vec<u8>) {
    if line.iter().any(|byte| !byte.is_ascii_whitespace()) {
        std::mem::swap(line, last);
    }
    line.clear();
}

/// A command and whatever it started, in a process group of their own.
#[derive(Debug)]
struct Group {
    child: Child,
    id: Option<Pid>,
}

impl Group {
    fn new(child: Child) -> Self {
        // The group has the number of its first process (setpgid(2)).
        let id = child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
        Self { child, id }
    }

    /// Asks the group to end, and insists after [`GRACE`].
    async fn end(&mut self) {
        self.signal(Signal::SIGTERM);
        if tokio::time::timeout(GRACE, self.child.wait()).await.is_err() {
            self.signal(Signal::SIGKILL);
            let _reaped = self.child.wait().await;
        }
    }

    fn signal(&self, signal: Signal) {
        if let Some(id) = self.id {
            // A group that has ended needs no signal.
            let _gone = killpg(id, signal);
        }
    }
}

impl Drop for Group {
    /// Ends what is still there, unless the command itself has ended: its number may then be
    /// somebody else's.
    fn drop(&mut self) {
        if self.child.id().is_some() {
            self.signal(Signal::SIGTERM);
        }
    }
}
