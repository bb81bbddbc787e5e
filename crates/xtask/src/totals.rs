//! Counts what libtest prints while it passes it on, so that the summary can name each failed test.

use std::io::{BufRead, BufReader, Read};

use crate::terminal;

/// What all test programs of a run said together.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct TestTotals {
    programs: u32,
    passed: u64,
    failed: u64,
    ignored: u64,
    failures: Vec<String>,
}

impl TestTotals {
    /// Prints every line of `output` as it comes, and counts.
    ///
    /// # Errors
    /// The pipe broke.
    pub(crate) fn read_along(&mut self, output: impl Read) -> std::io::Result<()> {
        let mut reader = BufReader::new(output);
        let mut line = Vec::new();
        // Tests print what they like: bytes, not text.
        while reader.read_until(b'\n', &mut line)? > 0 {
            let text = String::from_utf8_lossy(&line);
            let text = text.trim_end_matches('\n');
            terminal::line(text);
            self.count(text);
            line.clear();
        }
        Ok(())
    }

    /// Returns a sentence about the tests, or nothing where none ran.
    pub(crate) fn describe(&self) -> Option<String> {
        if self.programs == 0 {
            return None;
        }
        let mut text = format!(
            "{} tests passed, {} failed, {} ignored, in {} test programs",
            self.passed, self.failed, self.ignored, self.programs
        );
        for name in &self.failures {
            text.push_str("\n  failed: ");
            text.push_str(name);
        }
        Some(text)
    }

    fn count(&mut self, line: &str) {
        if let Some(name) =
            line.strip_prefix("test ").and_then(|rest| rest.strip_suffix(" ... FAILED"))
        {
            self.failures.push(name.to_owned());
        }
        let Some(result) = line.strip_prefix("test result: ") else {
            return;
        };
        self.programs += 1;
        let words: Vec<&str> =
            result.split([' ', '.', ';']).filter(|word| !word.is_empty()).collect();
        for pair in words.windows(2) {
            let &[number, label] = pair else { continue };
            let Ok(number) = number.parse::<u64>() else {
                continue;
            };
            match label {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.ignored += number,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "\
running 2 tests
test a::works ... ok
test b::breaks ... FAILED

test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.10s

running 3 tests
test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s
";

    #[test]
    fn results_of_several_programs_add_up_and_failures_keep_their_names() {
        let mut totals = TestTotals::default();
        totals.read_along(OUTPUT.as_bytes()).unwrap();
        assert_eq!(
            totals.describe().unwrap(),
            "3 tests passed, 1 failed, 1 ignored, in 2 test programs\n  failed: b::breaks"
        );
    }

    #[test]
    fn a_run_without_tests_says_nothing() {
        assert_eq!(TestTotals::default().describe(), None);
    }
}
