//! Which files are read, in which order, and what the shipped samples say.

use std::fs;

use super::*;
use crate::model::Transport;
use crate::{MAX_MODULES, keys};

const HUB: &str = "[hub]\nhostname = \"h\"\ndevice-id = \"d\"\n";

/// A folder with `modtwind.toml`, and files in `conf.d`.
fn folder(main: &str, drop_ins: &[(&str, &str)]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("modtwind.toml");
    fs::write(&path, main).unwrap();
    if !drop_ins.is_empty() {
        fs::create_dir(drop_in_folder(&path)).unwrap();
    }
    for (name, text) in drop_ins {
        fs::write(drop_in_folder(&path).join(name), text).unwrap();
    }
    (folder, path)
}

fn port(number: u16) -> String {
    format!("[hub]\nport = {number}\n")
}

/// The only problem of a load.
fn only_problem(path: &Path) -> Problem {
    let problems = Config::load(path).unwrap_err();
    assert_eq!(problems.count(), 1, "{problems}");
    problems.into_iter().next().unwrap()
}

#[test]
fn drop_ins_are_joined_by_name() {
    let (_folder, path) =
        folder(HUB, &[("20.toml", &port(20)), ("10.toml", &port(10)), ("9.toml", &port(9))]);
    assert_eq!(Config::load(&path).unwrap().hub.port, 9, "`9` comes after `20` as text");
}

#[test]
fn hidden_and_foreign_files_are_passed_over() {
    let broken = "= no TOML";
    let others =
        [(".10.toml", broken), ("10.toml.bak", broken), ("README", broken), (".toml", broken)];
    let (_folder, path) = folder(HUB, &others);
    assert!(Config::load(&path).is_ok());
}

#[test]
fn a_problem_names_the_drop_in_that_has_it() {
    let (_folder, path) = folder(HUB, &[("10.toml", "\n[hub]\nprot = 1\n")]);
    let problem = only_problem(&path);
    assert_eq!(problem.file, drop_in_folder(&path).join("10.toml"));
    assert_eq!((problem.line, problem.key.as_str()), (Some(3), "hub.prot"));
    assert_eq!(problem.suggestion.as_deref(), Some("port"));
}

#[test]
fn a_missing_file_is_the_only_problem() {
    let folder = tempfile::tempdir().unwrap();
    let problem = only_problem(&folder.path().join("modtwind.toml"));
    assert_eq!((problem.kind, problem.line), (ProblemKind::Unreadable, None));
    assert!(problem.message.starts_with("cannot read the file: "), "{problem}");
}

#[test]
fn what_is_no_file_is_not_waited_for() {
    let (_folder, path) = folder(HUB, &[]);
    fs::create_dir_all(drop_in_folder(&path).join("10.toml")).unwrap();
    assert_eq!(only_problem(&path).message, "expected a file, found something else");
    assert_eq!(
        only_problem(Path::new("/dev/null")).message,
        "expected a file, found something else"
    );
}

#[test]
fn new_files_are_judged_as_if_they_lay_in_place_and_problems_name_where_they_are() {
    let drop_in = "[[module]]\nid = \"m\"\nshared-access-key-file = \"m.key\"\n";
    let (_folder, place) = folder(HUB, &[("10.toml", drop_in)]);
    let home = place.parent().unwrap();
    let in_place = Config::load(&place).unwrap();
    let (elsewhere, new) = folder(HUB, &[("10.toml", drop_in)]);
    assert_eq!(Files::read_for(&new, &place).check(), Ok(in_place.clone()));
    assert_eq!(Files::read_for(elsewhere.path(), &place).check(), Ok(in_place));
    fs::write(&new, format!("{HUB}trusted-ca = \"ca.pem\"\n")).unwrap();
    fs::remove_dir_all(elsewhere.path().join("conf.d")).unwrap();
    let of_file = Files::read_for(&new, &place).check().unwrap();
    let of_folder = Files::read_for(elsewhere.path(), &place).check().unwrap();
    assert_eq!(of_file.hub.trusted_ca, Some(home.join("ca.pem")));
    assert_eq!((of_file.modules.len(), of_folder.modules.len()), (1, 0));
    fs::write(&new, "[hub\n").unwrap();
    let problems = Files::read_for(&new, &place).check().unwrap_err();
    assert_eq!(problems.iter().next().unwrap().file, new);
}

#[test]
fn bytes_that_are_no_text_name_their_line() {
    let (_folder, path) = folder("", &[]);
    fs::write(&path, b"[hub]\nhostname = \"\xff\"\n").unwrap();
    let problem = only_problem(&path);
    assert_eq!((problem.kind, problem.line), (ProblemKind::Syntax, Some(2)));
}

#[test]
fn a_file_of_absurd_size_is_refused() {
    let (_folder, path) = folder(&"#".repeat(1024 * 1024 + 1), &[]);
    assert_eq!(only_problem(&path).message, "expected at most 1 MiB, found more");
    fs::write(&path, format!("{HUB}{}", "#".repeat(1024 * 1024 - HUB.len()))).unwrap();
    assert!(Config::load(&path).is_ok());
}

fn samples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config")
}

#[test]
fn the_shipped_config_checks_as_it_stands_and_mentions_every_key() {
    let path = samples().join("modtwind.toml");
    let config = Config::load(&path).unwrap();
    assert!(config.modules.is_empty());
    let text = fs::read_to_string(&path).unwrap();
    for key in keys() {
        let name = key.path.rsplit('.').next().unwrap().trim_end_matches("[]");
        assert!(
            text.contains(&format!("{name} =")) || text.contains(&format!("{name}]")),
            "{name}"
        );
    }
}

#[test]
fn the_shipped_config_checks_with_its_comments_taken_off() {
    let text = fs::read_to_string(samples().join("modtwind.toml")).unwrap();
    let setting =
        |line: &&str| line.contains(" = ") || line.trim_start_matches(['#', ' ']).starts_with('[');
    let text: Vec<_> =
        text.lines().filter(setting).map(|line| line.trim_start_matches(['#', ' '])).collect();
    let source = Source { path: PathBuf::from("modtwind.toml"), text: text.join("\n") };
    let config = Config::check(&[source]).unwrap();
    assert_eq!(config.modules.len(), 3);
    assert_eq!(config.modules[0].handlers.len(), 3);
}

#[test]
fn every_shipped_example_checks() {
    let mut count = 0;
    for entry in samples().join("examples").read_dir().unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            // The drop-in beside them is joined to each.
            let config = Config::load(&path).unwrap_or_else(|problems| panic!("{problems}"));
            assert!(config.modules.iter().any(|module| module.id.as_str() == "lights"));
            assert!((2..=MAX_MODULES).contains(&config.modules.len()));
            count += 1;
        }
    }
    assert_eq!(count, 3);
    let closed = Config::load(&samples().join("examples/closed-network.toml")).unwrap();
    assert_eq!((closed.hub.transport, closed.hub.port), (Transport::WebSocket, 443));
}
