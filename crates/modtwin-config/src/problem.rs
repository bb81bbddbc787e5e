//! What is wrong with the files: one [`Problem`] a fault, all of them at once.
//!
//! Owns how a problem reads. Leaves finding them to the modules that check.

use std::fmt;
use std::path::PathBuf;

/// What sort of fault a [`Problem`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProblemKind {
    /// A file or folder cannot be read.
    Unreadable,
    /// The text is no TOML.
    Syntax,
    /// There is no such key.
    UnknownKey,
    /// The value is of another type than the key takes.
    WrongType,
    /// A key that must be there is not.
    Missing,
    /// The value is of the right type, yet not one that the key takes.
    Invalid,
    /// Keys that exclude each other, or a name that is given twice.
    Conflict,
    /// More of something than is allowed.
    TooMany,
}

/// One fault in one place of the files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file.
    pub file: PathBuf,
    /// The line, counted from 1; none where the file as a whole is meant.
    pub line: Option<usize>,
    /// The key's path such as `module[1].certificate`, empty where no key is meant. Modules and
    /// handlers are counted from 1 within their file.
    pub key: String,
    /// What sort of fault it is.
    pub kind: ProblemKind,
    /// What is wrong: expected before found.
    pub message: String,
    /// The known key or value nearest to what was written.
    pub suggestion: Option<String>,
}

impl fmt::Display for Problem {
    /// Writes `FILE:LINE: KEY: message, did you mean KEY?` on one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, "{line}:")?;
        }
        if !self.key.is_empty() {
            write!(f, " {}:", self.key)?;
        }
        write!(f, " {}", self.message)?;
        match &self.suggestion {
            Some(suggestion) => write!(f, ", did you mean {suggestion}?"),
            None => Ok(()),
        }
    }
}

/// Every fault of a set of files; they are refused as a whole.
///
/// Displays as one line a problem. Invariant: never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems(pub(crate) Vec<Problem>);

impl Problems {
    /// The problems, in the order of the files and of their lines.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.0.iter()
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }
}

impl<'a> IntoIterator for &'a Problems {
    type Item = &'a Problem;
    type IntoIter = std::slice::Iter<'a, Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl IntoIterator for Problems {
    type Item = Problem;
    type IntoIter = std::vec::IntoIter<Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}
