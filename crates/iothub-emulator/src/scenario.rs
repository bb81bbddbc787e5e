//! A scenario: what is to go wrong by itself, and when, from a TOML file that is checked whole before anything starts.
//! Owns reading, checking and playing; what a step does is the hub's.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use thiserror::Error;
use tokio::time::Instant;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::clock;
use crate::fault::{self, Order, RawFault};
use crate::hub::{self, Hub};

/// Holds the steps of a scenario, in the order of their times; the default has none.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scenario {
    steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq)]
struct Step {
    at: Duration,
    action: Action,
}

#[derive(Clone, Debug, PartialEq)]
enum Action {
    Fault(Box<Order>),
    /// Shift the clock by so many milliseconds.
    Clock(i64),
    /// End all faults.
    End,
}

/// Says why a scenario can't be played.
#[derive(Debug, Error)]
pub enum ScenarioError {
    /// The file can't be read.
    #[error("cannot read scenario `{path}`")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The file says something that makes no sense; one line a problem.
    #[error("{}", .0.join("\n"))]
    Wrong(Vec<String>),
}

impl Scenario {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// When the file can't be read, or with every problem in it, each with its line.
    pub fn load(path: &Path) -> Result<Self, ScenarioError> {
        let text = std::fs::read_to_string(path).map_err(|source| {
            let path = path.to_owned();
            ScenarioError::Unreadable { path, source }
        })?;
        let name = path.display();
        Self::parse(&text).map_err(|problems| {
            let named = problems.iter().map(|problem| format!("{name}:{problem}"));
            ScenarioError::Wrong(named.collect())
        })
    }

    /// Reads and checks a text.
    ///
    /// # Errors
    /// Names every problem in it, each behind its line.
    pub fn parse(text: &str) -> Result<Self, Vec<String>> {
        let mut reader = Reader { text, problems: Vec::new() };
        let steps = reader.read();
        match reader.problems.is_empty() {
            true => Ok(Self { steps }),
            false => {
                reader.problems.sort();
                let written = reader.problems.iter().map(|(line, text)| format!("{line}: {text}"));
                Err(written.collect())
            }
        }
    }

    /// Plays the steps, each at its time after now, until the last or the emulator's end.
    pub(crate) async fn play(self, hub: Arc<Hub>) {
        let start = Instant::now();
        let mut stop = hub.stop.clone();
        for (index, step) in self.steps.into_iter().enumerate() {
            tokio::select! {
                () = hub::stopped(&mut stop) => return,
                () = tokio::time::sleep_until(start + step.at) => {}
            }
            let seconds = step.at.as_secs_f64();
            hub.events.tell("scenario", None, || json!({ "step": index + 1, "at": seconds }));
            match step.action {
                Action::Fault(order) => drop(hub.order(*order)),
                Action::Clock(shift) => drop(hub.shift_clock(shift)),
                Action::End => {
                    hub.end_faults(None);
                }
            }
        }
    }
}

struct Reader<'a> {
    text: &'a str,
    /// Line and text.
    problems: Vec<(usize, String)>,
}

impl Reader<'_> {
    fn problem(&mut self, offset: usize, text: impl Into<String>) {
        let before = self.text.bytes().take(offset);
        self.problems.push((1 + before.filter(|byte| *byte == b'\n').count(), text.into()));
    }

    fn read(&mut self) -> Vec<Step> {
        let (table, errors) = DeTable::parse_recoverable(self.text);
        for error in &errors {
            let offset = error.span().map_or(0, |span| span.start);
            self.problem(offset, error.message());
        }
        if !errors.is_empty() {
            return Vec::new();
        }
        let mut steps = Vec::new();
        for (key, value) in table.get_ref() {
            let offset = key.span().start;
            match (key.get_ref().as_ref(), value.get_ref()) {
                ("step", DeValue::Array(array)) => {
                    for element in array {
                        steps.extend(self.step(element));
                    }
                }
                ("step", _) => self.problem(offset, "`step`: expected tables, each under [[step]]"),
                (other, _) => {
                    self.problem(offset, format!("unknown key `{other}`: expected [[step]]"))
                }
            }
        }
        steps.sort_by_key(|step| step.at);
        steps
    }

    fn step(&mut self, element: &Spanned<DeValue<'_>>) -> Option<Step> {
        let header = element.span().start;
        let DeValue::Table(table) = element.get_ref() else {
            self.problem(header, "`step`: expected tables, each under [[step]]");
            return None;
        };
        let known = self.problems.len();
        let mut values = serde_json::Map::new();
        for (key, value) in table {
            let name = key.get_ref().as_ref();
            match read_value(name, value.get_ref()) {
                Ok(value) => {
                    values.insert(name.to_owned(), value);
                }
                Err(text) => self.problem(key.span().start, text),
            }
        }
        let place =
            |name: &str| table.get_key_value(name).map_or(header, |(key, _)| key.span().start);
        let mut text = |name: &str| match values.remove(name) {
            Some(Value::String(text)) => Some(text),
            _ => None,
        };
        let (at, shift, end) = (text("at"), text("clock"), text("end"));
        let at = match at.as_deref().map(fault::duration) {
            Some(Ok(at)) => Some(at),
            Some(Err(reason)) => {
                self.problem(place("at"), format!("`at`: {reason}"));
                None
            }
            // One of another type has been named already.
            None if table.contains_key("at") => None,
            None => {
                self.problem(header, "`at`: expected when the step is to happen, such as \"5s\"");
                None
            }
        };
        let has_other_problems = self.problems.len() > known;
        let action = match (shift, end, values.is_empty()) {
            (Some(shift), None, true) => self.shift(&shift, place("clock")),
            (None, Some(end), true) => {
                if end != "all" {
                    self.problem(place("end"), format!("`end`: expected \"all\", found {end:?}"));
                }
                Some(Action::End)
            }
            (None, None, false) => self.fault(values, &place),
            // Whatever was mistyped may have been the action.
            (None, None, true) if has_other_problems => None,
            _ => {
                self.problem(
                    header,
                    "expected one of `kind` (a fault), `clock` and `end` in a step",
                );
                None
            }
        };
        at.zip(action).map(|(at, action)| Step { at, action })
    }

    fn shift(&mut self, text: &str, place: usize) -> Option<Action> {
        match clock::parse_shift(text) {
            Ok(shift) => Some(Action::Clock(shift)),
            Err(reason) => {
                self.problem(place, format!("`clock`: {reason}"));
                None
            }
        }
    }

    fn fault(
        &mut self,
        values: serde_json::Map<String, Value>,
        place: &dyn Fn(&str) -> usize,
    ) -> Option<Action> {
        if !values.contains_key("kind") {
            self.problem(place(""), "`kind`: expected the kind of the fault");
            return None;
        }
        match serde_json::from_value::<RawFault>(Value::Object(values)).map(RawFault::check) {
            Ok(Ok(order)) => Some(Action::Fault(Box::new(order))),
            Ok(Err(flaws)) => {
                for flaw in flaws {
                    self.problem(place(flaw.key), format!("`{}`: {}", flaw.key, flaw.text));
                }
                None
            }
            Err(error) => {
                self.problem(place(""), error.to_string());
                None
            }
        }
    }
}

/// Reads the value of a step's key, which must be known and of the right type.
fn read_value(name: &str, value: &DeValue<'_>) -> Result<Value, String> {
    let expected = match name {
        "count" | "code" | "status" | "ms" => "a whole number",
        "chance" => "a number from 0 to 1",
        _ if fault::KEYS.contains(&name) || OWN_KEYS.contains(&name) => "a text in quotes",
        _ => {
            let names: Vec<&str> = OWN_KEYS.into_iter().chain(fault::KEYS).collect();
            return Err(match fault::nearest(name, &names) {
                Some(nearest) => format!("unknown key `{name}`, did you mean `{nearest}`?"),
                None => format!("unknown key `{name}`: expected one of {}", names.join(", ")),
            });
        }
    };
    let read = match (expected, value) {
        ("a text in quotes", DeValue::String(text)) => Some(json!(text)),
        ("a whole number", DeValue::Integer(number)) => {
            u64::from_str_radix(number.as_str(), number.radix()).ok().map(|number| json!(number))
        }
        ("a number from 0 to 1", DeValue::Float(number)) => {
            number.as_str().parse::<f64>().ok().map(|number| json!(number))
        }
        ("a number from 0 to 1", DeValue::Integer(number)) => {
            number.as_str().parse::<f64>().ok().map(|number| json!(number))
        }
        _ => None,
    };
    read.ok_or_else(|| format!("`{name}`: expected {expected}"))
}

/// A step's keys beside a fault's.
const OWN_KEYS: [&str; 3] = ["at", "clock", "end"];

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::{Action, Scenario};

    #[test]
    fn the_example_is_read_in_the_order_of_its_times() {
        let text = include_str!("../../../config/emulator/bad-morning.toml");
        let scenario = Scenario::parse(text).expect("legal");
        let times: Vec<u64> = scenario.steps.iter().map(|step| step.at.as_secs()).collect();
        assert_eq!(times, [5, 20, 30, 45, 60]);
        assert!(matches!(scenario.steps[2].action, Action::Clock(7_200_000)));
        assert!(matches!(scenario.steps[4].action, Action::End));
    }

    #[test]
    fn every_problem_is_named_with_its_line_and_the_nearest_key() {
        let text = "colour = 1\n[[step]]\nat = \"soon\"\nkind = \"dorp\"\nmodul = \"m\"\n\n[[step]]\nkind = \"refuse\"\n\
                    code = 9\ncount = \"x\"\n[[step]]\nat = \"1s\"\n[[step]]\nat = \"1s\"\nclock = \"late\"\n\
                    [[step]]\nat = \"1s\"\nend = \"some\"\n[[step]]\nat = \"1s\"\ndevice = \"d\"\n\
                    [[step]]\nat = \"1s\"\nend = \"all\"\nkind = \"drop\"\n[[step]]\nat = 7\nkind = \"drop\"\n";
        let problems = Scenario::parse(text).expect_err("wrong");
        let expected = [
            "1: unknown key `colour`: expected [[step]]",
            "3: `at`: ",
            "4: `kind`: unknown kind `dorp`, did you mean `drop`?",
            "5: unknown key `modul`, did you mean `module`?",
            "7: `at`: expected when the step is to happen",
            "9: `code`: must be a CONNACK code from 1 to 5, found 9",
            "10: `count`: expected a whole number",
            "11: expected one of `kind`",
            "15: `clock`: ",
            "18: `end`: expected \"all\", found \"some\"",
            "19: `kind`: expected the kind of the fault",
            "22: expected one of `kind`",
            "27: `at`: expected a text in quotes",
        ];
        assert_eq!(problems.len(), expected.len(), "{problems:#?}");
        for (found, start) in problems.iter().zip(expected) {
            assert!(found.starts_with(start), "expected {start}, found {found}");
        }
    }

    #[test]
    fn broken_toml_is_named_with_its_line() {
        let problems = Scenario::parse("[[step]]\nat = \"1s\"\nkind = \n").expect_err("broken");
        assert!(problems.iter().any(|problem| problem.starts_with("3: ")), "{problems:?}");
    }

    #[test]
    fn an_empty_file_is_a_scenario_without_steps_and_equal_times_keep_their_order() {
        assert_eq!(Scenario::parse("# nothing\n"), Ok(Scenario::default()));
        let text = "[[step]]\nat = \"1s\"\nclock = \"1s\"\n[[step]]\nat = \"1s\"\nclock = \"2s\"\n[[step]]\nat = \"0s\"\nend = \"all\"\n";
        let steps = Scenario::parse(text).expect("legal").steps;
        assert_eq!(steps[0].at, Duration::ZERO);
        assert_eq!(
            (&steps[1].action, &steps[2].action),
            (&Action::Clock(1000), &Action::Clock(2000))
        );
    }

    proptest! {
        #[test]
        fn any_text_gets_an_answer(text in "\\PC{0,100}", key in "[a-z]{1,6}", value in "\\PC{0,20}") {
            let _ = Scenario::parse(&text);
            let _ = Scenario::parse(&format!("[[step]]\nat = \"1s\"\n{key} = {value}\n{text}"));
        }
    }
}
