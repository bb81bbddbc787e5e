//! The findings on a page of at most [`WIDTH`] columns: what to mend first, then everything.

use super::Report;
use super::findings::{Finding, Outcome};
use crate::output::{Tone, painted};
use crate::words::{WIDTH, counted, names, wrapped};

/// How wide outcome and id are, blanks included.
const INDENT: usize = 29;

/// Findings that are told on one line.
struct Row<'a> {
    finding: &'a Finding,
    modules: Vec<String>,
}

/// The whole page.
pub(super) fn page(report: &Report, coloured: bool) -> String {
    let mut lines = head(report, coloured);
    lines.push(String::new());
    for row in rows(&report.checks) {
        lines.extend(row.lines(coloured));
    }
    lines.push(String::new());
    lines.join("\n")
}

fn head(report: &Report, coloured: bool) -> Vec<String> {
    let count = |result| report.checks.iter().filter(|finding| finding.result == result).count();
    let (failed, warnings) = (count(Outcome::Failed), count(Outcome::Warning));
    let (ok, skipped) = (count(Outcome::Ok), count(Outcome::Skipped));
    let warnings = counted(warnings, "warning");
    let counts = format!("{failed} failed, {warnings}, {ok} ok, {skipped} skipped");
    let Some(first) = &report.first else {
        return vec![painted("nothing is wrong", Some(Tone::Good), coloured), counts];
    };
    let module = first.module.as_deref().map(|id| format!(" of {id}")).unwrap_or_default();
    let text = format!("{}{module}: {}", first.check, first.text);
    let mut lines = wrapped(&text, &format!("{}: ", first.result), "    ", WIDTH);
    if let Some(line) = lines.first_mut() {
        *line = coloured_word(line, first.result, coloured);
    }
    lines.extend(first.next.iter().flat_map(|next| wrapped(next, "    -> ", "       ", WIDTH)));
    lines.push(counts);
    lines
}

/// Puts together what differs in nothing but the module; of what is well, all modules.
fn rows(findings: &[Finding]) -> Vec<Row<'_>> {
    let mut rows: Vec<Row<'_>> = Vec::new();
    for finding in findings {
        let alike = |row: &&mut Row<'_>| {
            let other = row.finding;
            let is_same = other.text == finding.text && other.next == finding.next;
            finding.module.is_some()
                && (other.check, other.result) == (finding.check, finding.result)
                && (is_same || finding.result == Outcome::Ok)
        };
        match rows.iter_mut().find(alike) {
            Some(row) => row.modules.extend(finding.module.clone()),
            None => rows.push(Row { finding, modules: finding.module.iter().cloned().collect() }),
        }
    }
    rows
}

impl Row<'_> {
    fn lines(&self, coloured: bool) -> Vec<String> {
        let Finding { check, result, text, next, .. } = self.finding;
        let text = match (result, self.modules.as_slice()) {
            (_, []) => text.clone(),
            (Outcome::Ok, modules) if modules.len() > 1 => format!("{} modules", modules.len()),
            (_, modules) => format!("{}: {text}", names(modules)),
        };
        let blank = " ".repeat(INDENT);
        let mut lines = wrapped(&text, &format!("{result:<9}{check:<20}"), &blank, WIDTH);
        if let Some(line) = lines.first_mut() {
            *line = coloured_word(line, *result, coloured);
        }
        let (first, others) = (format!("{blank}-> "), format!("{blank}   "));
        lines.extend(next.iter().flat_map(|next| wrapped(next, &first, &others, WIDTH)));
        lines
    }
}

/// Sets the outcome at the beginning of a line in its colour.
fn coloured_word(line: &str, result: Outcome, coloured: bool) -> String {
    let word = result.to_string();
    let tone = match result {
        Outcome::Ok => Some(Tone::Good),
        Outcome::Warning => Some(Tone::Fair),
        Outcome::Failed => Some(Tone::Bad),
        Outcome::Skipped => None,
    };
    line.replacen(&word, &painted(&word, tone, coloured), 1)
}

#[cfg(test)]
mod tests {
    use super::super::catalogue::Check;
    use super::super::findings::{Findings, Verdict};
    use super::*;
    use std::time::SystemTime;

    #[test]
    fn the_first_line_names_what_to_mend_first_and_modules_alike_share_a_line() {
        let mut findings = Findings::default();
        findings.note(Check::Config, None, Verdict::ok("/etc/x.toml, 3 modules"));
        for (module, verdict) in [
            ("a", Verdict::ok("until 2027")),
            ("b", Verdict::ok("until 2028")),
            ("c", Verdict::failed("it has expired").next("renew it")),
        ] {
            findings.note(Check::CredentialTime, Some(module), verdict);
        }
        findings.make(Check::HubIdentity, Some("c"), || Verdict::ok(""));
        let report = Report::new(findings.sorted(), SystemTime::UNIX_EPOCH);
        let expected = "\
failed: credential-time of c: it has expired
    -> renew it
1 failed, 0 warnings, 3 ok, 1 skipped

ok       config              /etc/x.toml, 3 modules
ok       credential-time     2 modules
failed   credential-time     c: it has expired
                             -> renew it
skipped  hub-identity        c: because credential-time failed
";
        assert_eq!(page(&report, false), expected);
        let coloured = page(&report, true);
        assert!(coloured.starts_with("\u{1b}[31mfailed\u{1b}[0m: "), "{coloured}");
    }

    #[test]
    fn no_line_is_wider_than_80_columns() {
        let mut findings = Findings::default();
        for module in 0..20 {
            let id = format!("{}{module}", "m".repeat(126));
            let verdict = Verdict::failed("x".repeat(300)).next("word ".repeat(60));
            findings.note(Check::CredentialContent, Some(&id), verdict);
        }
        let report = Report::new(findings.sorted(), SystemTime::UNIX_EPOCH);
        for line in page(&report, false).lines() {
            assert!(line.chars().count() <= WIDTH, "{line}");
        }
    }
}
