//! `modtwinctl status --watch`: the page in its place on a terminal, or one each time something has
//! changed; while the daemon is away that is said, and it is asked again.
//!
//! Owns the terminal while it shows, and gives it back however that ends.

use std::time::{Duration, SystemTime};

use modtwin_api::Status;
use modtwin_client::{Client, ClientError};
use tokio::time::sleep;

use super::page;
use crate::failure::{Failure, describe};
use crate::output::Output;
use crate::watch::{Stop, tell};
use crate::words::{WIDTH, span, wrapped};

/// Control sequences of terminals (ECMA-48, and xterm's "DEC private modes"): the other screen, so
/// that what was on this one comes back; no cursor; no wrapping where the terminal is narrow.
const TAKE: &str = "\u{1b}[?1049h\u{1b}[?25l\u{1b}[?7l";
const GIVE_BACK: &str = "\u{1b}[?7h\u{1b}[?25h\u{1b}[?1049l";
const HOME: &str = "\u{1b}[H";
const CLEAR_TO_END_OF_LINE: &str = "\u{1b}[K";
const CLEAR_TO_END_OF_SCREEN: &str = "\u{1b}[J";

/// How many lines a terminal has that does not say.
const USUAL_LINES: usize = 24;

/// Shows the status until a signal ends it or the daemon refuses.
pub(super) async fn run(
    client: &Client,
    interval: Duration,
    output: &Output,
) -> Result<(), Failure> {
    let mut stop = Stop::new()?;
    let mut view: Option<View> = None;
    loop {
        let answer = tokio::select! {
            biased;
            () = stop.requested() => return Ok(()),
            answer = client.status() => answer,
        };
        match (answer, &mut view) {
            (Ok(status), Some(view)) => view.show(status)?,
            (Ok(status), none) => none.insert(View::open(output)?).show(status)?,
            (Err(error), Some(view)) if error.is_temporary() => view.lose(&error)?,
            // Who types this wants to know at once that nobody is there.
            (Err(error), _) => return Err(error.into()),
        }
        tokio::select! {
            biased;
            () = stop.requested() => return Ok(()),
            () = sleep(interval) => {}
        }
    }
}

/// What is shown, and where.
#[derive(Debug)]
struct View {
    output: Output,
    screen: Option<Screen>,
    last: Option<(Status, SystemTime)>,
    is_lost: bool,
}

impl View {
    fn open(output: &Output) -> Result<Self, Failure> {
        let draws = output.is_terminal() && !output.is_json();
        let screen = draws.then(|| Screen::take(*output)).transpose()?;
        Ok(Self { output: *output, screen, last: None, is_lost: false })
    }

    fn show(&mut self, status: Status) -> Result<(), Failure> {
        let now = SystemTime::now();
        let is_news = self.is_lost
            || self.last.as_ref().is_none_or(|(last, _)| lasting(last) != lasting(&status));
        self.is_lost = false;
        match &self.screen {
            Some(screen) => screen.draw(&page(&status, now, self.output.is_coloured()))?,
            None if !is_news => {}
            None if self.output.is_json() => self.output.json(&status)?,
            None => {
                let gap = if self.last.is_some() { "\n" } else { "" };
                let at = modtwin_credentials::Date(now);
                let page = page(&status, now, self.output.is_coloured());
                self.output.text(&format!("{gap}{at}\n{page}"))?;
            }
        }
        self.last = Some((status, now));
        Ok(())
    }

    /// Says that the daemon is away: on the screen with what was seen last, else once.
    fn lose(&mut self, error: &ClientError) -> Result<(), Failure> {
        let text = format!("{}; asking again", describe(error));
        match (&self.screen, &self.last) {
            (Some(screen), Some((status, at))) => {
                let now = SystemTime::now();
                let mut lines = wrapped(&text, "", "", WIDTH);
                lines.extend([format!("as it was {} ago:", span(*at, now)), String::new()]);
                let page = page(status, *at, self.output.is_coloured());
                screen.draw(&format!("{}\n{page}", lines.join("\n")))?;
            }
            _ if self.is_lost => {}
            _ => tell(&text),
        }
        self.is_lost = true;
        Ok(())
    }
}

/// The status without what only says that time goes by.
fn lasting(status: &Status) -> Status {
    let mut status = status.clone();
    (status.storage.writes, status.storage.bytes_written) = (None, None);
    for module in &mut status.modules {
        module.as_of = None;
        module.hub.next_attempt = None;
    }
    status
}

/// The terminal, as long as it is used; given back when dropped.
#[derive(Debug)]
struct Screen(Output);

impl Screen {
    fn take(output: Output) -> Result<Self, Failure> {
        // Made before: what fails half-way is given back too.
        let screen = Self(output);
        output.text(TAKE)?;
        Ok(screen)
    }

    /// Draws over what is there, at most as many lines as there is room for.
    fn draw(&self, page: &str) -> Result<(), Failure> {
        let size = terminal_size::terminal_size();
        let room = size.map_or(USUAL_LINES, |(_, height)| usize::from(height.0));
        self.0.text(&drawing(page, room))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // Without standard output there is no terminal to give back.
        let _gone = self.0.text(GIVE_BACK);
    }
}

/// A page as it is drawn into `room` lines; the last of them says what was left out.
fn drawing(page: &str, room: usize) -> String {
    let lines: Vec<&str> = page.lines().collect();
    let more = lines.len().saturating_sub(room);
    let kept = if more == 0 { lines.len() } else { room.saturating_sub(1) };
    let mut shown: Vec<String> = lines.iter().take(kept).map(|&line| line.to_owned()).collect();
    if more > 0 {
        shown.push(format!("… {} more lines", lines.len() - kept));
    }
    let end = format!("{CLEAR_TO_END_OF_LINE}\n");
    format!("{HOME}{}{CLEAR_TO_END_OF_LINE}{CLEAR_TO_END_OF_SCREEN}", shown.join(&end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_that_does_not_fit_says_how_much_is_missing() {
        let drawn = drawing("a\nb\nc\n", 3);
        assert_eq!(drawn, "\u{1b}[Ha\u{1b}[K\nb\u{1b}[K\nc\u{1b}[K\u{1b}[J");
        let drawn = drawing("a\nb\nc\nd\n", 3);
        assert_eq!(drawn, "\u{1b}[Ha\u{1b}[K\nb\u{1b}[K\n… 2 more lines\u{1b}[K\u{1b}[J");
    }
}
