//! The one place that prints: numbered steps, indented lines, colours only where a person is
//! looking.
#![expect(clippy::print_stdout, reason = "the story goes to standard output")]
#![expect(clippy::print_stderr, reason = "and what went wrong to the other one")]

use std::io::IsTerminal;
use std::time::{Duration, Instant};

const BOLD: &str = "\u{1b}[1m";
const DIM: &str = "\u{1b}[2m";
const RED: &str = "\u{1b}[31m";
const PLAIN: &str = "\u{1b}[0m";
const BREATH: Duration = Duration::from_millis(1500);

/// Tells the story, and keeps the time since its beginning.
#[derive(Debug)]
pub(crate) struct Narrator {
    in_colour: bool,
    /// How long the reader gets between two steps; nothing where nobody reads along.
    breath: Duration,
    began: Instant,
    step: u32,
}

impl Narrator {
    /// A narrator who begins now.
    pub(crate) fn new() -> Self {
        let terminal = std::io::stdout().is_terminal();
        let in_colour = terminal && std::env::var_os("NO_COLOR").is_none();
        let breath = if terminal { BREATH } else { Duration::ZERO };
        Self { in_colour, breath, began: Instant::now(), step: 0 }
    }

    /// Begins the next numbered step, once the reader has had time for the one before.
    pub(crate) async fn step(&mut self, title: &str) {
        if self.step > 0 {
            tokio::time::sleep(self.breath).await;
        }
        self.step += 1;
        let since = self.began.elapsed().as_secs_f64();
        println!(
            "\n{}  {}",
            self.styled(BOLD, &format!("{:>2}. {title}", self.step)),
            self.styled(DIM, &format!("[{since:.1} s]"))
        );
    }

    /// Prints what there is to see; every line of `text` by itself.
    pub(crate) fn say(&self, text: &str) {
        for line in text.lines() {
            println!("{}", format!("    {line}").trim_end());
        }
    }

    /// Prints a command that the reader could have typed.
    pub(crate) fn command(&self, words: &str) {
        println!("    {}", self.styled(DIM, &format!("$ {words}")));
    }

    /// Prints a line without indent.
    pub(crate) fn aside(&self, text: &str) {
        println!("{text}");
    }

    /// Prints what went wrong, on standard error.
    pub(crate) fn problem(&self, text: &str) {
        eprintln!("\n{}", self.styled(RED, text));
    }

    /// How long the story has run.
    pub(crate) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    fn styled(&self, style: &str, text: &str) -> String {
        if self.in_colour { format!("{style}{text}{PLAIN}") } else { text.to_owned() }
    }
}

/// Prints a line of a handler's at once, for whoever reads its output.
pub(crate) fn handler_line(text: &str) {
    println!("{text}");
}
