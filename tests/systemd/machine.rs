//! A machine with a real systemd: a container booted from a root file system that stays clean,
//! because what is written lands in memory.

use std::fs;
use std::io::{Read as _, Seek as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use modtwin_testkit::patience::{Look, until};

/// How long to wait for what takes a second or two.
pub(crate) const SOON: Duration = Duration::from_secs(30);

/// Boots from the first argument's root as the second's name. The container gets control groups of
/// its own, which a machine whose first process is no systemd does not hand out by itself.
const BOOT: &str = r#"
for hierarchy in /sys/fs/cgroup/systemd /sys/fs/cgroup/unified /sys/fs/cgroup; do
    [ -e "$hierarchy/cgroup.procs" ] || continue
    mkdir -p "$hierarchy/$2" && echo $$ >"$hierarchy/$2/cgroup.procs" || exit 1
done
export SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1
exec systemd-nspawn --quiet --directory="$1" --boot --register=no --keep-unit \
    --volatile=overlay --bind-ro="$3":/mnt/packages --machine="$2"
"#;

/// What `cargo xtask systemd-test` has set up.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    root: PathBuf,
    packages: PathBuf,
}

/// The set-up, or none, which is said.
pub(crate) fn setup() -> Option<Setup> {
    let path = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let setup = path("MODTWIN_SYSTEMD_ROOT").zip(path("MODTWIN_SYSTEMD_PACKAGES"));
    if setup.is_none() {
        eprintln!("skipped: no packages and no root file system; run `cargo xtask systemd-test`");
    }
    setup.map(|(root, packages)| Setup { root, packages })
}

/// A booted machine; powered off when dropped.
#[derive(Debug)]
pub(crate) struct Machine {
    name: String,
    container: Child,
    /// Its first process, as this machine numbers it.
    leader: u32,
}

impl Machine {
    /// Boots one.
    pub(crate) async fn boot(setup: &Setup) -> anyhow::Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("modtwin-{}-{count}", std::process::id());
        let mut complaints = tempfile::tempfile().context("cannot make a file")?;
        let container = Command::new("sh")
            .args(["-c", BOOT, "boot"])
            .args([setup.root.as_os_str(), name.as_ref(), setup.packages.as_os_str()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(complaints.try_clone().context("cannot share a file")?)
            // A signal for the test is none for the container: it is powered off.
            .process_group(0)
            .spawn()
            .context("cannot start systemd-nspawn")?;
        let mut machine = Self { name, container, leader: 0 };
        machine.leader = until("the container's first process", SOON, async || {
            if let Some(status) = machine.container.try_wait()? {
                let mut text = String::new();
                complaints.rewind()?;
                complaints.read_to_string(&mut text)?;
                bail!("systemd-nspawn ended with {status}: {text}");
            }
            let none = || Look::NotYet("none".to_owned());
            Ok(first_process_below(machine.container.id()).map_or_else(none, Look::Found))
        })
        .await?;
        let ready = "systemctl is-system-running | grep -qE 'running|degraded'";
        machine.wait("the system to run", ready).await?;
        Ok(machine)
    }

    /// Boots one with the packages' first version installed.
    pub(crate) async fn with_packages(setup: &Setup) -> anyhow::Result<Self> {
        let machine = Self::boot(setup).await?;
        machine.run("dpkg -i /mnt/packages/old/modtwin_*.deb")?;
        Ok(machine)
    }

    /// A shell script to run in there as root.
    pub(crate) fn command(&self, script: &str) -> Command {
        let mut command = Command::new("nsenter");
        command
            .args(["--all", "--target", &self.leader.to_string(), "--", "sh", "-c", script])
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("DEBIAN_FRONTEND", "noninteractive")
            .env("SYSTEMD_PAGER", "cat")
            .stdin(Stdio::null());
        command
    }

    /// Runs a shell script in there, whatever comes of it.
    pub(crate) fn attempt(&self, script: &str) -> anyhow::Result<Output> {
        self.command(script).output().with_context(|| format!("cannot run `{script}`"))
    }

    /// Runs a shell script in there and returns what it prints.
    pub(crate) fn run(&self, script: &str) -> anyhow::Result<String> {
        let output = self.attempt(script)?;
        if !output.status.success() {
            bail!("`{script}` ended with {}: {}", output.status, said(&output));
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
    }

    /// Runs a shell script in there that has to fail; returns its exit status and all it says.
    pub(crate) fn refused(&self, script: &str) -> anyhow::Result<(i32, String)> {
        let output = self.attempt(script)?;
        match output.status.code() {
            Some(0) | None => bail!("`{script}` ended with {}: {}", output.status, said(&output)),
            Some(code) => Ok((code, said(&output))),
        }
    }

    /// Runs a shell script in there again and again until it succeeds.
    pub(crate) async fn wait(&self, awaited: &str, script: &str) -> anyhow::Result<String> {
        until(awaited, SOON, async || {
            let output = self.attempt(script)?;
            Ok(if output.status.success() {
                Look::Found(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
            } else {
                Look::NotYet(said(&output))
            })
        })
        .await
    }

    /// A property of a unit, as `systemctl show` has it.
    pub(crate) fn property(&self, unit: &str, name: &str) -> anyhow::Result<String> {
        self.run(&format!("systemctl show --value -p {name} '{unit}'"))
    }

    /// Waits until a property of a unit is `value`.
    pub(crate) async fn wait_property(
        &self,
        unit: &str,
        name: &str,
        value: &str,
    ) -> anyhow::Result<()> {
        let script = format!(
            "v=$(systemctl show --value -p {name} '{unit}'); echo \"$v\"; [ \"$v\" = '{value}' ]"
        );
        self.wait(&format!("{name} of {unit} to be {value}"), &script).await.map(|_shown| ())
    }

    /// Everything in the journal of a unit so far.
    pub(crate) fn journal(&self, unit: &str) -> anyhow::Result<String> {
        self.run(&format!("journalctl --sync; journalctl -o cat -u '{unit}'"))
    }

    /// Has the kernel give the process number `number` to the main process of `unit`, which starts
    /// over and over (proc(5), `ns_last_pid`).
    pub(crate) async fn hand_out_again(&self, number: u32, unit: &str) -> anyhow::Result<()> {
        let rewind = format!("echo {} >/proc/sys/kernel/ns_last_pid", number.saturating_sub(8));
        until(&format!("process {number} to be one of {unit}"), SOON, async || {
            let found = self.property(unit, "MainPID")?;
            if found == number.to_string() {
                return Ok(Look::Found(()));
            }
            // In the machine's numbering, by the file out here: in there it may not be written.
            let output = Command::new("nsenter")
                .args(["--pid", "--target", &self.leader.to_string(), "--", "sh", "-c", &rewind])
                .output()?;
            if !output.status.success() {
                bail!("cannot set ns_last_pid: {}", said(&output));
            }
            Ok(Look::NotYet(format!("process {found}")))
        })
        .await
    }

    /// Writes a file in there, as root's, in one go.
    pub(crate) fn write(&self, path: &str, text: impl AsRef<[u8]>) -> anyhow::Result<()> {
        let file = self.path(path);
        let new = self.path(&format!("{path}.new"));
        if let Some(folder) = file.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(&new, text).with_context(|| format!("cannot write `{path}`"))?;
        fs::rename(new, file).with_context(|| format!("cannot write `{path}`"))
    }

    /// Says whether there is a file of that name in there.
    pub(crate) fn has(&self, path: &str) -> bool {
        self.path(path).symlink_metadata().is_ok()
    }

    /// Where a file in there is to be found from out here.
    fn path(&self, path: &str) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.leader));
        root.join(path.trim_start_matches('/'))
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Whatever fails here leaves a container behind that the next step ends for good.
        let _asked = self.attempt("systemctl poweroff");
        let deadline = Instant::now() + Duration::from_secs(20);
        while let Ok(None) = self.container.try_wait() {
            if Instant::now() > deadline {
                // The end of its first process is that of all in there; it outlives systemd-nspawn.
                if let Some(first) = first_process_below(self.container.id()) {
                    let _gone = Command::new("kill").args(["-KILL", &first.to_string()]).status();
                }
                let _killed = self.container.kill();
            }
            // Polls: the container's end, until it is killed above.
            std::thread::sleep(Duration::from_millis(20));
        }
        for hierarchy in ["systemd", "unified", ""] {
            remove_groups(&Path::new("/sys/fs/cgroup").join(hierarchy).join(&self.name));
        }
        // systemd-nspawn leaves it where /run is on a disk.
        let _not_there =
            fs::remove_dir(Path::new("/run/systemd/nspawn/propagate").join(&self.name));
    }
}

/// What a command printed, on both ways.
pub(crate) fn said(output: &Output) -> String {
    let text = [output.stdout.as_slice(), &output.stderr].concat();
    String::from_utf8_lossy(&text).trim_end().to_owned()
}

/// The child that is the first process of a namespace of its own: systemd-nspawn has others while
/// it sets up (proc(5), `NSpid`).
fn first_process_below(pid: u32) -> Option<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    let is_first = |pid: &u32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let numbers = status.lines().find(|line| line.starts_with("NSpid:")).unwrap_or_default();
        let has_begun = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        numbers.split_whitespace().nth(2) == Some("1") && has_begun.trim() == "systemd"
    };
    children.split_whitespace().flat_map(str::parse).find(is_first)
}

/// Removes control groups that nobody is in any more, the innermost first.
fn remove_groups(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_groups(&entry.path());
        }
    }
    let _not_there = fs::remove_dir(folder);
}
