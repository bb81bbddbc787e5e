//! What a handler process writes down: every report it asks for and what it was answered, every
//! event it was told, every acknowledgement. One JSON object a line, appended, and synced to disk
//! before the handler goes on wherever somebody could later be held to it.
//!
//! A handler that is killed in the middle leaves half a line at most; the next one cuts it off.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use modtwin_api::Revision;
use modtwin_core::document::Document;
use modtwin_testkit::wall::now_us;
use serde::{Deserialize, Serialize};

use crate::leaves::Write;

/// A line with its time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Line {
    /// When it was written, in microseconds since 1970.
    pub(crate) at: u64,
    /// What happened.
    #[serde(flatten)]
    pub(crate) entry: Entry,
}

/// What a handler writes down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "snake_case")]
pub(crate) enum Entry {
    /// A handler process began.
    Began,
    /// A report is about to be handed in.
    Asked {
        /// Its number, which is also what it sets leaves to.
        number: u64,
        /// What it writes.
        writes: Vec<Write>,
    },
    /// What became of it.
    Answered {
        /// Its number.
        number: u64,
        /// What the daemon said.
        outcome: Outcome,
    },
    /// A stream began with this snapshot.
    Snapshot {
        /// The generation and version.
        revision: Option<At>,
        /// Whether what the handler had is current.
        unchanged: bool,
        /// Desired, where it was told.
        desired: Option<Document>,
    },
    /// Desired changed.
    Changed {
        /// The generation and version.
        revision: At,
        /// Whether the line of versions began anew.
        reset: bool,
        /// From what was told last.
        patch: Document,
        /// To this.
        desired: Document,
    },
    /// A version is about to be acknowledged.
    Acking {
        /// Which.
        revision: At,
    },
    /// What became of that.
    Acked {
        /// Which.
        revision: At,
        /// What the daemon said.
        outcome: Outcome,
    },
    /// A message is about to be handed in.
    Sending {
        /// Its number, which is also what it says.
        number: u64,
    },
    /// What became of that.
    Sent {
        /// Its number.
        number: u64,
        /// Whether it is promised to reach the hub, or there.
        promised: bool,
    },
}

/// A revision, as the diary keeps it: generation, then version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct At(pub(crate) u64, pub(crate) u64);

impl From<Revision> for At {
    fn from(revision: Revision) -> Self {
        Self(revision.generation, revision.version)
    }
}

impl From<At> for Revision {
    fn from(At(generation, version): At) -> Self {
        Self { generation, version }
    }
}

/// How a request ended, as far as the handler knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub(crate) enum Outcome {
    /// It is durable.
    Stored,
    /// The hub has it.
    Accepted {
        /// The version of reported that has it.
        version: u64,
    },
    /// Refused with this problem.
    Refused {
        /// The HTTP status.
        status: u16,
        /// The kind of problem.
        kind: String,
        /// Its words.
        detail: String,
    },
    /// The connection broke or nobody answered: it may have been stored or not.
    Unknown,
}

impl Outcome {
    /// Whether the daemon has promised to keep it.
    pub(crate) fn is_promised(&self) -> bool {
        matches!(self, Self::Stored | Self::Accepted { .. })
    }
}

/// A diary that is written to.
#[derive(Debug)]
pub(crate) struct Diary {
    file: File,
}

impl Diary {
    /// Opens the diary at `path`, made where there is none; returns what is in it.
    ///
    /// # Errors
    ///
    /// Where it can't be read or written.
    pub(crate) fn open(path: &Path) -> anyhow::Result<(Self, Vec<Line>)> {
        let shown = || format!("cannot open the diary `{}`", path.display());
        let mut options = OpenOptions::new();
        let file = options.create(true).append(true).open(path).with_context(shown)?;
        let text = std::fs::read(path).with_context(shown)?;
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let length = u64::try_from(whole).context("a diary too long to read")?;
        file.set_len(length).with_context(shown)?;
        Ok((Self { file }, parse(&text)?))
    }

    /// Writes `entry` down: it survives `kill -9` of this process.
    ///
    /// # Errors
    ///
    /// Where it can't be written.
    pub(crate) fn note(&mut self, entry: Entry) -> anyhow::Result<()> {
        let mut text = serde_json::to_vec(&Line { at: now_us(), entry })?;
        text.push(b'\n');
        self.file.write_all(&text).context("cannot write the diary")
    }

    /// The same, and it survives a power cut.
    ///
    /// # Errors
    ///
    /// Where it can't be written or synced.
    pub(crate) fn note_durably(&mut self, entry: Entry) -> anyhow::Result<()> {
        self.note(entry)?;
        self.file.sync_data().context("cannot sync the diary")
    }
}

/// Reads the diary at `path`; there is none before its handler began.
///
/// # Errors
///
/// Where it can't be read.
pub(crate) fn read(path: &PathBuf) -> anyhow::Result<Vec<Line>> {
    match std::fs::read(path) {
        Ok(text) => parse(&text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error).with_context(|| format!("cannot read `{}`", path.display())),
    }
}

/// Reads whole lines; what follows the last of them was never finished.
fn parse(text: &[u8]) -> anyhow::Result<Vec<Line>> {
    let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let lines = text.get(..whole).unwrap_or_default().split(|byte| *byte == b'\n');
    let lines = lines.filter(|line| !line.is_empty());
    let read = |line| serde_json::from_slice(line).context("a diary has a line that is none");
    lines.map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(number: u64) -> Entry {
        Entry::Asked { number, writes: vec![Write { leaf: "r1".to_owned(), number: Some(number) }] }
    }

    #[test]
    fn half_a_line_is_cut_off_and_what_follows_it_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("diary");
        let (mut diary, before) = Diary::open(&path).unwrap();
        assert!(before.is_empty());
        diary.note(asked(1)).unwrap();
        diary.note_durably(Entry::Answered { number: 1, outcome: Outcome::Stored }).unwrap();
        diary.file.write_all(b"{\"at\":7,\"line\":\"ask").unwrap();
        assert_eq!(read(&path).unwrap().len(), 2);
        let (mut diary, before) = Diary::open(&path).unwrap();
        assert_eq!(before.len(), 2);
        diary.note(asked(2)).unwrap();
        let after = read(&path).unwrap();
        assert_eq!(after.len(), 3);
        assert_eq!(after[2].entry, asked(2));
    }

    #[test]
    fn a_broken_line_in_the_middle_is_an_error() {
        assert!(parse(b"{\"at\":1,\"line\":\"began\"}\nnonsense\n").is_err());
    }
}
