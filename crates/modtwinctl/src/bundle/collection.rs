//! What goes into a bundle: each part is asked for by itself, and says why where it can't be had.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use modtwin_client::Client;
use modtwin_config::{Config, Credential, drop_in_folder};
use modtwin_credentials::CredentialFiles;
use tokio::process::Command;
use tokio::time::timeout;

use super::Bundle;
use super::listing::listing;
use super::redaction::{Redaction, certificates};
use crate::check::{self, daemon_socket, entries};
use crate::cli::diagnosis::SupportBundle;
use crate::failure::{chain, describe};
use crate::validate::files;

/// The most that is taken of one file, in bytes.
const MOST_BYTES: u64 = 4 << 20;
/// How long the journal may take.
const JOURNAL_LIMIT: Duration = Duration::from_secs(20);
/// What is asked of it.
const JOURNAL: [&str; 5] =
    ["--unit=modtwind", "--lines=2000", "--no-pager", "--output=short-iso", "--quiet"];

/// Collects everything.
pub(super) async fn collect(client: &Client, args: &SupportBundle) -> Bundle {
    let config = Config::load(&args.check.config).ok();
    let credentials = config.as_ref().map(credentials).unwrap_or_default();
    let secrets = credentials.iter().flat_map(|(_, files)| files.secrets());
    let mut bundle = Bundle { redaction: Redaction::of_secrets(secrets), ..Bundle::default() };

    let report = check::examine(client.socket(), &args.check).await;
    let report = serde_json::to_string_pretty(&report).map_err(|error| error.to_string());
    bundle.take("check.json", "what `modtwinctl check` finds", report);
    ask_the_daemon(client, config.as_ref(), args, &mut bundle).await;
    bundle.take("journal.txt", "the last lines that the daemon logged", journal().await);
    config_files(&args.check.config, &mut bundle);
    public_certificates(config.as_ref(), &credentials, &mut bundle);
    let directory = config.as_ref().map(|config| config.state.directory.as_path());
    state_files(directory, args.with_twins, &mut bundle);
    let paths = listed(&args.check.config, config.as_ref(), &credentials);
    let list = listing(paths.iter().map(|(path, depth)| (path.as_path(), *depth)));
    bundle.add(
        "files.txt",
        "names, owners and modes of config, credentials, state and socket",
        &list,
    );
    bundle.add("system.txt", "versions of programs, kernel and distribution", &system());
    bundle
}

async fn ask_the_daemon(
    client: &Client,
    config: Option<&Config>,
    args: &SupportBundle,
    bundle: &mut Bundle,
) {
    let client = Client::new(daemon_socket(client.socket(), config));
    let limit = args.check.timeout;
    let silent = || format!("the daemon did not answer within {} s", limit.as_secs_f32());
    let status = match timeout(limit, client.status()).await {
        Ok(Ok(status)) => serde_json::to_string_pretty(&status).map_err(|error| error.to_string()),
        Ok(Err(error)) => Err(describe(&error)),
        Err(_elapsed) => Err(silent()),
    };
    bundle.take("status.json", "what `modtwinctl status --json` says", status);
    let metrics = match timeout(limit, client.metrics()).await {
        Ok(answer) => answer.map_err(|error| describe(&error)),
        Err(_elapsed) => Err(silent()),
    };
    bundle.take("metrics.txt", "the daemon's metrics", metrics);
}

/// What the daemon logged, where systemd keeps it.
async fn journal() -> Result<String, String> {
    let run = Command::new("journalctl").args(JOURNAL).kill_on_drop(true).output();
    let output = match timeout(JOURNAL_LIMIT, run).await {
        Ok(output) => output.map_err(|error| format!("cannot run journalctl: {error}"))?,
        Err(_elapsed) => {
            return Err(format!("journalctl took more than {} s", JOURNAL_LIMIT.as_secs()));
        }
    };
    let text = String::from_utf8_lossy(&output.stdout);
    match (output.status.success(), text.trim().is_empty()) {
        (true, false) => Ok(text.into_owned()),
        (true, true) => Err("the journal has nothing of modtwind for this user".to_owned()),
        (false, _) => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

/// The first config file and the drop-ins beside it.
fn config_files(first: &Path, bundle: &mut Bundle) {
    let folder = drop_in_folder(first);
    let drop_ins = entries(&folder).into_iter();
    let drop_ins = drop_ins.filter(|path| path.extension().is_some_and(|ending| ending == "toml"));
    for path in [first.to_owned()].into_iter().chain(drop_ins) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let below = if path == *first { "config" } else { "config/conf.d" };
        bundle.take(format!("{below}/{name}"), "the config", read(&path));
    }
}

/// The certificates of the modules and of the authorities, and nothing else of those files.
fn public_certificates(
    config: Option<&Config>,
    credentials: &[(String, CredentialFiles)],
    bundle: &mut Bundle,
) {
    for (module, files) in credentials {
        if let CredentialFiles::X509(files) = files {
            let name = format!("certificates/{module}.pem");
            public(&name, "the module's certificate", &files.certificate, bundle);
        }
    }
    if let Some(path) = config.and_then(|config| config.hub.trusted_ca.as_ref()) {
        let why = "the authorities that the hub is verified by";
        public("certificates/trusted-ca.pem", why, path, bundle);
    }
}

fn public(name: &str, why: &'static str, path: &Path, bundle: &mut Bundle) {
    match read(path) {
        Ok(text) => bundle.add_public(name, why, certificates(&text)),
        Err(because) => bundle.miss(name, &because),
    }
}

/// The kept time; the twins with their values only where they are wanted.
fn state_files(directory: Option<&Path>, with_twins: bool, bundle: &mut Bundle) {
    let Some(directory) = directory else {
        return bundle.miss("state", "the config does not check");
    };
    let clock = directory.join("clock.json");
    if clock.exists() {
        bundle.take("state/clock.json", "when the hub was last reached", read(&clock));
    }
    if !with_twins {
        return bundle
            .miss("state/*/twin.json", "values of twins are left out without --with-twins");
    }
    for path in entries(directory).into_iter().map(|folder| folder.join("twin.json")) {
        if let Some(folder) = path.parent().and_then(Path::file_name).filter(|_| path.exists()) {
            let name = format!("state/{}/twin.json", folder.to_string_lossy());
            bundle.take(name, "a twin as it was last seen, and what waits", read(&path));
        }
    }
}

/// What is listed by name, and how deep.
fn listed(
    first: &Path,
    config: Option<&Config>,
    credentials: &[(String, CredentialFiles)],
) -> BTreeMap<PathBuf, usize> {
    let folder = first.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new(".")).to_owned();
    let mut paths = BTreeMap::new();
    let mut files: Vec<&Path> = credentials.iter().flat_map(|(_, files)| files.paths()).collect();
    if let Some(config) = config {
        files.extend(config.hub.trusted_ca.as_deref());
        files.push(&config.socket.path);
        // One folder a module.
        paths.insert(config.state.directory.clone(), 2);
    }
    // What is in the config's folder is listed with that.
    let elsewhere = files.into_iter().filter(|path| path.parent() != Some(folder.as_path()));
    paths.extend(elsewhere.map(|path| (path.to_owned(), 0)));
    paths.insert(drop_in_folder(first), 1);
    paths.insert(folder, 1);
    paths
}

fn system() -> String {
    let read = |path: &str| read(Path::new(path)).unwrap_or_else(|why| format!("{why}\n"));
    format!(
        "modtwinctl {}\n{}\n\n/proc/version: {}\n/etc/os-release:\n{}\nmemory:\n{}\nuptime: {}",
        env!("CARGO_PKG_VERSION"),
        modtwin_credentials::library_version(),
        read("/proc/version"),
        read("/etc/os-release"),
        read("/proc/meminfo").lines().take(3).collect::<Vec<_>>().join("\n"),
        read("/proc/uptime"),
    )
}

/// The credentials of the modules, where their files are known.
fn credentials(config: &Config) -> Vec<(String, CredentialFiles)> {
    let folder = check::credentials_folder();
    let resolved = |credential: &Credential| files(credential, folder.as_deref()).ok();
    let modules = config.modules.iter();
    modules.filter_map(|it| Some((it.id.to_string(), resolved(&it.credential)?))).collect()
}

/// A file's text, its end cut off where it is far too long.
fn read(path: &Path) -> Result<String, String> {
    let failed =
        |error: std::io::Error| format!("cannot read `{}`: {}", path.display(), chain(&error));
    // Asked before opening: opening a pipe that nobody writes to would wait for ever.
    if !path.metadata().map_err(failed)?.is_file() {
        return Err(format!("`{}` is no file", path.display()));
    }
    let mut bytes = Vec::new();
    File::open(path).map_err(failed)?.take(MOST_BYTES).read_to_end(&mut bytes).map_err(failed)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
