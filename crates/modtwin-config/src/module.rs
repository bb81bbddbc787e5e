//! The `[[module]]` tables and their handlers.
//!
//! Leaves comparing modules with each other to `check`.

use std::path::Path;

use modtwin_core::document::Pointer;
use modtwin_core::ids::ModuleId;

use crate::field::Field;
use crate::model::{Credential, FileRef, Handler, Module, Principal};
use crate::place::Place;
use crate::problem::{Problem, ProblemKind};
use crate::read::Table;
use crate::values;

/// One `[[module]]` table.
#[derive(Debug)]
pub(crate) struct ReadModule<'a> {
    /// Where its id is written.
    pub(crate) place: Place<'a>,
    /// The id, even where the rest is not taken; none where a problem was noted.
    pub(crate) id: Option<ModuleId>,
    /// The module; none where a problem was noted.
    pub(crate) module: Option<Module>,
}

/// Reads a `[[module]]` table.
pub(crate) fn read<'a>(
    table: &Table<'a>,
    folder: &Path,
    problems: &mut Vec<Problem>,
) -> ReadModule<'a> {
    table.refuse_unknown(problems);
    let id = required(table, "id", problems, values::module_id);
    let credential = credential(table, folder, problems);
    let acknowledge = table
        .text("acknowledge", problems, values::acknowledge)
        .or_default("module[].acknowledge", values::acknowledge);
    let model_id = table.text("model-id", problems, values::model_id).optional();
    let method_timeout = table
        .duration("method-timeout", problems)
        .or_default(METHOD_TIMEOUT, |text| values::duration(METHOD_TIMEOUT, text));
    let handlers = handlers(table, problems);
    let finish = || {
        Some(Module {
            id: id.clone()?,
            credential: credential?,
            acknowledge: acknowledge?,
            model_id: model_id?,
            method_timeout: method_timeout?,
            handlers: handlers?,
        })
    };
    ReadModule { place: table.place_of("id"), module: finish(), id }
}

const METHOD_TIMEOUT: &str = "module[].method-timeout";
const CERTIFICATE: &str = "certificate";
const PRIVATE_KEY: &str = "private-key";
const PASSWORD_FILE: &str = "private-key-password-file";
const CONNECTION_STRING_FILE: &str = "connection-string-file";
const SHARED_ACCESS_KEY_FILE: &str = "shared-access-key-file";

/// Reads the keys of the three kinds of credential, of which there must be exactly one.
fn credential(table: &Table<'_>, folder: &Path, problems: &mut Vec<Problem>) -> Option<Credential> {
    let mut file = |name| table.text(name, problems, |text| values::file(folder, text));
    let [certificate, private_key, password_file, connection_string, key] =
        [CERTIFICATE, PRIVATE_KEY, PASSWORD_FILE, CONNECTION_STRING_FILE, SHARED_ACCESS_KEY_FILE]
            .map(&mut file);
    let x509 = X509 { certificate, private_key, password_file };
    let kinds = [
        x509.first_key(),
        written(&connection_string, CONNECTION_STRING_FILE),
        written(&key, SHARED_ACCESS_KEY_FILE),
    ];
    let mut kinds = kinds.into_iter().flatten();
    match (kinds.next(), kinds.next()) {
        (None, _) => {
            problems.push(table.place().problem(
                ProblemKind::Missing,
                "no credential, expected certificate and private-key, or \
                 connection-string-file, or shared-access-key-file",
            ));
            None
        }
        (Some(first), Some(second)) => {
            problems.push(table.place_of(second).problem(
                ProblemKind::Conflict,
                format!("excludes {first}: a module has one credential"),
            ));
            None
        }
        (Some(CONNECTION_STRING_FILE), None) => {
            connection_string.optional()?.map(Credential::ConnectionStringFile)
        }
        (Some(SHARED_ACCESS_KEY_FILE), None) => {
            key.optional()?.map(Credential::SharedAccessKeyFile)
        }
        (Some(_), None) => x509.finish(table, problems),
    }
}

/// `name`, where the file says something for it.
fn written<T>(field: &Field<T>, name: &'static str) -> Option<&'static str> {
    (!field.is_absent()).then_some(name)
}

struct X509 {
    certificate: Field<FileRef>,
    private_key: Field<FileRef>,
    password_file: Field<FileRef>,
}

impl X509 {
    /// The first of the keys that is there.
    fn first_key(&self) -> Option<&'static str> {
        written(&self.certificate, CERTIFICATE)
            .or(written(&self.private_key, PRIVATE_KEY))
            .or(written(&self.password_file, PASSWORD_FILE))
    }

    fn finish(self, table: &Table<'_>, problems: &mut Vec<Problem>) -> Option<Credential> {
        let here = self.first_key().unwrap_or_default();
        for (name, absent) in [
            (CERTIFICATE, self.certificate.is_absent()),
            (PRIVATE_KEY, self.private_key.is_absent()),
        ] {
            if absent {
                let place = table.place_of(name);
                problems.push(place.problem(
                    ProblemKind::Missing,
                    format!("missing, and {here} is of no use without it"),
                ));
            }
        }
        Some(Credential::X509 {
            certificate: self.certificate.optional()??,
            private_key: self.private_key.optional()??,
            private_key_password_file: self.password_file.optional()?,
        })
    }
}

/// Reads the handlers of a module; none where a problem was noted.
fn handlers(table: &Table<'_>, problems: &mut Vec<Problem>) -> Option<Vec<Handler>> {
    let tables = table.tables("handler", "module[].handler[]", problems).or_else(Vec::new)?;
    let mut names: Vec<(String, Place<'_>)> = Vec::new();
    let mut handlers = Vec::new();
    let known = problems.len();
    for table in &tables {
        let handler = handler(table, problems);
        if let Some((name, _)) = &handler {
            let place = table.place_of("name");
            match names.iter().find(|(taken, _)| taken == name) {
                Some((_, first)) => problems.push(place.problem(
                    ProblemKind::Conflict,
                    format!("{name:?} is taken by the handler on line {}", first.line.unwrap_or(0)),
                )),
                None => names.push((name.clone(), place)),
            }
        }
        handlers.extend(handler.and_then(|(_, handler)| handler));
    }
    (problems.len() == known).then_some(handlers)
}

/// Reads one `[[module.handler]]`: its name, and the handler where all of it is sound.
fn handler(table: &Table<'_>, problems: &mut Vec<Problem>) -> Option<(String, Option<Handler>)> {
    table.refuse_unknown(problems);
    let name = required(table, "name", problems, values::handler_name);
    let principal = principal(table, problems);
    let everything = || Pointer::parse("").map(|all| vec![all]).unwrap_or_default();
    let watch = table.texts("watch", problems, values::pointer).or_else(everything);
    let report = table.texts("report", problems, values::pointer).or_else(everything);
    let methods = table.texts("methods", problems, values::method).or_else(Vec::new);
    let ack_timeout = table.duration("ack-timeout", problems).optional();
    let name = name?;
    let finish = || {
        Some(Handler {
            name: name.clone(),
            principal: principal?,
            watch: watch?,
            report: report?,
            methods: methods?,
            ack_timeout: ack_timeout?,
        })
    };
    let handler = finish();
    Some((name, handler))
}

/// Reads who the handler is: exactly one of user, group and unit.
fn principal(table: &Table<'_>, problems: &mut Vec<Problem>) -> Option<Principal> {
    let user = table.text("user", problems, values::account);
    let group = table.text("group", problems, values::account);
    let unit = table.text("unit", problems, values::unit);
    let kinds = [written(&user, "user"), written(&group, "group"), written(&unit, "unit")];
    let mut kinds = kinds.into_iter().flatten();
    match (kinds.next(), kinds.next()) {
        (None, _) => {
            let message = "expected one of user, group and unit, found none";
            problems.push(table.place().problem(ProblemKind::Missing, message));
            None
        }
        (Some(first), Some(second)) => {
            let message = format!("excludes {first}: expected one of user, group and unit");
            problems.push(table.place_of(second).problem(ProblemKind::Conflict, message));
            None
        }
        (Some("user"), None) => user.optional()?.map(Principal::User),
        (Some("group"), None) => group.optional()?.map(Principal::Group),
        (Some(_), None) => unit.optional()?.map(Principal::Unit),
    }
}

/// The string at `name`, which must be there; none where a problem was noted.
fn required<T>(
    table: &Table<'_>,
    name: &str,
    problems: &mut Vec<Problem>,
    parse: impl FnOnce(&str) -> Result<T, values::Fault>,
) -> Option<T> {
    let value = table.text(name, problems, parse).optional()?;
    if value.is_none() {
        let place = table.place_of(name);
        problems.push(place.problem(ProblemKind::Missing, "missing, and has no default"));
    }
    value
}
