//! A page of the documentation whose table is written by this program, between two markers; all
//! else in it is written by people.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// The line after which the results begin.
const BEGIN: &str = "<!-- bench:begin -->";
/// The line before which they end.
const END: &str = "<!-- bench:end -->";

/// A page that had its markers when it was looked at.
#[derive(Debug)]
pub(crate) struct Page {
    path: PathBuf,
}

impl Page {
    /// Looks whether results can be put into the page at `path`.
    ///
    /// # Errors
    ///
    /// Where it can't be read, or does not have each marker once and in order.
    pub(crate) fn find(path: &Path) -> anyhow::Result<Self> {
        parts(path).map(|_parts| Self { path: path.to_owned() })
    }

    /// Writes `results` between the markers; what people wrote meanwhile stays.
    ///
    /// # Errors
    ///
    /// Where the page can't be read or written, or has lost its markers.
    pub(crate) fn write(&self, results: &str) -> anyhow::Result<()> {
        let (before, after) = parts(&self.path)?;
        let text = format!("{before}{BEGIN}\n{}\n{END}{after}", results.trim());
        fs::write(&self.path, text)
            .with_context(|| format!("cannot write `{}`", self.path.display()))
    }
}

/// What of the page at `path` is not the program's.
fn parts(path: &Path) -> anyhow::Result<(String, String)> {
    let shown = path.display();
    let text = fs::read_to_string(path).with_context(|| format!("cannot read `{shown}`"))?;
    let (before, after) = around(&text)
        .with_context(|| format!("expected one `{BEGIN}` before one `{END}` in `{shown}`"))?;
    Ok((before.to_owned(), after.to_owned()))
}

/// What is before the first marker and after the second.
fn around(text: &str) -> Option<(&str, &str)> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    let again = [before, after].iter().any(|part| part.contains(BEGIN) || part.contains(END));
    (!again).then_some((before, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_replace_what_is_between_the_markers_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("page.md");
        fs::write(&path, format!("# Title\n\n{BEGIN}\nold\n{END}\n\nProse.\n")).unwrap();
        let page = Page::find(&path).unwrap();
        page.write("first\n").unwrap();
        let edited = fs::read_to_string(&path).unwrap().replace("Prose.", "Better prose.");
        fs::write(&path, edited).unwrap();
        page.write("| second |\n").unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text, format!("# Title\n\n{BEGIN}\n| second |\n{END}\n\nBetter prose.\n"));
    }

    #[test]
    fn a_page_without_its_markers_is_refused() {
        for text in [
            String::new(),
            format!("{END}{BEGIN}"),
            BEGIN.to_owned(),
            format!("{BEGIN}{END}{BEGIN}{END}"),
        ] {
            assert_eq!(around(&text), None, "{text}");
        }
    }
}
