//! `modtwinctl methods`: prints the calls of direct methods, or runs a command that answers them.
//!
//! Owns which call is run next: one after the other, in the order they came. Leaves to others the
//! process itself ([`crate::process`]).

use std::collections::VecDeque;
use std::ffi::OsString;
use std::pin::Pin;
use std::time::Duration;

use modtwin_api::limits::MAX_METHOD_BYTES;
use modtwin_api::{Invocation, MethodEvent, MethodResponse};
use modtwin_client::{Client, FollowMethods, Followed};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::cli::Methods;
use crate::failure::{Failure, describe, one_line};
use crate::output::{Output, compact};
use crate::process::{self, Ended, Job};
use crate::watch::{LossTeller, Stop, tell};

/// Answers, or prints, until a signal ends it, the module is removed, or the daemon refuses.
pub(crate) async fn run(client: &Client, args: Methods, output: &Output) -> Result<(), Failure> {
    let mut stop = Stop::new()?;
    let Methods { module, names, exec } = args;
    let follow = client.follow_methods(&module, &names);
    let mut calls = Calls { follow, module, losses: LossTeller::default(), is_begun: false };
    match exec {
        None => print(&mut calls, &mut stop, output).await,
        Some(command) => answer(client, &mut calls, &mut stop, &command).await,
    }
}

/// The calls of the claimed methods.
struct Calls {
    follow: FollowMethods,
    module: String,
    losses: LossTeller,
    is_begun: bool,
}

impl Calls {
    /// Waits for the next call; none once the module was removed. Cancel-safe.
    async fn next(&mut self) -> Result<Option<Invocation>, Failure> {
        while let Some(followed) = self.follow.next().await? {
            match followed {
                // Who types this wants to know at once that nobody is there.
                Followed::Lost { error, .. } if !self.is_begun => return Err(error.into()),
                Followed::Event(_) => self.is_begun = true,
                Followed::Lost { .. } => {}
            }
            self.losses.note(&followed);
            if let Followed::Event(MethodEvent::Invoke(call)) = followed {
                return Ok(Some(call));
            }
        }
        Ok(None)
    }
}

async fn print(calls: &mut Calls, stop: &mut Stop, output: &Output) -> Result<(), Failure> {
    loop {
        let call = tokio::select! {
            biased;
            () = stop.requested() => return Ok(()),
            call = calls.next() => call?,
        };
        let Some(call) = call else { return Err(removed(&calls.module)) };
        if output.is_json() {
            output.json(&MethodEvent::Invoke(call))?;
        } else {
            let (id, method) = (one_line(&call.id), one_line(&call.method));
            output.line(format!("{id} {method} {}", compact(&call.payload)?))?;
        }
    }
}

fn removed(module: &str) -> Failure {
    Failure::failed(format!("module `{module}` was removed from the daemon's config"))
}

/// A call that waits for its turn, and the end of its time.
struct Waiting {
    call: Invocation,
    due: Instant,
}

/// A call that is being answered.
struct Running<'a> {
    id: String,
    end: Pin<Box<dyn Future<Output = Ended> + 'a>>,
    cancel: oneshot::Sender<()>,
}

/// What happens next.
enum Turn {
    Stop,
    Ended(String, Ended),
    Called(Option<Invocation>),
}

async fn answer(
    client: &Client,
    calls: &mut Calls,
    stop: &mut Stop,
    command: &[OsString],
) -> Result<(), Failure> {
    let module = calls.module.clone();
    let mut waiting: VecDeque<Waiting> = VecDeque::new();
    let mut running: Option<Running<'_>> = None;
    loop {
        if running.is_none() {
            let now = Instant::now();
            waiting.retain(|waiting| waiting.due > now);
            running = waiting.pop_front().map(|waiting| start(&module, command, waiting));
        }
        match turn(&mut running, calls, stop).await? {
            Turn::Stop => {
                if let Some(running) = running {
                    drop(running.cancel);
                    // The daemon answers for whoever has gone.
                    let _interrupted = running.end.await;
                }
                return Ok(());
            }
            Turn::Ended(id, ended) => {
                running = None;
                if let Err(error) = client.answer_method(&module, &id, &response(ended)).await {
                    tell(&format!("cannot answer a call: {}", describe(&error)));
                }
            }
            Turn::Called(None) => return Err(removed(&module)),
            Turn::Called(Some(call)) => {
                let due = Instant::now() + Duration::from_millis(call.timeout_ms);
                waiting.push_back(Waiting { call, due });
            }
        }
    }
}

/// Waits for whatever comes first.
async fn turn(
    running: &mut Option<Running<'_>>,
    calls: &mut Calls,
    stop: &mut Stop,
) -> Result<Turn, Failure> {
    let ended = async {
        match running {
            Some(running) => (running.id.clone(), running.end.as_mut().await),
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        () = stop.requested() => Ok(Turn::Stop),
        (id, ended) = ended => Ok(Turn::Ended(id, ended)),
        call = calls.next() => Ok(Turn::Called(call?)),
    }
}

fn start<'a>(module: &str, command: &'a [OsString], waiting: Waiting) -> Running<'a> {
    let Waiting { call, due } = waiting;
    let (cancel, cancelled) = oneshot::channel();
    let job = Job {
        command,
        input: format!("{}\n", call.payload),
        environment: vec![("MODTWIN_MODULE", module.to_owned()), ("MODTWIN_METHOD", call.method)],
        timeout: due.saturating_duration_since(Instant::now()),
        keep: Some(MAX_METHOD_BYTES),
        cancel: cancelled,
    };
    Running { id: call.id, end: Box::pin(process::run(job)), cancel }
}

/// What a run says to whoever called.
fn response(ended: Ended) -> MethodResponse {
    let Ended { status, description, stdout } = ended;
    let payload = match description {
        Some(why) => json!({ "message": why }),
        None => {
            let text = String::from_utf8_lossy(&stdout);
            let text = text.trim();
            match text {
                "" => Value::Null,
                text => serde_json::from_str(text).unwrap_or_else(|_text| text.into()),
            }
        }
    };
    MethodResponse { status, payload }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_command_prints_is_json_where_it_reads_as_such() {
        let check = |stdout: &str, expected: Value| {
            let ended = Ended { status: 200, description: None, stdout: stdout.into() };
            assert_eq!(response(ended), MethodResponse { status: 200, payload: expected });
        };
        check("", Value::Null);
        check(" \n", Value::Null);
        check("{\"ok\":true}\n", json!({"ok": true}));
        check("up 3 days\n", json!("up 3 days"));
        check("12", json!(12));
    }

    #[test]
    fn a_command_that_fails_says_why() {
        let ended =
            Ended { status: 500, description: Some("no fan".to_owned()), stdout: Vec::new() };
        let expected = MethodResponse { status: 500, payload: json!({"message": "no fan"}) };
        assert_eq!(response(ended), expected);
    }
}
