//! `modtwinctl support-bundle`: what a supporter needs, in one file, without any secret.
//!
//! Owns what is collected and why ([`Bundle`]) and the file itself. What a secret looks like is in
//! `redaction`; everything that goes into the file has gone through it. Nothing of the environment
//! is collected.

mod archive;
mod collection;
mod listing;
mod redaction;

use std::path::PathBuf;
use std::time::SystemTime;

use modtwin_client::Client;
use modtwin_credentials::Date;
use serde::Serialize;

use crate::cli::diagnosis::SupportBundle;
use crate::failure::Failure;
use crate::output::Output;
use crate::words::{WIDTH, size, wrapped};
use redaction::Redaction;

/// The file that lists the others.
const MANIFEST: &str = "MANIFEST";

/// A file of the bundle.
#[derive(Debug, Serialize)]
struct Entry {
    name: String,
    bytes: u64,
    why: &'static str,
    #[serde(skip)]
    content: Vec<u8>,
}

/// Something that should be there and is not.
#[derive(Debug, Serialize)]
struct Missing {
    name: String,
    because: String,
}

/// What is collected.
#[derive(Debug, Default, Serialize)]
struct Bundle {
    contents: Vec<Entry>,
    missing: Vec<Missing>,
    #[serde(skip)]
    redaction: Redaction,
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Made<'a> {
    file: &'a PathBuf,
    bytes: u64,
    #[serde(flatten)]
    bundle: &'a Bundle,
}

impl Bundle {
    /// Takes in a text, without its secrets.
    fn add(&mut self, name: impl Into<String>, why: &'static str, text: &str) {
        self.add_public(name, why, self.redaction.of(text));
    }

    /// Takes in what has no secret by the way it was made.
    fn add_public(&mut self, name: impl Into<String>, why: &'static str, text: String) {
        let content = text.into_bytes();
        let bytes = u64::try_from(content.len()).unwrap_or(u64::MAX);
        self.contents.push(Entry { name: name.into(), bytes, why, content });
    }

    /// Takes in what was got, or why it was not.
    fn take(&mut self, name: impl Into<String>, why: &'static str, got: Result<String, String>) {
        match got {
            Ok(text) => self.add(name, why, &text),
            Err(because) => self.miss(name, &because),
        }
    }

    fn miss(&mut self, name: impl Into<String>, because: &str) {
        let because = crate::failure::one_line(&self.redaction.of(because));
        self.missing.push(Missing { name: name.into(), because });
    }

    /// One paragraph an entry.
    fn lines(&self) -> Vec<String> {
        let present = self.contents.iter().flat_map(|entry| {
            let head = format!("{} ({})", entry.name, size(entry.bytes));
            wrapped(&format!("{head}: {}", entry.why), "  ", "      ", WIDTH)
        });
        let missing = self.missing.iter().flat_map(|missing| {
            let text = format!("{}: not there: {}", missing.name, missing.because);
            wrapped(&text, "  ", "      ", WIDTH)
        });
        present.chain(missing).collect()
    }
}

/// Collects, writes the file, and says what is in it.
pub(crate) async fn run(
    client: &Client,
    args: &SupportBundle,
    output: &Output,
) -> Result<(), Failure> {
    let now = SystemTime::now();
    let title = format!("modtwin-support-{}", Date(now).to_string().replace([':', '-'], ""));
    let file = args.file.clone().unwrap_or_else(|| PathBuf::from(format!("{title}.tar.gz")));
    // Asked before anything is collected; asked again by making it.
    if !args.force && file.symlink_metadata().is_ok() {
        let text =
            format!("`{}` exists; name another, or overwrite it with --force", file.display());
        return Err(Failure::failed(text));
    }
    let mut bundle = Box::pin(collection::collect(client, args)).await;
    let manifest = manifest(&bundle, now, args.with_twins);
    bundle.add(MANIFEST, "this list", &manifest);
    let bytes = archive::write(&file, &title, &bundle.contents, args.force)
        .map_err(|error| Failure::failed(format!("cannot write `{}`: {error}", file.display())))?;
    if output.is_json() {
        return output.json(&Made { file: &file, bytes, bundle: &bundle });
    }
    for line in bundle.lines() {
        output.line(line)?;
    }
    let shown = file.display();
    output.line(format!("written to {shown} ({}), readable by this user alone", size(bytes)))?;
    output.line(format!("look into it before you send it: tar -tzf {shown}"))
}

fn manifest(bundle: &Bundle, now: SystemTime, with_twins: bool) -> String {
    let twins = if with_twins { "included" } else { "left out (--with-twins includes them)" };
    let head = format!(
        "Support bundle of modtwin, made {} by modtwinctl {}.\n\
         Private keys, passwords, connection strings and tokens are removed: `{}`.\n\
         Values of twins: {twins}.\n",
        Date(now),
        env!("CARGO_PKG_VERSION"),
        redaction::REMOVED,
    );
    format!("{head}\n{}\n", bundle.lines().join("\n"))
}
