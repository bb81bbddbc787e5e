//! Reads the files that make up a config.
//!
//! Owns which files those are and in which order. Leaves judging their text to `check`.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::check::Input;
use crate::model::Config;
use crate::problem::{Problem, ProblemKind, Problems};

/// The largest file that is read, in bytes: far above any real config, far below harm.
pub const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// One file's name and text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The file's path: problems name it, and relative paths in the text begin at its folder.
    pub path: PathBuf,
    /// What the file says.
    pub text: String,
}

/// The folder whose `*.toml` files are joined to the file at `path`: `conf.d` beside it.
#[must_use]
pub fn drop_in_folder(path: &Path) -> PathBuf {
    path.parent().unwrap_or(Path::new("")).join("conf.d")
}

impl Config {
    /// Reads the file at `path` and the `conf.d/*.toml` beside it, joins and checks them.
    ///
    /// Hidden files and those that do not end in `.toml` are passed over; no `conf.d` is fine.
    ///
    /// # Errors
    ///
    /// [`Problems`] with every fault of every file. One fault refuses all files.
    pub fn load(path: &Path) -> Result<Self, Problems> {
        let mut problems = Vec::new();
        let mut inputs = vec![read(path)];
        match drop_ins(&drop_in_folder(path)) {
            Ok(paths) => inputs.extend(paths.iter().map(|path| read(path))),
            Err(problem) => problems.push(problem),
        }
        Self::check_inputs(inputs, problems)
    }

    /// Joins and checks `sources` as [`load`](Self::load) does, without touching a file.
    ///
    /// # Errors
    ///
    /// [`Problems`] with every fault of every source.
    pub fn check(sources: &[Source]) -> Result<Self, Problems> {
        let inputs = sources.iter().cloned().map(Input::Text).collect();
        Self::check_inputs(inputs, Vec::new())
    }
}

/// The paths of `folder/*.toml`, by name.
fn drop_ins(folder: &Path) -> Result<Vec<PathBuf>, Problem> {
    let unreadable = |error: &io::Error| unreadable(folder, "cannot list the folder", error);
    let entries = match folder.read_dir() {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(unreadable(&error)),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| unreadable(&error))?.path();
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if !hidden && path.extension().is_some_and(|extension| extension == "toml") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

/// Reads one file whole.
fn read(path: &Path) -> Input {
    match read_text(path) {
        Ok(text) => Input::Text(Source { path: path.to_owned(), text }),
        Err(problem) => Input::Refused(problem),
    }
}

fn read_text(path: &Path) -> Result<String, Problem> {
    let failed = |error: io::Error| unreadable(path, "cannot read the file", &error);
    // Asked before opening: opening a pipe that nobody writes to would wait for ever.
    if !path.metadata().map_err(failed)?.is_file() {
        return Err(whole(path, "expected a file, found something else"));
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > MAX_FILE_BYTES) {
        return Err(whole(path, "expected at most 1 MiB, found more"));
    }
    String::from_utf8(bytes).map_err(|error| {
        let before = error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default();
        Problem {
            line: Some(1 + before.iter().filter(|byte| **byte == b'\n').count()),
            kind: ProblemKind::Syntax,
            ..whole(path, "expected UTF-8, found bytes that are none")
        }
    })
}

fn unreadable(path: &Path, attempt: &str, error: &io::Error) -> Problem {
    whole(path, &format!("{attempt}: {error}"))
}

fn whole(path: &Path, message: &str) -> Problem {
    Problem {
        file: path.to_owned(),
        line: None,
        key: String::new(),
        kind: ProblemKind::Unreadable,
        message: message.to_owned(),
        suggestion: None,
    }
}

#[cfg(test)]
mod tests;
