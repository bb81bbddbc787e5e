//! The table of keys against what is really read, and any text at all.

use super::*;

/// A config in which the key at `path` has the value `value`.
fn with_key(path: &str, value: &str) -> String {
    let (table, name) = path.rsplit_once('.').unwrap_or(("", path));
    match table {
        "" => format!("{} = {value}\n", name.trim_end_matches("[]")),
        "module[].handler[]" => format!("[[module]]\n[[module.handler]]\n{name} = {value}\n"),
        "module[]" => format!("[[module]]\n{} = {value}\n", name.trim_end_matches("[]")),
        table => format!("[{table}]\n{name} = {value}\n"),
    }
}

#[test]
fn every_key_of_the_table_is_read_and_its_type_checked() {
    for known in keys() {
        let problems = check(&with_key(known.path, "true")).unwrap_err();
        let path = known.path.trim_end_matches("[]").replace("[]", "[1]");
        let found = problems.iter().find(|problem| problem.key == path).unwrap();
        assert_eq!(found.kind, ProblemKind::WrongType, "{path}");
        assert_eq!(found.message, format!("expected {}, found true", known.value));
    }
}

#[test]
fn every_required_key_is_missed_and_no_other() {
    let required: Vec<_> = keys()
        .iter()
        .filter(|known| known.default == KeyDefault::Required && known.value == KeyType::Text)
        .map(|known| known.path.replace("[]", "[1]"))
        .collect();
    let problems = check("[[module]]\n[[module.handler]]\n").unwrap_err();
    let missing = problems.iter().filter(|problem| problem.message.contains("no default"));
    let mut missing: Vec<_> = missing.map(|problem| problem.key.clone()).collect();
    missing.sort();
    let mut sorted = required;
    sorted.sort();
    assert_eq!(missing, sorted);
}

#[test]
fn every_default_of_the_table_is_what_the_config_has() {
    let complete = "[[module]]\nid = \"m\"\nshared-access-key-file = \"k\"\n";
    let plain = check(&format!("{HUB}{complete}")).unwrap();
    for known in keys() {
        let KeyDefault::Value(default) = known.default else {
            continue;
        };
        let (table, name) = known.path.rsplit_once('.').unwrap();
        let line = format!("{name} = {default:?}\n");
        let text = match table {
            "hub" => format!("{HUB}{line}{complete}"),
            "module[]" => format!("{HUB}{complete}{line}"),
            table => format!("{HUB}[{table}]\n{line}{complete}"),
        };
        assert_eq!(check(&text), Ok(plain.clone()), "{}", known.path);
    }
    assert_eq!(key::default_value("hub.port"), "");
}

proptest! {
    #[test]
    fn any_text_is_a_config_or_has_problems(text in "\\PC*|(?s).*") {
        if let Err(problems) = check(&text) {
            prop_assert!(problems.count() > 0);
            prop_assert!(problems.iter().all(|problem| problem.line != Some(0)));
        }
    }

    #[test]
    fn any_damage_to_a_config_leaves_a_config_or_problems(
        at in 0usize..2_000,
        length in 0usize..40,
        insert in "[\\[\\]=\"'.#\n a-z0-9{},]{0,12}",
    ) {
        let sample = include_str!("../../../../../config/examples/certificates.toml");
        let floor = |at: usize| (0..=at.min(sample.len()))
            .rev().find(|at| sample.is_char_boundary(*at)).unwrap_or(0);
        let (start, end) = (floor(at), floor(at + length));
        let damaged = format!("{}{insert}{}", &sample[..start], &sample[end..]);
        if let Err(problems) = check(&damaged) {
            prop_assert!(problems.count() > 0);
            let lines = damaged.lines().count() + 1;
            prop_assert!(problems.iter().all(|problem| problem.line.is_none_or(|line| line <= lines)));
        }
    }
}
