//! Why a command failed, for people on standard error and for programs in the exit status.

use std::io;

use modtwin_api::{Problem, ProblemKind};
use modtwin_client::ClientError;

/// The exit statuses, after sysexits.h where it has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done: 0.
    Done,
    /// It did not work: 1.
    Failed,
    /// The command line is wrong: 64.
    Usage,
    /// Nobody answers at the socket: 69.
    Unreachable,
    /// This user may not do that: 77.
    Forbidden,
    /// The config or a file it names is wrong: 78.
    Config,
}

impl Exit {
    /// The number that the process ends with.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 64,
            Self::Unreachable => 69,
            Self::Forbidden => 77,
            Self::Config => 78,
        }
    }
}

/// Why a command failed.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    lines: Vec<String>,
}

impl Failure {
    /// A failure with its lines for standard error, each whole by itself.
    pub(crate) fn new(exit: Exit, lines: Vec<String>) -> Self {
        Self { exit, lines: lines.iter().map(|line| one_line(line)).collect() }
    }

    /// It did not work.
    pub(crate) fn failed(text: impl AsRef<str>) -> Self {
        Self::new(Exit::Failed, vec![text.as_ref().to_owned()])
    }

    /// The command line is wrong in a way that its definition does not see.
    pub(crate) fn usage(text: impl AsRef<str>) -> Self {
        Self::new(Exit::Usage, vec![text.as_ref().to_owned()])
    }

    /// Nothing to say: all is said, or whoever listened has gone.
    pub(crate) fn silent(exit: Exit) -> Self {
        Self::new(exit, Vec::new())
    }

    /// The exit status.
    pub(crate) fn exit(&self) -> Exit {
        self.exit
    }

    /// What goes to standard error.
    pub(crate) fn lines(&self) -> &[String] {
        &self.lines
    }
}

impl From<io::Error> for Failure {
    /// From writing to standard output: a reader that has read enough is no failure.
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::silent(Exit::Done),
            _ => Self::failed(format!("cannot write to standard output: {error}")),
        }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let exit = exit_of(&error);
        let lines = match &error {
            ClientError::Problem(problem) if !problem.errors.is_empty() => problem.errors.clone(),
            ClientError::Problem(problem) => vec![detail(problem)],
            _ => vec![describe(&error)],
        };
        Self::new(exit, lines)
    }
}

/// One line about `error`, with what to do next.
pub(crate) fn describe(error: &ClientError) -> String {
    match explained(error) {
        (text, Some(next)) => format!("{text}; {next}"),
        (text, None) => text,
    }
}

/// What `error` is, and what to do next.
pub(crate) fn explained(error: &ClientError) -> (String, Option<&'static str>) {
    let text = one_line(&error.to_string());
    match error {
        ClientError::Problem(problem) => (detail(problem), None),
        ClientError::Unreachable { source, .. } => {
            let next = match source.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                    "start modtwind, or name its socket with --socket"
                }
                io::ErrorKind::PermissionDenied => {
                    "run as a user who may open the socket, such as root"
                }
                io::ErrorKind::TimedOut => "look at the daemon's log",
                _ => "it may have been restarted: try again",
            };
            (format!("{text}: {}", chain(source)), Some(next))
        }
        _ => (text, Some("check --socket")),
    }
}

fn exit_of(error: &ClientError) -> Exit {
    match error {
        ClientError::Unreachable { source, .. }
            if source.kind() == io::ErrorKind::PermissionDenied =>
        {
            Exit::Forbidden
        }
        ClientError::Unreachable { .. } => Exit::Unreachable,
        ClientError::Problem(problem) => match problem.kind {
            ProblemKind::Forbidden => Exit::Forbidden,
            ProblemKind::InvalidConfig => Exit::Config,
            _ => Exit::Failed,
        },
        _ => Exit::Failed,
    }
}

/// The problem's own words, and the place it names where they do not.
fn detail(problem: &Problem) -> String {
    let mut text = one_line(&problem.to_string());
    for place in [&problem.field, &problem.pointer, &problem.id].into_iter().flatten() {
        if !text.contains(place.as_str()) {
            text = format!("{text} ({place})");
        }
    }
    text
}

/// The error and its causes in a line; a cause that is in the text before is not repeated.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    one_line(&text)
}

/// Makes one line of a text; control characters must not reach a terminal.
pub(crate) fn one_line(text: &str) -> String {
    let plain: String =
        text.chars().map(|char| if char.is_control() { ' ' } else { char }).collect();
    plain.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_failure_has_its_exit_status() {
        let unreachable = |kind: io::ErrorKind| ClientError::Unreachable {
            socket: "/run/x.sock".into(),
            source: kind.into(),
        };
        let problem = |kind| ClientError::Problem(Box::new(Problem::new(kind, "d")));
        let cases = [
            (unreachable(io::ErrorKind::NotFound), 69),
            (unreachable(io::ErrorKind::ConnectionReset), 69),
            (unreachable(io::ErrorKind::PermissionDenied), 77),
            (problem(ProblemKind::Forbidden), 77),
            (problem(ProblemKind::InvalidConfig), 78),
            (problem(ProblemKind::InvalidTwin), 1),
            (problem(ProblemKind::Unknown), 1),
        ];
        for (error, code) in cases {
            let text = error.to_string();
            assert_eq!(Failure::from(error).exit().code(), code, "{text}");
        }
    }

    #[test]
    fn a_failure_takes_one_line_and_leaves_terminals_alone() {
        assert_eq!(one_line("a\nb\r\n\tc \u{1b}[31md"), "a b c [31md");
    }

    #[test]
    fn a_reader_that_has_read_enough_is_no_failure() {
        let failure = Failure::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!((failure.exit(), failure.lines().len()), (Exit::Done, 0));
    }

    #[test]
    fn a_problem_names_its_place_once() {
        let problem = Problem::new(ProblemKind::InvalidTwin, "the key is too long");
        assert_eq!(detail(&problem.clone().with_rule("/a", "r")), "the key is too long (/a)");
        assert_eq!(detail(&problem.with_field("key")), "the key is too long");
    }
}
