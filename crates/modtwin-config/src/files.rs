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

/// The files of the config at `path` as a look at the folders finds them, itself first; a `conf.d`
/// that can't be listed has none.
#[must_use]
pub fn config_files(path: &Path) -> Vec<PathBuf> {
    let drop_ins = drop_ins(&drop_in_folder(path)).unwrap_or_default();
    std::iter::once(path.to_owned()).chain(drop_ins).collect()
}

/// What the files of a config say, as read at one moment. Two of them compare by every byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    inputs: Vec<Input>,
    problems: Vec<Problem>,
}

impl Files {
    /// Reads the file at `path` and the `conf.d/*.toml` beside it; what can't be read is a problem
    /// of [`check`](Self::check).
    ///
    /// Hidden files and those that do not end in `.toml` are passed over; no `conf.d` is fine.
    #[must_use]
    pub fn read(path: &Path) -> Self {
        Self::join(read(path), drop_ins(&drop_in_folder(path)))
    }

    /// Reads the `conf.d/*.toml` beside `path`, and takes `text` for what the file at `path` says.
    #[must_use]
    pub fn read_with(path: &Path, text: String) -> Self {
        let first = Input::from(Source { path: path.to_owned(), text });
        Self::join(first, drop_ins(&drop_in_folder(path)))
    }

    /// Reads `new` as if it lay at `place` already, with relative paths from there: a file in place
    /// of the one at `place`, or a folder in place of its whole folder.
    #[must_use]
    pub fn read_for(new: &Path, place: &Path) -> Self {
        let home = place.parent().unwrap_or(Path::new(""));
        if !new.is_dir() {
            let first = read(new).below(home);
            return Self::join(first, drop_ins(&drop_in_folder(place)));
        }
        let first = new.join(place.file_name().unwrap_or_default());
        let mut files = Self::join(read(&first).below(home), drop_ins(&drop_in_folder(&first)));
        let drop_in_home = drop_in_folder(place);
        let (first, others) = files.inputs.split_at(1);
        let others = others.iter().cloned().map(|input| input.below(&drop_in_home));
        files.inputs = first.iter().cloned().chain(others).collect();
        files
    }

    fn join(first: Input, others: Result<Vec<PathBuf>, Problem>) -> Self {
        let mut files = Self { inputs: vec![first], problems: Vec::new() };
        match others {
            Ok(paths) => files.inputs.extend(paths.iter().map(|path| read(path))),
            Err(problem) => files.problems.push(problem),
        }
        files
    }

    /// Joins and checks what the files say.
    ///
    /// # Errors
    ///
    /// [`Problems`] with every fault of every file. One fault refuses all files.
    pub fn check(&self) -> Result<Config, Problems> {
        Config::check_inputs(self.inputs.clone(), self.problems.clone())
    }

    /// The files that could be read, in the order of joining; none where one could not.
    #[must_use]
    pub fn sources(&self) -> Option<Vec<&Source>> {
        let sources = self.inputs.iter().map(|input| match input {
            Input::Text(source, _) => Some(source),
            Input::Refused(_) => None,
        });
        sources.collect::<Option<_>>().filter(|_| self.problems.is_empty())
    }
}

impl Config {
    /// Reads and checks the files of the config at `path`: see [`Files`].
    ///
    /// # Errors
    ///
    /// [`Problems`] with every fault of every file. One fault refuses all files.
    pub fn load(path: &Path) -> Result<Self, Problems> {
        Files::read(path).check()
    }

    /// Joins and checks `sources` as [`load`](Self::load) does, without touching a file.
    ///
    /// # Errors
    ///
    /// [`Problems`] with every fault of every source.
    pub fn check(sources: &[Source]) -> Result<Self, Problems> {
        let inputs = sources.iter().cloned().map(Input::from).collect();
        Self::check_inputs(inputs, Vec::new())
    }
}

impl Input {
    /// The same with its relative paths beginning at `folder`.
    fn below(self, folder: &Path) -> Self {
        match self {
            Self::Text(source, _) => Self::Text(source, folder.to_owned()),
            Self::Refused(problem) => Self::Refused(problem),
        }
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
        Ok(text) => Source { path: path.to_owned(), text }.into(),
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
