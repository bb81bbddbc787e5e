//! The corner of the query language that tools need first: all twins of `devices` or of `devices.modules`, narrowed
//! by device id and module id.

use serde_json::Value;

use super::{Done, Outcome};
use crate::http::Call;
use crate::hub::Hub;
use crate::identity::IdentityKey;
use crate::problem::{self, Problem};

/// `POST /devices/query`.
pub(super) fn run(hub: &Hub, call: &Call) -> Outcome {
    let body = call.json()?;
    let text = body
        .get("query")
        .and_then(Value::as_str)
        .ok_or_else(|| invalid("query: expected a text"))?;
    let question = Question::parse(text)?;
    let all = hub.registry.all();
    let hits = all.iter().filter(|identity| question.fits(&identity.key));
    let rows: Vec<Value> = hits.map(|identity| identity.lock().twin_view()).collect();
    Ok(Done::json(Value::Array(rows)).with_header("x-ms-item-type", "Twin".to_owned()))
}

#[derive(Debug, PartialEq, Eq)]
struct Question {
    wants_modules: bool,
    device: Option<String>,
    module: Option<String>,
}

impl Question {
    /// Reads `select * from devices[.modules] [where [devices.]deviceId = '…' [and [devices.modules.]moduleId = '…']]`.
    fn parse(text: &str) -> Result<Self, Problem> {
        let spaced = text.replace('=', " = ");
        let words: Vec<&str> = spaced.split_whitespace().collect();
        let is = |word: Option<&&str>, expected: &str| {
            word.is_some_and(|word| word.eq_ignore_ascii_case(expected))
        };
        let mut words = words.iter();
        let starts =
            is(words.next(), "select") && is(words.next(), "*") && is(words.next(), "from");
        let wants_modules = match (starts, words.next()) {
            (true, Some(from)) if from.eq_ignore_ascii_case("devices") => false,
            (true, Some(from)) if from.eq_ignore_ascii_case("devices.modules") => true,
            _ => return Err(unsupported(text)),
        };
        let mut question = Self { wants_modules, device: None, module: None };
        let mut joint = "where";
        while let Some(word) = words.next() {
            if !word.eq_ignore_ascii_case(joint) {
                return Err(unsupported(text));
            }
            joint = "and";
            let (name, equals, value) = (words.next(), words.next(), words.next());
            let value = value.and_then(|value| value.strip_prefix('\'')?.strip_suffix('\''));
            let (Some(name), true, Some(value)) = (name, is(equals, "="), value) else {
                return Err(unsupported(text));
            };
            let slot = match name.rsplit('.').next() {
                Some(last) if last.eq_ignore_ascii_case("deviceId") => &mut question.device,
                Some(last) if last.eq_ignore_ascii_case("moduleId") => &mut question.module,
                _ => return Err(unsupported(text)),
            };
            *slot = Some(value.to_owned());
        }
        Ok(question)
    }

    fn fits(&self, key: &IdentityKey) -> bool {
        key.module.is_some() == self.wants_modules
            && self.device.as_ref().is_none_or(|device| *device == key.device)
            && self.module.as_ref().is_none_or(|module| Some(module) == key.module.as_ref())
    }
}

fn unsupported(text: &str) -> Problem {
    invalid(&format!("this emulator does not understand the query: {text}"))
}

fn invalid(text: &str) -> Problem {
    Problem::new(problem::ARGUMENT_INVALID, text)
}

#[cfg(test)]
mod tests {
    use super::Question;

    #[test]
    fn the_supported_questions_are_read_and_others_refused() {
        let read = |text| Question::parse(text).ok();
        let modules = Question { wants_modules: true, device: Some("d".to_owned()), module: None };
        assert_eq!(
            read("select * from devices.modules where devices.deviceId = 'd'"),
            Some(modules)
        );
        let all = Question { wants_modules: false, device: None, module: None };
        assert_eq!(read("SELECT * FROM devices"), Some(all));
        let one = Question {
            wants_modules: true,
            device: Some("d".to_owned()),
            module: Some("m".to_owned()),
        };
        assert_eq!(
            read("select * from devices.modules where deviceId='d' and moduleId='m'"),
            Some(one)
        );
        for text in [
            "",
            "select *",
            "select * from jobs",
            "select * from devices where tags.a = 'x'",
            "select * from devices order",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
