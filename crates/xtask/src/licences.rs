//! The licences of the libraries that are built into a program: their names, and the texts that
//! their authors want passed on.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

/// What files with such a text are called.
const NAMES: [&str; 6] = ["licen", "copying", "notice", "unlicense", "epl", "edl"];

/// A library, as `cargo tree` tells it.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Library {
    name: String,
    version: String,
    licence: String,
    repository: String,
}

/// Writes names and texts for what is linked into `programs` to `file`.
///
/// # Errors
/// cargo can't tell what that is, or the file can't be written.
pub(crate) fn write(root: &Path, programs: &[&str], file: &Path) -> anyhow::Result<()> {
    let libraries = libraries(root, programs)?;
    let mut text = String::from("Libraries built into these programs, and their licences.\n\n");
    let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for library in &libraries {
        let Library { name, version, licence, repository } = library;
        let _infallible = writeln!(text, "{name} {version}: {licence}; {repository}");
        let found = texts_of(library)?;
        if found.is_empty() {
            bail!("no licence text of {name} {version} below cargo's registry; run `cargo fetch`");
        }
        for found in found {
            texts.entry(found).or_default().push(format!("{name} {version}"));
        }
    }
    for (licence, of) in texts {
        let line = "=".repeat(80);
        let _infallible = write!(text, "\n{line}\n{}\n{line}\n\n{licence}\n", of.join(", "));
    }
    std::fs::write(file, text).with_context(|| format!("cannot write `{}`", file.display()))
}

fn libraries(root: &Path, programs: &[&str]) -> anyhow::Result<Vec<Library>> {
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["tree", "--locked", "--edges", "normal", "--prefix", "none"])
        .args(["--format", "{p}|{l}|{r}"])
        .args(programs.iter().flat_map(|program| ["--package", *program]))
        .current_dir(root)
        .stdin(Stdio::null())
        .output()
        .context("cannot run cargo")?;
    if !output.status.success() {
        bail!("`cargo tree` failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let mut libraries: Vec<Library> =
        String::from_utf8_lossy(&output.stdout).lines().filter_map(library).collect();
    libraries.sort();
    libraries.dedup();
    Ok(libraries)
}

/// Reads a line of `cargo tree`; none where it is about one of ours, or nothing that is linked.
fn library(line: &str) -> Option<Library> {
    let line = line.trim_end_matches(" (*)");
    let (package, rest) = line.split_once('|')?;
    let (licence, repository) = rest.split_once('|')?;
    let (name, rest) = package.split_once(" v")?;
    // A path in brackets is a crate of the workspace; a macro runs when the program is built.
    if rest.contains('(') {
        return None;
    }
    let own = |text: &str| text.trim().to_owned();
    Some(Library {
        name: own(name),
        version: own(rest),
        licence: own(licence),
        repository: own(repository),
    })
}

/// The licence texts in the library's source, as cargo has unpacked it.
fn texts_of(library: &Library) -> anyhow::Result<Vec<String>> {
    let home = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo")));
    let registry = home.context("neither CARGO_HOME nor HOME is set")?.join("registry/src");
    let folder = format!("{}-{}", library.name, library.version);
    let mut texts = Vec::new();
    for source in std::fs::read_dir(&registry).context("cannot list cargo's registry")?.flatten() {
        for file in std::fs::read_dir(source.path().join(&folder)).into_iter().flatten().flatten() {
            let name = file.file_name().to_string_lossy().to_lowercase();
            // Some also have a page of it for browsers.
            if NAMES.iter().any(|it| name.starts_with(it)) && !name.ends_with(".html") {
                // A folder of that name is no text.
                texts.extend(std::fs::read_to_string(file.path()).ok());
            }
        }
    }
    texts.sort();
    texts.dedup();
    Ok(texts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ours_or_not_linked_is_left_out() {
        let found = library("hyper v1.12.0|MIT|https://example.test/hyper (*)").unwrap();
        assert_eq!((found.name.as_str(), found.version.as_str()), ("hyper", "1.12.0"));
        assert_eq!(
            (found.licence.as_str(), found.repository.as_str()),
            ("MIT", "https://example.test/hyper")
        );
        for line in
            ["modtwind v0.1.0 (/src/crates/modtwind)|MIT|", "heck v1.0.0 (proc-macro)|MIT|", ""]
        {
            assert_eq!(library(line), None, "{line}");
        }
    }
}
