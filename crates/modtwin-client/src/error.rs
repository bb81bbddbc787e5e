//! Why a request came to nothing.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use modtwin_api::{Problem, ProblemKind};

/// Why a request came to nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// Nobody answers at the socket, or the connection broke.
    #[error("cannot talk to the daemon at `{}`", socket.display())]
    Unreachable {
        /// The socket's path.
        socket: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The daemon refused, or could not.
    #[error("{0}")]
    Problem(Box<Problem>),
    /// Whoever answers at the socket does not speak this API.
    #[error("the peer at `{}` does not speak modtwin's local API: {what}", socket.display())]
    Protocol {
        /// The socket's path.
        socket: PathBuf,
        /// What was expected, and what came.
        what: String,
    },
}

impl ClientError {
    /// The kind of problem that the daemon named; none where it named none.
    #[must_use]
    pub fn problem_kind(&self) -> Option<ProblemKind> {
        match self {
            Self::Problem(problem) => Some(problem.kind),
            Self::Unreachable { .. } | Self::Protocol { .. } => None,
        }
    }

    /// Says whether the same request may do better a little later, without anybody's help.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        match self {
            // Who may open the socket is decided by its owner, not by time.
            Self::Unreachable { source, .. } => source.kind() != io::ErrorKind::PermissionDenied,
            Self::Problem(problem) => problem.status == 429 || problem.status >= 500,
            Self::Protocol { .. } => false,
        }
    }

    /// How long the daemon asks to wait before the next attempt, where it asks for that.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Problem(problem) => problem.retry_after.map(Duration::from_secs),
            Self::Unreachable { .. } | Self::Protocol { .. } => None,
        }
    }

    pub(crate) fn unreachable(socket: &Path, source: io::Error) -> Self {
        Self::Unreachable { socket: socket.to_owned(), source }
    }

    pub(crate) fn protocol(socket: &Path, what: impl Into<String>) -> Self {
        Self::Protocol { socket: socket.to_owned(), what: what.into() }
    }

    /// Sorts hyper's errors: nonsense on the wire, or a connection that ended.
    pub(crate) fn from_hyper(socket: &Path, error: hyper::Error) -> Self {
        if error.is_parse() {
            return Self::protocol(socket, format!("expected HTTP/1.1, found otherwise ({error})"));
        }
        Self::unreachable(socket, io::Error::new(io::ErrorKind::ConnectionReset, error))
    }
}
