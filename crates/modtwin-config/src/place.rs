//! Where in the files something is: a file, a line and a key's path.
//!
//! Owns turning a place and a fault into a problem.

use std::path::Path;

use crate::problem::{Problem, ProblemKind};
use crate::values::Fault;

/// A source's name and where its lines begin.
#[derive(Debug)]
pub(crate) struct Lines<'a> {
    pub(crate) file: &'a Path,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    pub(crate) fn new(file: &'a Path, text: &str) -> Self {
        let breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        Self { file, starts: breaks.map(|(at, _)| at + 1).collect() }
    }

    /// The line that byte `offset` is on, counted from 1.
    pub(crate) fn line(&self, offset: usize) -> usize {
        1 + self.starts.partition_point(|start| *start <= offset)
    }
}

/// A file, a line in it and a key's path.
#[derive(Debug, Clone)]
pub(crate) struct Place<'a> {
    pub(crate) file: &'a Path,
    pub(crate) line: Option<usize>,
    pub(crate) key: String,
}

impl Place<'_> {
    pub(crate) fn problem(&self, kind: ProblemKind, fault: impl Into<Fault>) -> Problem {
        let Fault { message, suggestion } = fault.into();
        Problem {
            file: self.file.to_owned(),
            line: self.line,
            key: self.key.clone(),
            kind,
            message,
            suggestion,
        }
    }
}
