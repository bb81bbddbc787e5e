//! What went on around something that broke: the lines of all logs near that moment, in the order
//! of time.

use std::path::{Path, PathBuf};

use crate::check::Violation;
use crate::rig::Rig;
use crate::terminal;

/// Prints what is known around each violation, a few of them at most.
pub(crate) fn show(rig: &Rig, violations: &[Violation]) {
    for violation in violations.iter().take(MOST_VIOLATIONS) {
        let Violation { promise, module, found, at } = violation;
        terminal::say(&format!("\n{promise}: {module}: {found}"));
        if let Some(at) = at {
            for (_, line) in around(rig.folder(), module, *at) {
                terminal::say(&line);
            }
        }
    }
    let log = rig.gateway.log_text();
    let serious: Vec<&str> = log.lines().filter(|line| line.contains("ERROR")).collect();
    let last = serious.len().saturating_sub(MOST_LINES);
    for line in serious.iter().skip(last) {
        terminal::say(&format!("modtwind: {line}"));
    }
}

/// The lines of the campaign, of `module`'s handler and of the hub about it that were written
/// close to `at`.
fn around(folder: &Path, module: &str, at: u64) -> Vec<(u64, String)> {
    let sources: [(&str, PathBuf); 3] = [
        ("campaign", folder.join("campaign.log")),
        ("handler", folder.join(format!("{module}.diary"))),
        ("hub", folder.join("events.ndjson")),
    ];
    let mut found = Vec::new();
    for (source, path) in sources {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        for line in text.lines() {
            let is_meant = source != "hub" || line.contains(module);
            let Some(then) = time(line).filter(|then| is_meant && then.abs_diff(at) < AROUND_US)
            else {
                continue;
            };
            let short: String = line.chars().take(LONGEST_LINE).collect();
            found.push((then, format!("  {source}: {short}")));
        }
    }
    found.sort();
    let nearest = found.partition_point(|(then, _)| *then <= at);
    let first = nearest.saturating_sub(MOST_LINES / 2);
    found.into_iter().skip(first).take(MOST_LINES).collect()
}

/// The time of a line: its first number of microseconds since 1970.
fn time(line: &str) -> Option<u64> {
    let numbers = line.split(|one: char| !one.is_ascii_digit());
    numbers.filter(|number| number.len() == 16).find_map(|number| number.parse().ok())
}

const MOST_VIOLATIONS: usize = 5;
const MOST_LINES: usize = 40;
const LONGEST_LINE: usize = 300;
const AROUND_US: u64 = 10_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_all_logs_are_put_in_order_around_the_moment() {
        let folder = tempfile::tempdir().unwrap();
        let at = 1_700_000_000_000_000_u64;
        let write = |name: &str, text: String| {
            std::fs::write(folder.path().join(name), text).unwrap();
        };
        write("campaign.log", format!("{} 3 s: kill\n", at - 5));
        write("m.diary", format!("{{\"at\":{},\"line\":\"began\"}}\n", at + 5));
        let far = at + 2 * AROUND_US;
        write(
            "events.ndjson",
            format!(
                "{{\"us\":{at},\"module\":\"m\"}}\n{{\"us\":{at},\"x\":1}}\n{{\"us\":{far},\"module\":\"m\"}}\n"
            ),
        );
        let found: Vec<String> =
            around(folder.path(), "m", at).into_iter().map(|(_, line)| line).collect();
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found[0].contains("kill") && found[2].contains("began"), "{found:?}");
    }
}
