//! A page of the documentation whose table is written by this program, between two markers; all
//! else in it is written by people.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// The line after which the results begin.
const BEGIN: &str = "<!-- bench:begin -->";
/// The line before which they end.
const END: &str = "<!-- bench:end -->";

/// A page with its markers found.
#[derive(Debug)]
pub(crate) struct Page {
    path: PathBuf,
    before: String,
    after: String,
}

impl Page {
    /// Reads the page at `path`.
    ///
    /// # Errors
    ///
    /// Where it can't be read, or does not have each marker once and in order.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let shown = path.display();
        let text = fs::read_to_string(path).with_context(|| format!("cannot read `{shown}`"))?;
        let (before, after) = around(&text)
            .with_context(|| format!("expected one `{BEGIN}` before one `{END}` in `{shown}`"))?;
        Ok(Self { path: path.to_owned(), before: before.to_owned(), after: after.to_owned() })
    }

    /// Writes the page with `results` between its markers.
    ///
    /// # Errors
    ///
    /// Where it can't be written.
    pub(crate) fn write(&self, results: &str) -> anyhow::Result<()> {
        let Self { path, before, after } = self;
        let text = format!("{before}{BEGIN}\n{}\n{END}{after}", results.trim());
        fs::write(path, text).with_context(|| format!("cannot write `{}`", path.display()))
    }
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
        for results in ["first\n", "| second |\n"] {
            Page::read(&path).unwrap().write(results).unwrap();
        }
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text, format!("# Title\n\n{BEGIN}\n| second |\n{END}\n\nProse.\n"));
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
