//! The manual pages and completion scripts in `packaging/` are those of the code as it is.
//!
//! What can be generated is: completions and modtwinctl(1) from the command line's definition, the
//! options in modtwind(8), the keys in modtwind.toml(5), and modtwin-local-api(7) from
//! docs/local-api.md. `cargo xtask man` writes them all; the tests compare.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test says by a panic that it failed")]

mod command_line;
mod keys;
mod markdown;

use std::path::{Path, PathBuf};
use std::process::Command;

/// Set by `cargo xtask man`: files that differ are written, not complained of.
const WRITE: &str = "MODTWIN_WRITE_GENERATED";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Compares a file with what it should be, or writes it.
fn settle(path: &str, expected: &str) {
    let file = root().join(path);
    let found = std::fs::read_to_string(&file).unwrap_or_default();
    if found == expected {
        return;
    }
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(&file, expected).unwrap();
        return;
    }
    let differs = |(_, (old, new)): &(usize, (&str, &str))| old != new;
    let line = found.lines().zip(expected.lines()).enumerate().find(differs);
    panic!(
        "`{path}` is not what the code says, first at line {}; run `cargo xtask man` and commit it",
        line.map_or(found.lines().count(), |(index, _)| index) + 1
    );
}

/// Puts `block` between the marks called `name` in a page that is written by hand.
fn settle_block(path: &str, name: &str, block: &str) {
    let page = std::fs::read_to_string(root().join(path)).unwrap();
    let begin = format!(".\\\" begin {name}: written by cargo xtask man\n");
    let end = format!(".\\\" end {name}\n");
    let (before, rest) = page.split_once(&begin).unwrap_or_else(|| panic!("`{path}`: no {begin}"));
    let (_old, after) = rest.split_once(&end).unwrap_or_else(|| panic!("`{path}`: no {end}"));
    settle(path, &format!("{before}{begin}{block}{end}{after}"));
}

#[test]
fn completions_are_those_of_the_command_lines() {
    for (path, script) in command_line::completions() {
        settle(&path, &script);
    }
}

#[test]
fn the_page_of_modtwinctl_is_that_of_its_command_line() {
    settle("packaging/man/modtwinctl.1", &command_line::modtwinctl());
}

#[test]
fn the_page_of_modtwind_has_its_options() {
    settle_block("packaging/man/modtwind.8", "options", &command_line::modtwind_options());
}

#[test]
fn the_page_of_the_config_has_every_key() {
    settle_block("packaging/man/modtwind.toml.5", "keys", &keys::all());
    let page = std::fs::read_to_string(root().join("packaging/man/modtwind.toml.5")).unwrap();
    for key in modtwin_config::keys() {
        let name = key.path.rsplit('.').next().unwrap_or_default().trim_end_matches("[]");
        let escaped = name.replace('-', "\\-");
        assert!(page.contains(&escaped), "modtwind.toml(5) lacks `{}`", key.path);
    }
}

#[test]
fn the_page_of_the_local_api_is_its_contract() {
    let contract = std::fs::read_to_string(root().join("docs/local-api.md")).unwrap();
    settle("packaging/man/modtwin-local-api.7", &markdown::page(&contract));
}

/// What man(1) or groff(1) complain of is a fault in a page.
#[test]
fn every_page_renders_without_a_warning() {
    let mut pages: Vec<PathBuf> = std::fs::read_dir(root().join("packaging/man"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    pages.sort();
    assert!(pages.len() >= 4, "{pages:?}");
    for page in pages {
        let mut groff = Command::new("groff");
        let groff =
            groff.args(["-t", "-man", "-Kutf8", "-Tutf8", "-ww", "-rLL=78n", "-P-cbou"]).arg(&page);
        let Ok(rendered) = groff.output() else {
            eprintln!("skipped: groff is not here, so no page was rendered");
            return;
        };
        let complaints = String::from_utf8_lossy(&rendered.stderr);
        assert!(rendered.status.success() && complaints.is_empty(), "{complaints}");
        let text = String::from_utf8_lossy(&rendered.stdout);
        assert!(text.contains("NAME\n"), "{} has no NAME", page.display());
    }
}
