//! `modtwinctl status --watch` beside the real daemon: into a pipe, and on a terminal.
#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests may fail the test")]

#[expect(dead_code, reason = "each test file uses its share")]
mod program;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use modtwin_testkit::hub::program;
use modtwin_testkit::stage::Stage;
use serde_json::{Value, json};

use program::{Background, modtwinctl};

type Story = anyhow::Result<()>;

const DEADLINE: Duration = Duration::from_secs(30);
const WATCH: [&str; 4] = ["status", "--watch", "--interval", "20ms"];

/// What a program prints, as it comes.
struct Printed {
    pieces: Receiver<String>,
    text: String,
}

impl Printed {
    /// Reads `stream` by lines, or as it comes.
    fn of(stream: impl std::io::Read + Send + 'static, by_lines: bool) -> Self {
        let (sender, pieces) = channel();
        thread::spawn(move || {
            let mut stream = BufReader::new(stream);
            let mut piece = Vec::new();
            loop {
                piece.clear();
                let read = if by_lines {
                    stream.read_until(b'\n', &mut piece)
                } else {
                    piece.resize(4096, 0);
                    stream.read(&mut piece)
                };
                let Ok(length @ 1..) = read else { return };
                let text = String::from_utf8_lossy(piece.get(..length).unwrap_or_default());
                if sender.send(text.into_owned()).is_err() {
                    return;
                }
            }
        });
        Self { pieces, text: String::new() }
    }

    /// Waits for `part` in what has not been waited for yet; returns everything up to it.
    fn until(&mut self, part: &str) -> String {
        let begin = Instant::now();
        loop {
            if let Some(at) = self.text.find(part) {
                let rest = self.text.split_off(at + part.len());
                return std::mem::replace(&mut self.text, rest);
            }
            let left = DEADLINE.saturating_sub(begin.elapsed());
            match self.pieces.recv_timeout(left) {
                Ok(piece) => self.text.push_str(&piece),
                Err(error) => panic!("waited for {part:?}: {error}; seen since: {:?}", self.text),
            }
        }
    }

    /// Everything to the end.
    fn rest(mut self) -> String {
        while let Ok(piece) = self.pieces.recv_timeout(DEADLINE) {
            self.text.push_str(&piece);
        }
        self.text
    }
}

#[tokio::test]
async fn into_a_pipe_a_page_is_printed_for_each_change_and_a_loss_is_told() -> Story {
    let mut stage = Stage::start(program("modtwind")?, 1).await?;
    let mut child = modtwinctl(&stage.gateway.socket(), &WATCH).spawn()?;
    let mut printed = Printed::of(child.stdout.take().unwrap(), true);
    let mut complaints = Printed::of(child.stderr.take().unwrap(), true);
    printed.until("1 of 1 connected\n");
    let version = stage.change("m01", json!({"target": 21})).await?;
    let block = printed.until(&format!("{version}        -        -   364\n"));
    assert_eq!(block.matches("1 of 1 connected").count(), 1, "{block}");
    stage.kill_daemon()?;
    complaints.until("asking again\n");
    stage.start_daemon().await?;
    let block = printed.until("1 of 1 connected\n");
    assert!(!block.contains('\u{1b}'), "{block:?}");
    terminate(&child);
    assert_eq!(child.wait()?.code(), Some(0));
    assert_eq!(complaints.rest(), "", "a loss is told once");
    Ok(())
}

#[tokio::test]
async fn as_json_each_change_is_a_line_and_nobody_there_is_a_failure_at_once() -> Story {
    let mut stage = Stage::build(program("modtwind")?, 1).await?;
    let arguments = [&WATCH[..], &["--json"]].concat();
    let ran = Background::start(&stage.gateway.socket(), &arguments).finish();
    assert!(ran.failure(69).contains("start modtwind"), "{ran:?}");
    stage.start_daemon().await?;
    stage.gateway.wait_connected(1).await?;
    let mut child = modtwinctl(&stage.gateway.socket(), &arguments).spawn()?;
    let mut printed = Printed::of(child.stdout.take().unwrap(), true);
    let version = stage.change("m01", json!({"target": 21})).await?;
    let seen = loop {
        let status: Value = serde_json::from_str(&printed.until("\n"))?;
        let desired = status.pointer("/modules/0/desired_version").and_then(Value::as_u64);
        if desired == Some(version) {
            break status;
        }
    };
    assert!(seen.pointer("/modules/0/credential/days_left").is_some(), "{seen}");
    terminate(&child);
    assert_eq!(child.wait()?.code(), Some(0));
    Ok(())
}

#[tokio::test]
async fn on_a_terminal_the_page_is_drawn_in_its_place_and_the_terminal_given_back() -> Story {
    let mut stage = Stage::start(program("modtwind")?, 1).await?;
    let Some(mut terminal) = terminal(&stage, "stty rows 40 cols 100; exec") else {
        println!("skipped: needs the program script (util-linux)");
        return Ok(());
    };
    let mut printed = Printed::of(terminal.stdout.take().unwrap(), false);
    let begin = printed.until("1 of 1 connected");
    assert!(begin.contains("\u{1b}[?1049h\u{1b}[?25l"), "{begin:?}");
    let version = stage.change("m01", json!({"target": 21})).await?;
    let drawn = printed.until(&format!("{version}        -        -   364"));
    assert!(drawn.contains("\u{1b}[H"), "drawn from the top: {drawn:?}");
    assert!(drawn.contains("\u{1b}[32mconnected"), "{drawn:?}");
    stage.kill_daemon()?;
    printed.until("asking again");
    printed.until("as it was ");
    stage.start_daemon().await?;
    printed.until("\u{1b}[H");
    printed.until("1 of 1 connected");
    // Ctrl-C, as it is typed.
    let mut keyboard = terminal.stdin.take().unwrap();
    keyboard.write_all(b"\x03")?;
    keyboard.flush()?;
    let end = printed.rest();
    assert!(end.trim_end().ends_with("\u{1b}[?7h\u{1b}[?25h\u{1b}[?1049l"), "{end:?}");
    assert_eq!(terminal.wait()?.code(), Some(0));
    Ok(())
}

#[tokio::test]
async fn on_a_low_terminal_what_does_not_fit_is_counted() -> Story {
    let stage = Stage::start(program("modtwind")?, 3).await?;
    let Some(mut terminal) = terminal(&stage, "stty rows 6 cols 100; exec") else {
        println!("skipped: needs the program script (util-linux)");
        return Ok(());
    };
    let mut printed = Printed::of(terminal.stdout.take().unwrap(), false);
    let drawn = printed.until("… 3 more lines");
    assert!(drawn.contains("m01") || drawn.contains("MODULE"), "{drawn:?}");
    let mut keyboard = terminal.stdin.take().unwrap();
    keyboard.write_all(b"\x03")?;
    keyboard.flush()?;
    drop(printed.rest());
    assert_eq!(terminal.wait()?.code(), Some(0));
    Ok(())
}

/// The program on a pseudo-terminal, made by `script`, which ends with the program's status; none
/// where there is no `script`.
fn terminal(stage: &Stage, before: &str) -> Option<Child> {
    let program = env!("CARGO_BIN_EXE_modtwinctl");
    let line = format!("{before} '{program}' {}", WATCH.join(" "));
    Command::new("script")
        .args(["--quiet", "--flush", "--return", "--command", &line, "/dev/null"])
        .env("MODTWIN_SOCKET", stage.gateway.socket())
        .env("TERM", "xterm")
        .env_remove("NO_COLOR")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .ok()
}

fn terminate(child: &Child) {
    let id = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
    nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGTERM).unwrap();
}
