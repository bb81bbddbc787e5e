//! The handlers of a campaign: one process a module, started again whenever one was killed.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::Context as _;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// All handlers, running or killed; none runs on once this is dropped.
#[derive(Debug)]
pub(crate) struct Handlers {
    program: PathBuf,
    socket: PathBuf,
    folder: PathBuf,
    seed: u64,
    all: Vec<One>,
}

#[derive(Debug)]
struct One {
    module: String,
    process: Option<Child>,
    starts: u64,
}

impl Handlers {
    /// Makes a handler for each of `modules`, with its diary in `folder`; starts none yet.
    ///
    /// # Errors
    ///
    /// Where this program can't be found.
    pub(crate) fn new(
        socket: PathBuf,
        folder: &Path,
        modules: &[String],
        seed: u64,
    ) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("cannot find this program")?;
        let one = |module: &String| One { module: module.clone(), process: None, starts: 0 };
        let all = modules.iter().map(one).collect();
        Ok(Self { program, socket, folder: folder.to_owned(), seed, all })
    }

    /// The diary of `module`'s handler.
    pub(crate) fn diary(&self, module: &str) -> PathBuf {
        self.folder.join(format!("{module}.diary"))
    }

    /// Starts every handler that does not run.
    ///
    /// # Errors
    ///
    /// Where one can't be started.
    pub(crate) fn start(&mut self) -> anyhow::Result<()> {
        for index in 0..self.all.len() {
            let Some(module) = self.all.get(index).map(|one| one.module.clone()) else { continue };
            let diary = self.diary(&module);
            let errors = std::fs::OpenOptions::new()
                .create(true)
                .append(true)
                .open(self.folder.join("handlers.err"))
                .context("cannot open the handlers' standard error")?;
            let Some(one) = self.all.get_mut(index).filter(|one| one.process.is_none()) else {
                continue;
            };
            one.starts += 1;
            let place = u64::try_from(index).unwrap_or_default();
            let seed = self.seed ^ (place << 32) ^ (one.starts << 48);
            let child = Command::new(&self.program)
                .arg("handler")
                .arg("--socket")
                .arg(&self.socket)
                .args(["--module", &module, "--seed", &seed.to_string(), "--diary"])
                .arg(&diary)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(errors)
                .spawn()
                .context("cannot start a handler")?;
            one.process = Some(child);
        }
        Ok(())
    }

    /// `kill -9` of those at `places`; says how many ran.
    ///
    /// # Errors
    ///
    /// Where one can't be waited for.
    pub(crate) fn kill(&mut self, places: &[usize]) -> anyhow::Result<usize> {
        let mut killed = 0;
        for place in places {
            if let Some(mut child) = self.all.get_mut(*place).and_then(|one| one.process.take()) {
                child.kill().context("cannot kill a handler")?;
                child.wait().context("cannot wait for a handler")?;
                killed += 1;
            }
        }
        Ok(killed)
    }

    /// Sends a signal to those at `places` that run.
    pub(crate) fn signal(&self, places: &[usize], signal: Signal) {
        for child in places.iter().filter_map(|place| self.all.get(*place)?.process.as_ref()) {
            if let Ok(pid) = i32::try_from(child.id()) {
                // One that has just ended shows when it is looked at.
                let _gone_or_not = kill(Pid::from_raw(pid), signal);
            }
        }
    }

    /// All places.
    pub(crate) fn places(&self) -> Vec<usize> {
        (0..self.all.len()).collect()
    }

    /// Those that ended without being killed, with how; they count as not running then.
    pub(crate) fn ended(&mut self) -> Vec<String> {
        let mut ended = Vec::new();
        for one in &mut self.all {
            let status = one.process.as_mut().and_then(|child| child.try_wait().ok().flatten());
            if let Some(status) = status {
                ended.push(format!("the handler of {} ended by itself: {status}", one.module));
                one.process = None;
            }
        }
        ended
    }
}

impl Drop for Handlers {
    fn drop(&mut self) {
        let all = self.places();
        // They may have ended already.
        let _ended = self.kill(&all);
    }
}
