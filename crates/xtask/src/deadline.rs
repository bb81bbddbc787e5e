//! Ends a command that takes too long, with all that it started: a hang becomes a failure with a
//! name, in minutes.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// Watches one command. Ask [`Watchdog::has_struck`] when the command has ended.
#[derive(Debug)]
pub(crate) struct Watchdog {
    done: Sender<()>,
    thread: JoinHandle<bool>,
}

impl Watchdog {
    /// Kills the process `pid` and its descendants unless told within `limit` that it has ended.
    pub(crate) fn watch(pid: u32, limit: Duration) -> Self {
        let (done, told) = channel::<()>();
        let thread = std::thread::spawn(move || {
            let late = told.recv_timeout(limit) == Err(RecvTimeoutError::Timeout);
            if late {
                kill(&with_descendants(pid));
            }
            late
        });
        Self { done, thread }
    }

    /// Ends the watch; says whether the command had to be killed.
    pub(crate) fn has_struck(self) -> bool {
        drop(self.done);
        self.thread.join().unwrap_or(false)
    }
}

/// Lists a process and all that descend from it, as they are now.
fn with_descendants(pid: u32) -> Vec<u32> {
    let mut found = vec![pid];
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        next += 1;
        found.extend(children(parent));
    }
    found
}

/// Reads the children of every thread of a process (proc(5), `children`).
fn children(pid: u32) -> Vec<u32> {
    let Ok(threads) = std::fs::read_dir(Path::new("/proc").join(pid.to_string()).join("task"))
    else {
        return Vec::new();
    };
    let lists = threads.flatten().map(|thread| thread.path().join("children"));
    let texts: Vec<String> = lists.flat_map(std::fs::read_to_string).collect();
    texts.iter().flat_map(|text| text.split_whitespace()).flat_map(str::parse).collect()
}

fn kill(pids: &[u32]) {
    let pids = pids.iter().map(u32::to_string);
    // Whoever has ended meanwhile makes `kill` complain, and that is no news.
    let _some_gone = Command::new("kill")
        .arg("-KILL")
        .args(pids)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .status();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_takes_too_long_ends_with_its_children() {
        let mut child = Command::new("sh")
            .args(["-c", "sleep 600 & wait"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let watchdog = Watchdog::watch(child.id(), Duration::from_millis(200));
        // The pipe is closed only when the last of them is gone.
        std::io::copy(&mut child.stdout.take().unwrap(), &mut std::io::sink()).unwrap();
        assert!(!child.wait().unwrap().success());
        assert!(watchdog.has_struck());
    }

    #[test]
    fn a_command_that_ends_in_time_is_left_alone() {
        let mut child = Command::new("true").spawn().unwrap();
        let watchdog = Watchdog::watch(child.id(), Duration::from_secs(600));
        assert!(child.wait().unwrap().success());
        assert!(!watchdog.has_struck());
    }
}
