//! Every request of the contract: the table from which requests are told apart and described.
//!
//! A resource takes the methods that stand here and no others, so that nothing can be served that
//! `GET /v1/openapi.json` does not describe. Leaves to others which path is which resource
//! ([`super::router`]) and how the description is written ([`super::openapi`]).

use modtwin_api::ProblemKind::{
    self, Forbidden, InUse, Internal, InvalidConfig, InvalidRequest, InvalidTwin, NotFound,
    NotSynced, Overloaded, RejectedByHub, Storage, Timeout, TooLarge, UnknownVersion,
};
use modtwin_api::message::{HEADER_CORRELATION_ID, HEADER_MESSAGE_ID, HEADER_PROPERTY};
use modtwin_api::{
    AckRequest, AckStored, Event, Health, LogLevelChange, LogLevelStatus, MessageSent,
    MessageStored, MethodEvent, MethodResponse, ModuleList, ReconnectAccepted, ReloadOutcome,
    ReportAccepted, ReportStored, Snapshot, Status,
};
use schemars::{JsonSchema, Schema, SchemaGenerator};

use super::answer::NDJSON;
use super::metrics;
use super::openapi::{Anything, MergePatch, Payload, Reload, parameter};

/// One request: a method on a resource.
#[derive(Debug)]
pub(super) struct Operation {
    pub(super) method: &'static str,
    /// The path, with `{module}` in it where it is of a module.
    pub(super) path: &'static str,
    /// Its name in generated clients; never changes.
    pub(super) id: &'static str,
    pub(super) about: &'static str,
    /// Whether it is for administrators alone.
    pub(super) for_administrators: bool,
    /// Parameters, beside the module of the path.
    pub(super) parameters: &'static [Parameter],
    pub(super) body: Option<Content>,
    /// Whether the body may be left out.
    pub(super) may_lack_body: bool,
    pub(super) answers: &'static [Answer],
    /// What it may be refused with, beside [`ALWAYS`].
    pub(super) problems: &'static [(u16, ProblemKind)],
}

/// A parameter of the query, or a header.
#[derive(Debug)]
pub(super) struct Parameter {
    pub(super) name: &'static str,
    pub(super) place: &'static str,
    pub(super) about: &'static str,
    pub(super) schema: fn() -> Schema,
}

/// A body: its media types and what each of them holds.
#[derive(Debug)]
pub(super) struct Content {
    pub(super) media_types: &'static [&'static str],
    pub(super) schema: fn(&mut SchemaGenerator) -> Schema,
}

/// An answer that is no problem.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) about: &'static str,
    pub(super) content: Option<Content>,
    /// Whether it has an `ETag`.
    pub(super) is_tagged: bool,
}

impl Answer {
    const fn json<T: JsonSchema>(status: u16, about: &'static str) -> Self {
        Self::of(status, about, &["application/json"], of::<T>)
    }

    const fn of(
        status: u16,
        about: &'static str,
        media_types: &'static [&'static str],
        schema: fn(&mut SchemaGenerator) -> Schema,
    ) -> Self {
        Self { status, about, content: Some(Content { media_types, schema }), is_tagged: false }
    }

    const fn tagged(mut self) -> Self {
        self.is_tagged = true;
        self
    }
}

fn of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// The methods of the resource with that path, as `Allow` lists them.
pub(super) fn allowed(path: &str) -> Vec<&'static str> {
    let of_path = OPERATIONS.iter().filter(|operation| operation.path == path);
    of_path.flat_map(Operation::methods).collect()
}

impl Operation {
    /// Its method; with GET goes HEAD, which is the same without the body, but of a stream.
    fn methods(&self) -> impl Iterator<Item = &'static str> {
        let head = (self.method == "GET" && !self.is_stream()).then_some("HEAD");
        std::iter::once(self.method).chain(head)
    }

    pub(super) fn is_stream(&self) -> bool {
        let contents = self.answers.iter().filter_map(|answer| answer.content.as_ref());
        contents.flat_map(|content| content.media_types).any(|found| *found == NDJSON)
    }
}

/// What every request may be refused with.
pub(super) const ALWAYS: &[(u16, ProblemKind)] = &[
    (400, InvalidRequest),
    (429, Overloaded),
    (431, TooLarge),
    (500, Internal),
    (503, Overloaded),
];

/// A request that describes nothing but itself; the others say what they have besides.
const PLAIN: Operation = Operation {
    method: "GET",
    path: "",
    id: "",
    about: "",
    for_administrators: false,
    parameters: &[],
    body: None,
    may_lack_body: false,
    answers: &[],
    problems: &[],
};

const JSON: &[&str] = &["application/json"];
const TIMEOUT: Parameter = Parameter {
    name: "timeout",
    place: "query",
    about: "How long the answer may wait, in seconds.",
    schema: parameter::timeout,
};

/// Every request.
pub(super) const OPERATIONS: &[Operation] = &[
    Operation {
        path: "/v1/modules",
        id: "listModules",
        about: "The modules that the peer may use.",
        answers: &[Answer::json::<ModuleList>(200, "The modules, in the order of the config.")],
        ..PLAIN
    },
    Operation {
        path: "/v1/modules/{module}",
        id: "getModule",
        about: "The twin at one moment, as far as the peer may see it.",
        parameters: &[Parameter {
            name: "If-None-Match",
            place: "header",
            about: "The revision that the client has already.",
            schema: parameter::text,
        }],
        answers: &[
            Answer::json::<Snapshot>(200, "The snapshot.").tagged(),
            Answer {
                status: 304,
                about: "The client has that revision of desired already.",
                content: None,
                is_tagged: true,
            },
        ],
        problems: OF_MODULE,
        ..PLAIN
    },
    Operation {
        path: "/v1/modules/{module}/watch",
        id: "watchModule",
        about: "A stream of events, one JSON object a line, for as long as the connection is \
                open. The first line is a snapshot; another one comes where a reload changes what \
                the peer may see.",
        parameters: &[
            Parameter {
                name: "path",
                place: "query",
                about: "JSON Pointers to the subtrees of desired to watch; all where left out.",
                schema: parameter::pointers,
            },
            Parameter {
                name: "since",
                place: "query",
                about: "The GENERATION.VERSION that the client has already.",
                schema: parameter::revision,
            },
            Parameter {
                name: "handler",
                place: "query",
                about: "The name under which to show in status.",
                schema: parameter::text,
            },
        ],
        answers: &[Answer::of(200, "The stream; each line is an event.", &[NDJSON], of::<Event>)],
        problems: OF_MODULE,
        ..PLAIN
    },
    Operation {
        method: "PATCH",
        path: "/v1/modules/{module}/reported",
        id: "reportProperties",
        about: "A JSON merge patch (RFC 7396) on the reported properties.",
        parameters: &[
            Parameter {
                name: "wait",
                place: "query",
                about: "What the answer waits for: that the report is durable, or that the hub \
                        has accepted it.",
                schema: parameter::wait,
            },
            TIMEOUT,
        ],
        body: Some(Content {
            media_types: &["application/merge-patch+json", "application/json"],
            schema: of::<MergePatch>,
        }),
        answers: &[
            Answer::json::<ReportAccepted>(200, "The hub has accepted it."),
            Answer::json::<ReportStored>(202, "It is durable and will reach the hub."),
        ],
        problems: &[
            (403, Forbidden),
            (404, NotFound),
            (413, TooLarge),
            (422, InvalidTwin),
            (422, RejectedByHub),
            (504, Timeout),
            (507, Storage),
        ],
        ..PLAIN
    },
    Operation {
        method: "POST",
        path: "/v1/modules/{module}/acks",
        id: "acknowledge",
        about: "The peer's handler has applied or refused a version of desired.",
        body: Some(Content { media_types: JSON, schema: of::<AckRequest> }),
        answers: &[Answer::json::<AckStored>(202, "The acknowledgement is durable.")],
        problems: &[
            (403, Forbidden),
            (404, NotFound),
            (409, UnknownVersion),
            (413, TooLarge),
            (503, NotSynced),
            (507, Storage),
        ],
        ..PLAIN
    },
    Operation {
        method: "POST",
        path: "/v1/modules/{module}/messages",
        id: "sendMessage",
        about: "A device-to-cloud message: straight to the hub, or durable on disk until it is \
                there. `Content-Type` and `Content-Encoding` are the message's own.",
        parameters: &[
            Parameter {
                name: "wait",
                place: "query",
                about: "What the answer waits for: that the hub has confirmed the message, or that \
                        it is durable.",
                schema: parameter::wait_for_hub,
            },
            TIMEOUT,
            Parameter {
                name: HEADER_PROPERTY,
                place: "header",
                about: "A property, `name=value` in UTF-8; may be there several times.",
                schema: parameter::property,
            },
            Parameter {
                name: HEADER_MESSAGE_ID,
                place: "header",
                about: "The message's id.",
                schema: parameter::text,
            },
            Parameter {
                name: HEADER_CORRELATION_ID,
                place: "header",
                about: "The id that ties the message to another one.",
                schema: parameter::text,
            },
        ],
        body: Some(Content {
            media_types: &["application/octet-stream", "application/json", "text/plain"],
            schema: of::<Payload>,
        }),
        may_lack_body: true,
        answers: &[
            Answer::json::<MessageSent>(200, "The hub has confirmed it."),
            Answer::json::<MessageStored>(202, "It is durable and will reach the hub."),
        ],
        problems: &[
            (403, Forbidden),
            (404, NotFound),
            (413, TooLarge),
            (504, Timeout),
            (507, Storage),
        ],
        ..PLAIN
    },
    Operation {
        path: "/v1/modules/{module}/methods",
        id: "ownMethods",
        about: "A stream of direct-method calls, one JSON object a line. The methods are the \
                stream's for as long as the connection is open.",
        parameters: &[Parameter {
            name: "name",
            place: "query",
            about: "The methods to own; where left out, all that the peer may and nobody else owns.",
            schema: parameter::names,
        }],
        answers: &[Answer::of(
            200,
            "The stream; each line is an event.",
            &[NDJSON],
            of::<MethodEvent>,
        )],
        problems: &[(403, Forbidden), (404, NotFound), (409, InUse)],
        ..PLAIN
    },
    Operation {
        method: "POST",
        path: "/v1/modules/{module}/methods/{call}",
        id: "answerMethod",
        about: "The answer to a call of a direct method.",
        body: Some(Content { media_types: JSON, schema: of::<MethodResponse> }),
        answers: &[Answer {
            status: 204,
            about: "It is on its way.",
            content: None,
            is_tagged: false,
        }],
        problems: &[(403, Forbidden), (404, NotFound), (413, TooLarge)],
        ..PLAIN
    },
    Operation {
        method: "POST",
        path: "/v1/modules/{module}/reconnect",
        id: "reconnectModule",
        about: "Drops and renews the module's session now.",
        for_administrators: true,
        answers: &[Answer::json::<ReconnectAccepted>(202, "The session begins anew.")],
        problems: OF_MODULE,
        ..PLAIN
    },
    Operation {
        path: "/v1/status",
        id: "getStatus",
        about: "The whole daemon at one moment.",
        for_administrators: true,
        answers: &[Answer::json::<Status>(200, "The status.")],
        problems: FOR_ADMINISTRATORS,
        ..PLAIN
    },
    Operation {
        method: "POST",
        path: "/v1/reload",
        id: "reload",
        about: "Reads the config anew and applies what differs; with a body, puts another one on \
                trial, which root and the daemon's own user alone may.",
        for_administrators: true,
        body: Some(Content { media_types: JSON, schema: of::<Reload> }),
        may_lack_body: true,
        answers: &[Answer::json::<ReloadOutcome>(200, "What changed, module by module.")],
        problems: &[(403, Forbidden), (409, InUse), (413, TooLarge), (422, InvalidConfig)],
        ..PLAIN
    },
    Operation {
        path: "/v1/log-level",
        id: "getLogLevel",
        about: "How much the daemon logs.",
        for_administrators: true,
        answers: &[Answer::json::<LogLevelStatus>(200, "What is in force.")],
        problems: FOR_ADMINISTRATORS,
        ..PLAIN
    },
    Operation {
        method: "PUT",
        path: "/v1/log-level",
        id: "setLogLevel",
        about: "Changes for a while how much the daemon logs.",
        for_administrators: true,
        body: Some(Content { media_types: JSON, schema: of::<LogLevelChange> }),
        answers: &[Answer::json::<LogLevelStatus>(200, "What is in force now.")],
        problems: &[(403, Forbidden), (413, TooLarge)],
        ..PLAIN
    },
    Operation {
        path: "/v1/health",
        id: "getHealth",
        about: "Whether the daemon does its work, whatever the hub does.",
        answers: &[
            Answer::json::<Health>(200, "It does."),
            Answer::json::<Health>(503, "It does not."),
        ],
        ..PLAIN
    },
    Operation {
        path: "/v1/openapi.json",
        id: "getOpenApi",
        about: "This document.",
        answers: &[Answer::json::<Anything>(200, "OpenAPI 3.1.")],
        ..PLAIN
    },
    Operation {
        path: "/metrics",
        id: "getMetrics",
        about: "The whole daemon at one moment, as OpenMetrics text.",
        for_administrators: true,
        answers: &[Answer::of(200, "The metrics.", &[metrics::MEDIA_TYPE], of::<String>)],
        problems: FOR_ADMINISTRATORS,
        ..PLAIN
    },
];

/// What requests of a module may be refused with: a name that the config does not have is 404 to
/// administrators and 403 to all others.
const OF_MODULE: &[(u16, ProblemKind)] = &[(403, Forbidden), (404, NotFound)];
const FOR_ADMINISTRATORS: &[(u16, ProblemKind)] = &[(403, Forbidden)];
