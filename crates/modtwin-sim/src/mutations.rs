//! Shows that the simulation finds bugs: plants them in a copy of the core, one at a time, and looks
//! how many histories it takes until a promise breaks.
//!
//! The core itself has no hooks for this: a mutation is an edit of its source text. The copy, a
//! workspace of the core, the wire and this crate, lives under `target/`.

mod catalogue;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;

pub use self::catalogue::MUTATIONS;

/// A bug to plant.
#[derive(Debug, Clone, Copy)]
pub struct Mutation {
    /// Its name.
    pub name: &'static str,
    /// What the core does wrong then.
    pub what: &'static str,
    /// The edits that plant it.
    pub edits: &'static [Edit],
}

/// One edit of the core's source.
#[derive(Debug, Clone, Copy)]
pub struct Edit {
    /// The file, from the core's `src`.
    pub file: &'static str,
    /// The text, which stands there once.
    pub find: &'static str,
    /// What stands there instead.
    pub replace: &'static str,
}

/// How a planted bug was found.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Finding {
    /// The mutation's name.
    pub name: &'static str,
    /// What the core does wrong.
    pub what: &'static str,
    /// The seed that breaks a promise, where one was found.
    pub seed: Option<u64>,
    /// Which promise.
    pub promise: String,
}

/// The crates of the copy.
const CRATES: [&str; 3] = ["modtwin-core", "modtwin-wire", "modtwin-sim"];
/// How long one mutation's histories may take: a bug may well make the core run in circles.
const LIMIT: Duration = Duration::from_secs(120);

/// A copy of the workspace that can be spoilt.
#[derive(Debug)]
pub struct Copy {
    /// The checkout.
    root: PathBuf,
    /// Where the copy is.
    work: PathBuf,
}

impl Copy {
    /// Makes a copy of the checkout at `root` under its `target/`.
    ///
    /// # Errors
    ///
    /// Where a file can't be read or written.
    pub fn make(root: &Path) -> anyhow::Result<Self> {
        let work = root.join("target/mutations/work");
        if work.exists() {
            fs::remove_dir_all(&work).context("cannot remove the last copy")?;
        }
        for name in CRATES {
            let (from, to) = (root.join("crates").join(name), work.join("crates").join(name));
            copy_folder(&from.join("src"), &to.join("src"))?;
            copy_file(&from.join("Cargo.toml"), &to.join("Cargo.toml"))?;
        }
        copy_file(&root.join("Cargo.lock"), &work.join("Cargo.lock"))?;
        let manifest = read(&root.join("Cargo.toml"))?;
        write(&work.join("Cargo.toml"), &fewer_members(&manifest)?)?;
        Ok(Self { root: root.to_owned(), work })
    }

    /// Plants `mutation`, lives through at most `seeds` histories, and mends the core again.
    ///
    /// # Errors
    ///
    /// Where an edit does not fit the core any more, or the result does not build.
    pub fn try_out(&self, mutation: &'static Mutation, seeds: u64) -> anyhow::Result<Finding> {
        let (name, what) = (mutation.name, mutation.what);
        for edit in mutation.edits {
            let file = self.work.join("crates/modtwin-core/src").join(edit.file);
            let spoilt = edit.apply(&read(&file)?).with_context(|| format!("mutation {name}"))?;
            write(&file, &spoilt)?;
        }
        let tried = self.build().and_then(|()| self.run(seeds));
        for edit in mutation.edits {
            let file = Path::new("crates/modtwin-core/src").join(edit.file);
            write(&self.work.join(&file), &read(&self.root.join(&file))?)?;
        }
        let (seed, promise) = tried.with_context(|| format!("mutation {name}"))?;
        Ok(Finding { name, what, seed, promise })
    }

    fn build(&self) -> anyhow::Result<()> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let status = Command::new(cargo)
            .args(["build", "--quiet", "--offline", "--profile", "simulation"])
            .args(["--package", "modtwin-sim", "--target-dir"])
            .arg(self.root.join("target/mutations/build"))
            // Building takes longer than the histories.
            .env("CARGO_PROFILE_SIMULATION_OPT_LEVEL", "1")
            .env("CARGO_PROFILE_SIMULATION_DEBUG", "none")
            .env("CARGO_INCREMENTAL", "1")
            // The spoilt code may have a part that nothing uses any more.
            .env("RUSTFLAGS", "-A warnings")
            .current_dir(&self.work)
            .stdin(Stdio::null())
            .status()
            .context("cannot run cargo")?;
        ensure!(status.success(), "the spoilt core does not build; what cargo says is above");
        Ok(())
    }

    /// Lives through histories with the spoilt core; says which seed broke what.
    fn run(&self, seeds: u64) -> anyhow::Result<(Option<u64>, String)> {
        let program = self.root.join("target/mutations/build/simulation/modtwin-sim");
        let mut child = Command::new(&program)
            .args(["simulate", "--json", "--seeds", &seeds.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start `{}`", program.display()))?;
        let deadline = Instant::now() + LIMIT;
        while child.try_wait().context("cannot wait for the simulation")?.is_none() {
            if Instant::now() > deadline {
                child.kill().context("cannot end the simulation")?;
                child.wait().context("cannot wait for the simulation")?;
                bail!("the histories did not end within {} s", LIMIT.as_secs());
            }
            std::thread::park_timeout(Duration::from_millis(20));
        }
        let output = child.wait_with_output().context("cannot read what the simulation says")?;
        let text = String::from_utf8_lossy(&output.stdout);
        let line = text.lines().next().unwrap_or_default();
        let report: Value = serde_json::from_str(line)
            .with_context(|| format!("expected a report in JSON, found `{line}`"))?;
        let promise = report.get("promise").and_then(Value::as_str).unwrap_or_default();
        Ok((report.get("broken").and_then(Value::as_u64), promise.to_owned()))
    }
}

impl Edit {
    /// `text` with the edit.
    fn apply(&self, text: &str) -> anyhow::Result<String> {
        let found = text.matches(self.find).count();
        ensure!(
            found == 1,
            "expected this text once in the core's {}, found it {found} times: mend the catalogue of \
             mutations\n{}",
            self.file,
            self.find
        );
        Ok(text.replace(self.find, self.replace))
    }
}

/// The root manifest with the copy's members alone.
fn fewer_members(manifest: &str) -> anyhow::Result<String> {
    let (before, rest) =
        manifest.split_once("members = [").context("no `members` in Cargo.toml")?;
    let (_, after) = rest.split_once(']').context("`members` in Cargo.toml does not end")?;
    let members = CRATES.map(|name| format!("\"crates/{name}\"")).join(", ");
    Ok(format!("{before}members = [{members}]{after}"))
}

fn copy_folder(from: &Path, to: &Path) -> anyhow::Result<()> {
    let entries =
        fs::read_dir(from).with_context(|| format!("cannot read `{}`", from.display()))?;
    for entry in entries {
        let entry = entry.with_context(|| format!("cannot read `{}`", from.display()))?;
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            copy_file(&entry.path(), &target)?;
        }
    }
    Ok(())
}

fn copy_file(from: &Path, to: &Path) -> anyhow::Result<()> {
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder)
            .with_context(|| format!("cannot make `{}`", folder.display()))?;
    }
    write(to, &read(from)?)
}

fn read(path: &Path) -> anyhow::Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read `{}`", path.display()))
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write `{}`", path.display()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_mutation_still_fits_the_core() {
        let core = Path::new(env!("CARGO_MANIFEST_DIR")).join("../modtwin-core/src");
        let mut names = BTreeSet::new();
        for mutation in MUTATIONS {
            assert!(names.insert(mutation.name), "{} stands twice", mutation.name);
            for edit in mutation.edits {
                let text = read(&core.join(edit.file)).unwrap();
                let spoilt = edit.apply(&text).unwrap();
                assert_ne!(spoilt, text, "{}", mutation.name);
            }
        }
        assert!(names.len() >= 12);
    }

    #[test]
    fn the_copy_has_the_members_that_the_core_needs() {
        let manifest = "a\nmembers = [\n \"x\",\n]\n[rest]";
        let members = r#"["crates/modtwin-core", "crates/modtwin-wire", "crates/modtwin-sim"]"#;
        assert_eq!(fewer_members(manifest).unwrap(), format!("a\nmembers = {members}\n[rest]"));
        assert!(fewer_members("nothing").is_err());
    }
}
