//! `GET /v1/openapi.json`: what [`super::operations`] says, as an OpenAPI 3.1 document.
//!
//! Its schemas are those of the types in `modtwin-api`, derived from the code. It is made when
//! somebody asks for it first and kept from then on.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::LazyLock;

use bytes::Bytes;
use hyper::{Response, StatusCode};
use modtwin_api::{MEDIA_TYPE_PROBLEM, Problem, TrialRequest};
use modtwin_core::limits::{MAX_INTEGER, MAX_KEY_BYTES, MAX_STRING_BYTES};
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};

use super::answer::{Body, encode, json_of};
use super::operations::{ALWAYS, Answer, Content, OPERATIONS, Operation, Parameter};

/// Answers the document.
pub(super) fn answer() -> Response<Body> {
    json_of(StatusCode::OK, DOCUMENT.clone())
}

static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| Bytes::from(encode(&document())));

/// The document.
pub(super) fn document() -> Value {
    // What a client sends and what it is told differ: a member that may be left out of a request
    // may still be in every answer.
    let mut said = settings(SchemaSettings::for_serialize);
    let mut heard = settings(SchemaSettings::for_deserialize);
    let mut paths = Map::new();
    for operation in OPERATIONS {
        let described = described(operation, &mut said, &mut heard);
        let methods = paths.entry(operation.path).or_insert_with(|| json!({}));
        if let Value::Object(methods) = methods {
            methods.insert(operation.method.to_lowercase(), described);
        }
    }
    let mut schemas = heard.take_definitions(true);
    schemas.extend(said.take_definitions(true));
    schemas.values_mut().for_each(bound_integers);
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "modtwin, local API",
            "version": "1",
            "summary": "Module twins of Azure IoT Hub for local processes",
            "description": "Spoken over a Unix socket; the host in the URL is ignored. Members \
                            that one side does not know are ignored. See modtwin-local-api(7).",
            "license": { "name": "Apache-2.0 OR MIT", "identifier": "Apache-2.0 OR MIT" },
        },
        "servers": [{ "url": "http://localhost" }],
        "paths": paths,
        "components": { "schemas": schemas },
    })
}

fn settings(contract: fn(SchemaSettings) -> SchemaSettings) -> SchemaGenerator {
    let settings = contract(SchemaSettings::draft2020_12()).with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    settings.into_generator()
}

fn described(
    operation: &Operation,
    said: &mut SchemaGenerator,
    heard: &mut SchemaGenerator,
) -> Value {
    let mut parameters: Vec<Value> = operation.parameters.iter().map(described_parameter).collect();
    if operation.path.contains("{module}") {
        let module = "The module's id, as the config has it.";
        let schema = parameter::module();
        parameters.insert(0, of_path("module", module, &schema));
    }
    if operation.path.contains("{call}") {
        parameters.insert(1, of_path("call", "The call's `id`.", &parameter::text()));
    }
    let mut answers = Map::new();
    for answer in operation.answers {
        answers.insert(answer.status.to_string(), described_answer(answer, said));
    }
    describe_problems(operation, said, &mut answers);
    let about = if operation.for_administrators {
        format!("{} For administrators.", operation.about)
    } else {
        operation.about.to_owned()
    };
    let mut described = json!({
        "operationId": operation.id,
        "summary": about,
        "parameters": parameters,
        "responses": answers,
    });
    if let (Some(body), Value::Object(described)) = (&operation.body, &mut described) {
        let body = json!({
            "required": !operation.may_lack_body,
            "content": described_content(body, heard),
        });
        described.insert("requestBody".to_owned(), body);
    }
    described
}

fn of_path(name: &str, about: &str, schema: &Schema) -> Value {
    json!({ "name": name, "in": "path", "required": true, "description": about, "schema": schema })
}

fn described_parameter(parameter: &Parameter) -> Value {
    json!({
        "name": parameter.name,
        "in": parameter.place,
        "description": parameter.about,
        "schema": (parameter.schema)(),
    })
}

fn described_answer(answer: &Answer, said: &mut SchemaGenerator) -> Value {
    let mut described = json!({ "description": answer.about });
    if let (Some(content), Value::Object(described)) = (&answer.content, &mut described) {
        described.insert("content".to_owned(), described_content(content, said));
    }
    if answer.is_tagged {
        let tag = json!({
            "ETag": {
                "description": "The GENERATION.VERSION of desired, in quotes, where one is known.",
                "schema": { "type": "string" },
            }
        });
        described.as_object_mut().map(|it| it.insert("headers".to_owned(), tag));
    }
    described
}

fn described_content(content: &Content, generator: &mut SchemaGenerator) -> Value {
    let schema = (content.schema)(generator);
    let types = content.media_types.iter();
    types.map(|one| ((*one).to_owned(), json!({ "schema": schema }))).collect::<Map<_, _>>().into()
}

/// Adds an answer for each status that a problem may have, beside what is there already.
fn describe_problems(
    operation: &Operation,
    said: &mut SchemaGenerator,
    answers: &mut Map<String, Value>,
) {
    let problem = json!({ "schema": said.subschema_for::<Problem>() });
    let mut about: BTreeMap<u16, Vec<String>> = BTreeMap::new();
    for (status, kind) in ALWAYS.iter().chain(operation.problems) {
        about.entry(*status).or_default().push(format!("`{kind}`: {}.", kind.title()));
    }
    for (status, mut words) in about {
        let before = answers.remove(&status.to_string()).unwrap_or_default();
        let said_before = before.get("description").and_then(Value::as_str);
        words.splice(0..0, said_before.map(str::to_owned));
        let mut content = before.get("content").and_then(Value::as_object).cloned();
        content.get_or_insert_default().insert(MEDIA_TYPE_PROBLEM.to_owned(), problem.clone());
        let mut answer = json!({ "description": words.join(" "), "content": content });
        if status == StatusCode::TOO_MANY_REQUESTS {
            let seconds = "How many seconds to stay away.";
            let header = json!({ "description": seconds, "schema": { "type": "integer" } });
            let headers = json!({ "Retry-After": header });
            answer.as_object_mut().map(|it| it.insert("headers".to_owned(), headers));
        }
        answers.insert(status.to_string(), answer);
    }
}

/// Says of every integer how large it may be, which JSON Schema has no format for.
fn bound_integers(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            let largest = match members.get("format").and_then(Value::as_str) {
                Some("uint16") => Some(u64::from(u16::MAX)),
                Some("uint32") => Some(u64::from(u32::MAX)),
                Some("uint64") => Some(u64::MAX),
                _ => None,
            };
            if let Some(largest) = largest {
                members.remove("format");
                members.entry("maximum").or_insert_with(|| largest.into());
            }
            members.values_mut().for_each(bound_integers);
        }
        Value::Array(items) => items.iter_mut().for_each(bound_integers),
        _ => {}
    }
}

/// The schemas of parameters.
pub(super) mod parameter {
    use modtwin_api::limits::{MAX_PATHS, MAX_TIMEOUT, POINTER_PATTERN};
    use modtwin_core::ids::MAX_ID_LENGTH;
    use schemars::{Schema, json_schema};

    pub(in super::super) fn module() -> Schema {
        json_schema!({ "type": "string", "minLength": 1, "maxLength": MAX_ID_LENGTH })
    }

    pub(in super::super) fn text() -> Schema {
        json_schema!({ "type": "string" })
    }

    pub(in super::super) fn pointers() -> Schema {
        let pointer = json_schema!({ "type": "string", "pattern": POINTER_PATTERN });
        json_schema!({ "type": "array", "items": pointer, "maxItems": MAX_PATHS })
    }

    pub(in super::super) fn revision() -> Schema {
        json_schema!({ "type": "string", "pattern": "^[0-9]{1,19}\\.[0-9]{1,19}$", "examples": ["1.7"] })
    }

    pub(in super::super) fn wait() -> Schema {
        json_schema!({ "type": "string", "enum": ["stored", "hub"], "default": "stored" })
    }

    pub(in super::super) fn wait_for_hub() -> Schema {
        json_schema!({ "type": "string", "enum": ["hub", "stored"], "default": "hub" })
    }

    pub(in super::super) fn property() -> Schema {
        json_schema!({ "type": "string", "pattern": "^[^=]+=", "examples": ["unit=celsius"] })
    }

    pub(in super::super) fn names() -> Schema {
        json_schema!({ "type": "array", "items": { "type": "string", "minLength": 1 } })
    }

    pub(in super::super) fn timeout() -> Schema {
        json_schema!({
            "type": "number", "minimum": 0.001, "maximum": MAX_TIMEOUT.as_secs(), "default": 30,
        })
    }
}

/// Any JSON object.
#[derive(Debug)]
pub(super) struct Anything;

impl JsonSchema for Anything {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Anything".into()
    }

    fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "object" })
    }
}

/// The payload of a message: bytes of whatever kind.
#[derive(Debug)]
pub(super) struct Payload;

impl JsonSchema for Payload {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Payload".into()
    }

    fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "description": "At most 256 KiB, with the properties." })
    }
}

/// The body of a reload: a config to try, or nothing of the kind.
#[derive(Debug)]
pub(super) struct Reload;

impl JsonSchema for Reload {
    fn schema_name() -> Cow<'static, str> {
        "Reload".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let (trial, none) = (generator.subschema_for::<TrialRequest>(), json!({ "type": "null" }));
        let plain = json!({ "type": "object", "properties": { "candidate": none, "confirm_seconds": none } });
        json_schema!({ "anyOf": [trial, plain] })
    }
}

/// A merge patch as the rules of twins have it.
#[derive(Debug)]
pub(super) struct MergePatch;

impl JsonSchema for MergePatch {
    fn schema_name() -> Cow<'static, str> {
        "MergePatch".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let value = generator.subschema_for::<PatchValue>();
        json_schema!({
            "description": "A merge patch (RFC 7396): null takes a key away. Objects and arrays \
                            nest at most 10 deep; keys have at most 1024 bytes and strings 4096.",
            "type": "object",
            "propertyNames": key(),
            "additionalProperties": value,
        })
    }
}

/// A value in a merge patch.
struct PatchValue;

impl JsonSchema for PatchValue {
    fn schema_name() -> Cow<'static, str> {
        "PatchValue".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let (patch, item) =
            (generator.subschema_for::<MergePatch>(), generator.subschema_for::<ArrayItem>());
        let mut values = scalars();
        values.extend([json!({ "type": "null" }), json!(patch)]);
        values.push(json!({ "type": "array", "items": item }));
        json_schema!({ "anyOf": values })
    }
}

/// A value in an array, or in an object in one: null has no meaning there.
struct ArrayItem;

impl JsonSchema for ArrayItem {
    fn schema_name() -> Cow<'static, str> {
        "ArrayItem".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let item = generator.subschema_for::<Self>();
        let mut values = scalars();
        values.push(json!({ "type": "array", "items": item }));
        values.push(
            json!({ "type": "object", "propertyNames": key(), "additionalProperties": item }),
        );
        json_schema!({ "anyOf": values })
    }
}

fn scalars() -> Vec<Value> {
    vec![
        json!({ "type": "boolean" }),
        json!({ "type": "string", "maxLength": MAX_STRING_BYTES }),
        json!({
            "description": format!(
                "Written without fraction and exponent it lies between {} and {MAX_INTEGER}.",
                -MAX_INTEGER - 1,
            ),
            "type": "number",
        }),
    ]
}

fn key() -> Value {
    json!({ "pattern": KEY_PATTERN, "maxLength": MAX_KEY_BYTES })
}

/// A key without `.`, `$`, `#`, white space and control characters.
const KEY_PATTERN: &str = "^[^.$#\\u0000-\\u0020\\u007f-\\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\
                           \\u202f\\u205f\\u3000]*$";

#[cfg(test)]
mod tests {
    use super::*;

    fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        match value {
            Value::Object(members) => {
                found.extend(members.get("$ref").and_then(Value::as_str));
                members.values().for_each(|member| references(member, found));
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            _ => {}
        }
    }

    #[test]
    fn every_reference_leads_to_a_schema_and_every_schema_is_used() {
        let document = document();
        let mut found = Vec::new();
        references(&document, &mut found);
        for reference in &found {
            let place = document.pointer(reference.trim_start_matches('#'));
            assert!(place.is_some(), "{reference} leads nowhere");
        }
        for name in document["components"]["schemas"].as_object().unwrap().keys() {
            let reference = format!("#/components/schemas/{name}");
            assert!(found.contains(&reference.as_str()), "nobody uses {name}");
        }
    }

    #[test]
    fn every_refusal_is_a_problem_and_says_which() {
        let document = document();
        for operation in OPERATIONS {
            let method = operation.method.to_lowercase();
            let answers = &document["paths"][operation.path][&method]["responses"];
            for (status, kind) in ALWAYS.iter().chain(operation.problems) {
                let answer = &answers[status.to_string()];
                assert!(answer["content"][MEDIA_TYPE_PROBLEM].is_object(), "{answer}");
                let words = answer["description"].as_str().unwrap();
                assert!(words.contains(&format!("`{kind}`")), "{}: {words}", operation.id);
            }
        }
    }

    #[test]
    fn answers_require_what_is_always_said_and_requests_only_what_is_needed() {
        let document = document();
        let required = |name: &str| document["components"]["schemas"][name]["required"].clone();
        assert_eq!(required("AckRequest"), json!(["version", "status"]));
        let snapshot = required("Snapshot");
        assert!(snapshot.as_array().unwrap().contains(&json!("pending")), "{snapshot}");
        assert!(!snapshot.as_array().unwrap().contains(&json!("quarantined")), "{snapshot}");
        let event = required("SnapshotEvent");
        assert!(!event.as_array().unwrap().contains(&json!("desired")), "{event}");
    }

    #[test]
    fn the_document_is_small() {
        assert!(DOCUMENT.len() < 64 * 1024, "{} bytes", DOCUMENT.len());
    }
}
