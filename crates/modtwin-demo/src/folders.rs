//! Where the story keeps its things: one temporary folder, a room in it for each part.

use std::path::{Path, PathBuf};

use anyhow::Context;

/// The rooms of one temporary folder. Invariant: they exist, save the hub's, which it makes itself.
#[derive(Clone, Debug)]
pub(crate) struct Folders {
    root: PathBuf,
}

impl Folders {
    /// Makes the rooms in `root`.
    ///
    /// # Errors
    /// One of them can't be made.
    pub(crate) fn create(root: &Path) -> anyhow::Result<Self> {
        let folders = Self { root: root.to_owned() };
        for folder in [folders.etc(), folders.run(), folders.logs()] {
            std::fs::create_dir(&folder)
                .with_context(|| format!("cannot create `{}`", folder.display()))?;
        }
        Ok(folders)
    }

    /// All of it.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The gateway's config, keys and certificates. The daemon watches it, so nothing else is here.
    pub(crate) fn etc(&self) -> PathBuf {
        self.root.join("etc")
    }

    /// The daemon's socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.run().join("modtwin.sock")
    }

    /// The daemon's state.
    pub(crate) fn state(&self) -> PathBuf {
        self.root.join("state")
    }

    /// What the hub keeps.
    pub(crate) fn hub(&self) -> PathBuf {
        self.root.join("hub")
    }

    /// What every process writes to its standard error.
    pub(crate) fn logs(&self) -> PathBuf {
        self.root.join("logs")
    }

    fn run(&self) -> PathBuf {
        self.root.join("run")
    }
}
