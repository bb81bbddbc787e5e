//! Which request is which: the path, then the method, then who may.

use std::sync::Arc;

use hyper::body::Incoming;
use hyper::{Method, Request, StatusCode};
use modtwin_api::{ProblemKind, ReconnectAccepted};
use percent_encoding::percent_decode_str;

use super::answer::{Outcome, Refusal, json};
use super::connection::Caller;
use super::query::Query;
use super::{
    acks, listing, log_level, messages, methods, metrics, openapi, operations, reload, reported,
    snapshot, status, watch,
};

/// A resource of the contract.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Resource {
    Modules,
    Module(String),
    Watch(String),
    Reported(String),
    Acks(String),
    Messages(String),
    Methods(String),
    /// A call of a method, by its id.
    Method(String, String),
    Reconnect(String),
    Status,
    Reload,
    LogLevel,
    Health,
    OpenApi,
    Metrics,
}

impl Resource {
    /// Reads a URL's path; a segment is percent-decoded after the path is split.
    pub(super) fn parse(path: &str) -> Option<Self> {
        if path == "/metrics" {
            return Some(Self::Metrics);
        }
        let mut segments = path.strip_prefix("/v1/")?.split('/');
        let first = segments.next()?;
        let module = segments.next();
        let rest = segments.next();
        let call = segments.next();
        if segments.next().is_some() {
            return None;
        }
        let Some(module) = module else {
            return match first {
                "modules" => Some(Self::Modules),
                "status" => Some(Self::Status),
                "reload" => Some(Self::Reload),
                "log-level" => Some(Self::LogLevel),
                "health" => Some(Self::Health),
                "openapi.json" => Some(Self::OpenApi),
                _ => None,
            };
        };
        if first != "modules" || module.is_empty() {
            return None;
        }
        // What is not UTF-8 names no module; the replacement character stands in no id.
        let decode = |segment| percent_decode_str(segment).decode_utf8_lossy().into_owned();
        let module = decode(module);
        if let Some(call) = call {
            let is_call = rest == Some("methods") && !call.is_empty();
            return is_call.then(|| Self::Method(module, decode(call)));
        }
        match rest {
            None => Some(Self::Module(module)),
            Some("watch") => Some(Self::Watch(module)),
            Some("reported") => Some(Self::Reported(module)),
            Some("acks") => Some(Self::Acks(module)),
            Some("messages") => Some(Self::Messages(module)),
            Some("methods") => Some(Self::Methods(module)),
            Some("reconnect") => Some(Self::Reconnect(module)),
            Some(_) => None,
        }
    }

    /// Its path as [`operations`] has it.
    fn path(&self) -> &'static str {
        match self {
            Self::Modules => "/v1/modules",
            Self::Module(_) => "/v1/modules/{module}",
            Self::Watch(_) => "/v1/modules/{module}/watch",
            Self::Reported(_) => "/v1/modules/{module}/reported",
            Self::Acks(_) => "/v1/modules/{module}/acks",
            Self::Messages(_) => "/v1/modules/{module}/messages",
            Self::Methods(_) => "/v1/modules/{module}/methods",
            Self::Method(..) => "/v1/modules/{module}/methods/{call}",
            Self::Reconnect(_) => "/v1/modules/{module}/reconnect",
            Self::Status => "/v1/status",
            Self::Reload => "/v1/reload",
            Self::LogLevel => "/v1/log-level",
            Self::Health => "/v1/health",
            Self::OpenApi => "/v1/openapi.json",
            Self::Metrics => "/metrics",
        }
    }

    fn takes(&self, method: &Method) -> bool {
        operations::allowed(self.path()).contains(&method.as_str())
    }
}

/// Answers one request.
pub(crate) async fn answer(caller: Arc<Caller>, request: Request<Incoming>) -> Outcome {
    let path = request.uri().path();
    let resource = Resource::parse(path).ok_or_else(|| {
        Refusal::new(
            ProblemKind::NotFound,
            format!("there is no `{path}`; the resources begin with /v1/modules and /v1/health"),
        )
    })?;
    if !resource.takes(request.method()) {
        return Err(Refusal::method_not_allowed(&operations::allowed(resource.path()).join(", ")));
    }
    let query = Query::parse(request.uri().query())?;
    match resource {
        Resource::Health => Ok(status::health(&caller)),
        Resource::OpenApi => Ok(openapi::answer()),
        Resource::Modules => listing::answer(&caller).await,
        Resource::Status => status::answer(&caller).await,
        Resource::Metrics => metrics::answer(&caller).await,
        Resource::Module(module) => snapshot::answer(&caller, &module, request.headers()).await,
        Resource::Watch(module) => watch::answer(&caller, &module, &query).await,
        Resource::Reported(module) => reported::answer(&caller, &module, &query, request).await,
        Resource::Acks(module) => acks::answer(&caller, &module, request).await,
        Resource::Messages(module) => messages::answer(&caller, &module, &query, request).await,
        Resource::Methods(module) => methods::calls(&caller, &module, &query).await,
        Resource::Method(module, id) => methods::answer(&caller, (&module, &id), request).await,
        Resource::Reconnect(module) => reconnect(&caller, &module).await,
        Resource::Reload => reload::answer(&caller, request).await,
        Resource::LogLevel => log_level::answer(&caller, request).await,
    }
}

async fn reconnect(caller: &Caller, module: &str) -> Outcome {
    let (registry, grants) = caller.grants().await?;
    grants.require_administrator()?;
    let (entry, _access) = grants.module(&registry, module)?;
    entry.handle.reconnect().await;
    Ok(json(StatusCode::ACCEPTED, &ReconnectAccepted { reconnecting: true }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_resources_and_modules_are_percent_decoded() {
        let module = || "a:b".to_owned();
        let check = |path: &str, expected: Option<Resource>| {
            assert_eq!(Resource::parse(path), expected, "{path}");
        };
        check("/v1/modules", Some(Resource::Modules));
        check("/v1/modules/a%3Ab", Some(Resource::Module(module())));
        check("/v1/modules/a:b/watch", Some(Resource::Watch(module())));
        check("/v1/modules/a:b/reported", Some(Resource::Reported(module())));
        check("/v1/modules/a:b/acks", Some(Resource::Acks(module())));
        check("/v1/modules/a:b/messages", Some(Resource::Messages(module())));
        check("/v1/modules/a:b/methods", Some(Resource::Methods(module())));
        let call = || Some(Resource::Method(module(), "f-1/".to_owned()));
        check("/v1/modules/a:b/methods/f-1%2F", call());
        check("/v1/modules/a:b/reconnect", Some(Resource::Reconnect(module())));
        check("/v1/modules/a%2Fwatch", Some(Resource::Module("a/watch".to_owned())));
        check("/v1/modules/%ff", Some(Resource::Module("\u{fffd}".to_owned())));
        check("/v1/status", Some(Resource::Status));
        check("/v1/reload", Some(Resource::Reload));
        check("/v1/log-level", Some(Resource::LogLevel));
        check("/v1/health", Some(Resource::Health));
        check("/v1/openapi.json", Some(Resource::OpenApi));
        check("/metrics", Some(Resource::Metrics));
        for unknown in [
            "",
            "*",
            "/",
            "/v1",
            "/v1/",
            "/v2/modules",
            "/v1/modules/",
            "/v1/modules//watch",
            "/v1/modules/a/",
            "/v1/modules/a/watch/",
            "/v1/modules/a/other",
            "/v1/modules/a/methods/",
            "/v1/modules/a/methods/1/2",
            "/v1/modules/a/acks/1",
            "/v1/status/a",
            "/V1/modules",
            "v1/modules",
        ] {
            check(unknown, None);
        }
    }

    #[test]
    fn every_operation_is_of_the_resource_that_its_path_names() {
        let mut ids = Vec::new();
        for operation in operations::OPERATIONS {
            let path = operation.path.replace("{module}", "m");
            let resource = Resource::parse(&path).unwrap_or_else(|| panic!("{path} is nothing"));
            assert_eq!(resource.path(), operation.path);
            assert!(resource.takes(&Method::from_bytes(operation.method.as_bytes()).unwrap()));
            assert!(!operation.about.is_empty() && !operation.answers.is_empty(), "{path}");
            assert!(!ids.contains(&operation.id), "{} stands twice", operation.id);
            ids.push(operation.id);
        }
    }

    #[test]
    fn each_resource_takes_its_own_methods() {
        let takes = |path: &str, method: Method| Resource::parse(path).unwrap().takes(&method);
        assert!(takes("/v1/modules", Method::GET));
        assert!(takes("/v1/modules/a", Method::HEAD));
        assert!(!takes("/v1/modules/a/watch", Method::HEAD));
        assert!(takes("/v1/modules/a/reported", Method::PATCH));
        assert!(!takes("/v1/modules/a/reported", Method::POST));
        assert!(!takes("/v1/reload", Method::GET));
        assert!(!takes("/v1/modules", Method::from_bytes(b"get").unwrap()));
    }
}
