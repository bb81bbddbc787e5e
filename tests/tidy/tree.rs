//! The checkout as the rules see it: its text files, without what cargo and git keep there.

use std::path::{Path, PathBuf};

/// Folders that hold no source of ours, whatever lies in them.
const NOT_OURS: [&str; 2] = ["target", ".git"];

/// A text file of the checkout.
#[derive(Debug)]
pub(crate) struct TextFile {
    /// Its path from the root, with `/`.
    pub(crate) path: String,
    /// What is in it.
    pub(crate) text: String,
}

impl TextFile {
    /// Returns `path:line`, lines counted from 1, as a terminal understands it.
    pub(crate) fn place(&self, index: usize) -> String {
        format!("{}:{}", self.path, index + 1)
    }

    /// Returns the lines before the unit tests; none of a file that is unit tests alone.
    pub(crate) fn production_lines(&self) -> Vec<&str> {
        if self.is_unit_tests() {
            return Vec::new();
        }
        self.text.lines().take_while(|line| !line.starts_with("#[cfg(test)]")).collect()
    }

    /// Says whether the file is a module's unit tests, kept beside it (`foo/tests.rs`, or a file in
    /// `foo/tests/`).
    fn is_unit_tests(&self) -> bool {
        self.path.split_once("/src/").is_some_and(|(_, inside)| {
            inside.ends_with("/tests.rs") || inside == "tests.rs" || inside.contains("/tests/")
        })
    }

    /// Says whether the file is a test program's: under a `tests` folder.
    pub(crate) fn is_in_tests_folder(&self) -> bool {
        self.path.starts_with("tests/") || self.path.contains("/tests/")
    }

    /// Says whether the file states the rules, and so has to spell what they forbid.
    pub(crate) fn states_the_rules(&self) -> bool {
        self.path.starts_with("tests/tidy/")
    }
}

/// Returns the checkout's root.
pub(crate) fn root() -> PathBuf {
    let package = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    package.parent().map(Path::to_path_buf).unwrap_or_default()
}

/// Returns every text file of the checkout, in the order of their paths.
pub(crate) fn text_files() -> Vec<TextFile> {
    let root = root();
    let mut paths = Vec::new();
    collect(&root, &mut paths);
    paths.sort();
    let mut files = Vec::new();
    for path in paths {
        // Bytes that are no text (pictures, recorded packets) have no lines to judge.
        let Ok(text) = std::fs::read_to_string(&path) else {
            continue;
        };
        let relative = path.strip_prefix(&root).unwrap_or(&path);
        files.push(TextFile { path: relative.to_string_lossy().into_owned(), text });
    }
    assert!(files.len() > 20, "found {} text files: the walk is broken", files.len());
    files
}

/// Returns every Rust file of the checkout.
pub(crate) fn rust_files() -> Vec<TextFile> {
    text_files().into_iter().filter(|file| file.path.ends_with(".rs")).collect()
}

/// Returns the text of one file, `path` from the root.
pub(crate) fn read(path: &str) -> String {
    match std::fs::read_to_string(root().join(path)) {
        Ok(text) => text,
        Err(error) => panic!("cannot read `{path}`: {error}"),
    }
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => panic!("cannot list `{}`: {error}", folder.display()),
    };
    for entry in entries.flatten() {
        let Ok(kind) = entry.file_type() else {
            continue;
        };
        let name = entry.file_name();
        if kind.is_dir() && !NOT_OURS.iter().any(|not_ours| name == *not_ours) {
            collect(&entry.path(), paths);
        } else if kind.is_file() {
            paths.push(entry.path());
        }
    }
}
