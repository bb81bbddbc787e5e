//! Which request is which: the path, then the method, then who may.

use std::sync::Arc;

use hyper::body::Incoming;
use hyper::{Method, Request, StatusCode};
use modtwin_api::{Problem, ProblemKind};
use percent_encoding::percent_decode_str;
use tokio::sync::oneshot;

use super::answer::{Outcome, Refusal, json};
use super::connection::{Caller, internal};
use super::query::Query;
use super::registry::AdminCommand;
use super::{acks, listing, messages, methods, metrics, reported, snapshot, status, watch};

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
    Health,
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
                "health" => Some(Self::Health),
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

    /// The methods it takes, as `Allow` lists them.
    fn allowed(&self) -> &'static str {
        match self {
            Self::Modules | Self::Module(_) | Self::Status | Self::Health | Self::Metrics => {
                "GET, HEAD"
            }
            Self::Watch(_) | Self::Methods(_) => "GET",
            Self::Reported(_) => "PATCH",
            Self::Acks(_)
            | Self::Messages(_)
            | Self::Method(..)
            | Self::Reconnect(_)
            | Self::Reload => "POST",
        }
    }

    fn takes(&self, method: &Method) -> bool {
        self.allowed().split(", ").any(|allowed| allowed == method.as_str())
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
        return Err(Refusal::method_not_allowed(resource.allowed()));
    }
    let query = Query::parse(request.uri().query())?;
    match resource {
        Resource::Health => Ok(status::health(&caller)),
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
        Resource::Reload => reload(&caller).await,
    }
}

async fn reconnect(caller: &Caller, module: &str) -> Outcome {
    let (registry, grants) = caller.grants().await?;
    grants.require_administrator()?;
    let (entry, _access) = grants.module(&registry, module)?;
    entry.handle.reconnect().await;
    Ok(json(StatusCode::ACCEPTED, &serde_json::json!({ "reconnecting": true })))
}

async fn reload(caller: &Caller) -> Outcome {
    let (_registry, grants) = caller.grants().await?;
    grants.require_administrator()?;
    let stopping = || Refusal::unavailable("the daemon is stopping; try again once it is back");
    let (reply, outcome) = oneshot::channel();
    let command = AdminCommand::Reload { reply };
    caller.shared.admin.send(command).await.map_err(|_closed| stopping())?;
    match outcome.await {
        Ok(Ok(outcome)) => Ok(json(StatusCode::OK, &outcome)),
        Ok(Err(errors)) => {
            let detail = format!(
                "{} in the config files; the old config stays in force: {}",
                if errors.len() == 1 {
                    "an error".to_owned()
                } else {
                    format!("{} errors", errors.len())
                },
                errors.first().map_or("", String::as_str),
            );
            Err(Problem::new(ProblemKind::InvalidConfig, detail).with_errors(errors).into())
        }
        Err(_dropped) if *caller.stopping.borrow() => Err(stopping()),
        Err(dropped) => Err(internal(&dropped)),
    }
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
        check("/v1/health", Some(Resource::Health));
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
