//! A page of the documentation whose table is written by this program, between two markers; all
//! else in it is written by people.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// A page that had its markers when it was looked at.
#[derive(Debug)]
pub(crate) struct Page {
    path: PathBuf,
    /// The name in its markers, `<!-- NAME:begin -->` and `<!-- NAME:end -->`.
    markers: &'static str,
}

impl Page {
    /// Looks whether results can be put into the page at `path`.
    ///
    /// # Errors
    ///
    /// Where it can't be read, or does not have each marker once and in order.
    pub(crate) fn find(path: &Path, markers: &'static str) -> anyhow::Result<Self> {
        let page = Self { path: path.to_owned(), markers };
        page.parts()?;
        Ok(page)
    }

    /// Writes `results` between the markers; what people wrote meanwhile stays.
    ///
    /// # Errors
    ///
    /// Where the page can't be read or written, or has lost its markers.
    pub(crate) fn write(&self, results: &str) -> anyhow::Result<()> {
        let (before, after) = self.parts()?;
        let [begin, end] = marks(self.markers);
        let text = format!("{before}{begin}\n{}\n{end}{after}", results.trim());
        fs::write(&self.path, text)
            .with_context(|| format!("cannot write `{}`", self.path.display()))
    }

    /// What of the page is not the program's.
    fn parts(&self) -> anyhow::Result<(String, String)> {
        let shown = self.path.display();
        let text =
            fs::read_to_string(&self.path).with_context(|| format!("cannot read `{shown}`"))?;
        let [begin, end] = marks(self.markers);
        let (before, after) = around(&text, &begin, &end)
            .with_context(|| format!("expected one `{begin}` before one `{end}` in `{shown}`"))?;
        Ok((before.to_owned(), after.to_owned()))
    }
}

/// The lines after which the results begin, and before which they end.
fn marks(name: &str) -> [String; 2] {
    ["begin", "end"].map(|side| format!("<!-- {name}:{side} -->"))
}

/// What is before the first marker and after the second.
fn around<'a>(text: &'a str, begin: &str, end: &str) -> Option<(&'a str, &'a str)> {
    let (before, rest) = text.split_once(begin)?;
    let (_, after) = rest.split_once(end)?;
    let again = [before, after].iter().any(|part| part.contains(begin) || part.contains(end));
    (!again).then_some((before, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_replace_what_is_between_the_markers_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("page.md");
        let [begin, end] = marks("bench");
        fs::write(&path, format!("# Title\n\n{begin}\nold\n{end}\n\nProse.\n")).unwrap();
        let page = Page::find(&path, "bench").unwrap();
        page.write("first\n").unwrap();
        let edited = fs::read_to_string(&path).unwrap().replace("Prose.", "Better prose.");
        fs::write(&path, edited).unwrap();
        page.write("| second |\n").unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text, format!("# Title\n\n{begin}\n| second |\n{end}\n\nBetter prose.\n"));
    }

    #[test]
    fn a_page_without_its_markers_is_refused() {
        for text in ["", "ea", "a", "aeae"] {
            assert_eq!(around(text, "a", "e"), None, "{text}");
        }
    }
}
