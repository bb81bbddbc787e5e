//! Does what the lines on its input say with the Rust client, and prints what comes of it. The
//! lines and what is printed are described in `../actor.rs`.
#![expect(clippy::print_stdout, reason = "what it prints is what it is for")]

use std::time::Duration;

use anyhow::Context as _;
use modtwin_api::{AckRequest, Event, MethodEvent, MethodResponse, Revision};
use modtwin_client::{Client, ClientError, Followed, Message, Reported, Sent, Wait, WatchOptions};
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};

fn tell(members: &Value) {
    println!("{members}");
}

fn failure(error: &ClientError) -> Value {
    match error {
        ClientError::Unreachable { .. } => json!({"error": "unreachable"}),
        ClientError::Problem(problem) => json!({
            "error": "problem", "kind": problem.kind, "status": problem.status,
            "retry_after": problem.retry_after,
        }),
        _ => json!({"error": "protocol"}),
    }
}

fn merged(mut members: Value, more: Value) -> Value {
    if let (Some(members), Value::Object(more)) = (members.as_object_mut(), more) {
        members.extend(more);
    }
    members
}

fn told(followed: &Followed) -> Option<Value> {
    let event = match followed {
        Followed::Event(event) => event,
        Followed::Lost { error, retry_in } => {
            let lost = json!({"event": "lost", "retry_in": retry_in.as_secs_f64()});
            return Some(merged(lost, failure(error)));
        }
    };
    let members = match event {
        Event::Snapshot(event) => json!({
            "event": "snapshot", "generation": event.generation, "version": event.version,
            "desired": event.desired, "unchanged": event.unchanged, "stale": event.stale,
            "reset": false,
        }),
        Event::Desired(event) => json!({
            "event": "desired", "generation": event.generation, "version": event.version,
            "desired": event.desired, "unchanged": false, "stale": false, "reset": event.reset,
        }),
        Event::Hub(_) => json!({"event": "hub"}),
        Event::Removed { .. } => json!({"event": "removed"}),
        Event::Heartbeat => return None,
    };
    let hub = event.hub().map(|hub| json!({"state": hub.state, "reason": hub.reason}));
    Some(merged(members, hub.unwrap_or_default()))
}

fn watch_options(words: &[&str]) -> anyhow::Result<WatchOptions> {
    let mut options = WatchOptions::default();
    for word in words {
        match word.split_once('=') {
            Some(("path", path)) => options.paths.push(path.to_owned()),
            Some(("handler", name)) => options.handler = Some(name.to_owned()),
            Some(("since", revision)) => options.since = Some(revision.parse()?),
            _ => anyhow::bail!("expected path, handler or since, found {word}"),
        }
    }
    Ok(options)
}

async fn watch(
    client: Client,
    module: String,
    options: WatchOptions,
    mut awake: watch::Receiver<bool>,
) {
    let mut follow = client.follow(&module, options);
    loop {
        let followed = follow.next().await;
        // The other end lives as long as the program.
        let _open = awake.wait_for(|awake| *awake).await;
        match followed {
            Ok(Some(followed)) => {
                if let Some(members) = told(&followed) {
                    tell(&members);
                }
            }
            Ok(None) => return tell(&json!({"event": "ended"})),
            Err(error) => return tell(&merged(json!({"event": "failed"}), failure(&error))),
        }
    }
}

async fn methods(client: Client, module: String, names: Vec<String>) {
    let mut follow = client.follow_methods(&module, &names);
    loop {
        let call = match follow.next().await {
            Ok(Some(Followed::Event(MethodEvent::Invoke(call)))) => call,
            Ok(Some(_)) => continue,
            Ok(None) => return tell(&json!({"event": "ended"})),
            Err(error) => return tell(&merged(json!({"event": "failed"}), failure(&error))),
        };
        tell(&json!({"event": "invoke", "method": call.method, "payload": call.payload}));
        let answer = MethodResponse { status: 200, payload: json!({"echo": call.payload}) };
        if let Err(error) = client.answer_method(&module, &call.id, &answer).await {
            tell(&merged(json!({"event": "failed"}), failure(&error)));
        }
    }
}

fn message(rest: &str) -> anyhow::Result<Message> {
    let (words, payload) = rest.split_once("-- ").context("expected `-- TEXT`")?;
    let mut message = Message { payload: payload.into(), ..Message::default() };
    for word in words.split_whitespace() {
        let (name, value) = word.split_once('=').context("expected NAME=VALUE")?;
        let optional = match name {
            "content-type" => &mut message.content_type,
            "content-encoding" => &mut message.content_encoding,
            "message-id" => &mut message.message_id,
            "correlation-id" => &mut message.correlation_id,
            _ => {
                let (name, value) = value.split_once('=').context("expected NAME=VALUE")?;
                message.properties.push((name.to_owned(), value.to_owned()));
                continue;
            }
        };
        *optional = Some(value.to_owned());
    }
    Ok(message)
}

async fn act(client: &Client, command: &str, module: &str, rest: &str) -> anyhow::Result<Value> {
    match command {
        "report" => {
            client.report(module, &serde_json::from_str(rest)?, Wait::Stored).await?;
            Ok(json!({}))
        }
        "report-hub" => {
            let (seconds, patch) = rest.split_once(' ').unwrap_or_default();
            let wait = Wait::Hub { timeout: Duration::from_secs(seconds.parse()?) };
            let reported = client.report(module, &serde_json::from_str(patch)?, wait).await?;
            let Reported::Accepted(accepted) = reported else { return Ok(json!({})) };
            Ok(json!({"version": accepted.version}))
        }
        "ack" => {
            let (revision, status) = rest.split_once(' ').unwrap_or_default();
            let applied = AckRequest::applied(revision.parse::<Revision>()?);
            client.acknowledge(module, &AckRequest { status: status.parse()?, ..applied }).await?;
            Ok(json!({}))
        }
        "get" => Ok(json!({"twin": client.snapshot(module).await?})),
        "send" => {
            let hub = Wait::Hub { timeout: Duration::from_secs(30) };
            let wait = if rest.starts_with("wait=stored ") { Wait::Stored } else { hub };
            let rest = rest.trim_start_matches("wait=stored ");
            let sent = client.send(module, &message(rest)?, wait).await?;
            Ok(json!({"delivered": sent == Sent::Confirmed}))
        }
        "modules" => Ok(json!({"modules": client.modules().await?.modules})),
        other => anyhow::bail!("expected a command, found {other}"),
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, socket, silence] = arguments.as_slice() else {
        anyhow::bail!("expected the socket and the seconds of silence")
    };
    let client = Client::new(socket).with_silence(Duration::from_secs_f64(silence.parse()?));
    let (wake, awake) = watch::channel(true);
    let (give, mut lines) = mpsc::channel(16);
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            // The other end goes with the program.
            let _gone = give.blocking_send(line);
        }
    });
    while let Some(line) = lines.recv().await {
        let (command, rest) = line.split_once(' ').unwrap_or((&line, ""));
        let (module, rest) = rest.split_once(' ').unwrap_or((rest, ""));
        match command {
            "watch" => {
                let options = watch_options(&rest.split_whitespace().collect::<Vec<_>>())?;
                let work = watch(client.clone(), module.to_owned(), options, awake.clone());
                tokio::spawn(work);
            }
            "methods" => {
                let names = rest.split_whitespace().map(str::to_owned).collect();
                tokio::spawn(methods(client.clone(), module.to_owned(), names));
            }
            "pause" | "resume" => drop(wake.send_replace(command == "resume")),
            _ => match act(&client, command, module, rest).await {
                Ok(members) => tell(&merged(json!({"done": command}), members)),
                Err(error) => {
                    let said = failure(&error.downcast::<ClientError>()?);
                    tell(&merged(json!({"done": command}), said));
                }
            },
        }
    }
    std::process::exit(0)
}
