//! What is wrong with a command line, in one line.

use std::io::Write as _;

use clap::CommandFactory as _;
use clap::error::ErrorKind;

use crate::cli::Cli;
use crate::failure::{Exit, Failure};

/// Prints help and version where they were asked for, and help where nothing was; makes a failure of everything else.
pub(crate) fn explain(error: &clap::Error) -> Result<(), Failure> {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => error.print().map_err(Failure::from),
        ErrorKind::MissingSubcommand => {
            // Without standard error there is nobody left to tell.
            let _unheard = write!(std::io::stderr(), "{}", Cli::command().render_help());
            Err(Failure::silent(Exit::Usage))
        }
        _ => {
            let text = error.render().to_string();
            Err(Failure::usage(format!("{}; see modtwinctl --help", gist(&text))))
        }
    }
}

/// What clap says before it repeats the usage, its lines joined.
fn gist(text: &str) -> String {
    let said = text.split("\n\nUsage:").next().unwrap_or(text);
    let said = said.split("\n\nFor more information").next().unwrap_or(said);
    let parts = said.split("\n\n").map(|part| part.trim().trim_start_matches("error: "));
    parts.filter(|part| !part.is_empty()).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gist_is_what_is_wrong_and_the_tip() {
        let text = "error: unexpected argument '--jsn' found\n\n  tip: a similar argument exists: \
                    '--json'\n\nUsage: x\n\nFor more information, try '--help'.\n";
        assert_eq!(
            gist(text),
            "unexpected argument '--jsn' found; tip: a similar argument exists: '--json'"
        );
    }
}
