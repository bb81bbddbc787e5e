//! The section *With curl* of docs/local-api.md: every command of it, run in order against a real
//! daemon and hub, prints what the page says.

use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};
use hyper::Method;
use modtwin_testkit::gateway::DEVICE;
use modtwin_testkit::hub::program;
use modtwin_testkit::patience::{LONG, Look, until};
use modtwin_testkit::stage::Stage;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::task::JoinHandle;

use crate::Story;
use crate::languages::root;

/// The module of the page's commands.
const M: &str = "thermostat";

/// What stands for any text in what a command prints.
const ANYTHING: char = '…';

/// The exit status of curl where its `--max-time` is over: how the page ends a stream.
const TIMED_OUT: i32 = 28;

/// A command of the page, and what it prints.
struct Shown {
    command: String,
    printed: String,
}

fn contract() -> String {
    std::fs::read_to_string(root().join("docs/local-api.md")).unwrap()
}

fn commands(contract: &str) -> Vec<Shown> {
    let (_, section) = contract.split_once("\n## With curl\n").unwrap();
    let section = section.split("\n## ").next().unwrap_or_default();
    let blocks = section.split("```console\n").skip(1);
    let mut shown: Vec<Shown> = Vec::new();
    for line in blocks.flat_map(|block| block.split("```").next().unwrap_or_default().lines()) {
        match (line.strip_prefix("$ "), shown.last_mut()) {
            (Some(command), _) => {
                shown.push(Shown { command: command.to_owned(), printed: String::new() });
            }
            (None, Some(last)) if last.command.ends_with('\\') => {
                last.command.truncate(last.command.len() - 1);
                last.command += line.trim_start();
            }
            (None, Some(last)) => last.printed += &format!("{line}\n"),
            (None, None) => panic!("a block that begins with no command: {line}"),
        }
    }
    shown
}

/// Method and path of each row of *Resources* that is there, `{m}` and `{id}` as they stand.
fn resources(contract: &str) -> Vec<(String, String)> {
    let rows =
        contract.lines().filter(|line| line.starts_with("| `") && !line.contains("*Planned"));
    let requests = rows.filter_map(|row| row.split('`').nth(1)?.split_once(' '));
    requests
        .filter(|(_, path)| path.starts_with('/'))
        .map(|(method, path)| (method.to_owned(), path.to_owned()))
        .collect()
}

#[test]
fn every_request_of_the_contract_has_its_command() {
    let contract = contract();
    let commands = commands(&contract);
    let resources = resources(&contract);
    assert!(resources.len() >= 10, "{resources:?}");
    for (method, path) in resources {
        let is_shown = commands.iter().any(|shown| {
            let url = shown.command.split("http://localhost").nth(1).unwrap_or_default();
            let end = url.find(['?', ' ', '\'', '"']).unwrap_or(url.len());
            let asked: Vec<&str> = url[..end].split('/').collect();
            let wanted: Vec<&str> = path.split('/').collect();
            let same = |(asked, wanted): (&&str, &&str)| asked == wanted || wanted.starts_with('{');
            let given = shown.command.split("-X ").nth(1).and_then(|rest| rest.split(' ').next());
            asked.len() == wanted.len()
                && asked.iter().zip(&wanted).all(same)
                && given.unwrap_or("GET") == method
        });
        assert!(is_shown, "`{method} {path}` has no command in the section With curl");
    }
}

#[tokio::test]
async fn every_command_prints_what_the_page_says() -> Story {
    if Command::new("curl").arg("--version").stdout(Stdio::null()).status().is_err() {
        println!("skipped: the commands of docs/local-api.md, because this machine has no curl");
        return Ok(());
    }
    let mut stage = Stage::build(program("modtwind")?, 0).await?;
    stage.add_module(M, "").await?;
    stage.start_daemon().await?;
    stage.gateway.wait_connected(1).await?;
    stage.change(M, json!({"targetTemperature": 21})).await?;
    let mut calls: Option<Calls> = None;
    for shown in commands(&contract()) {
        settle(&stage).await?;
        if shown.command.contains("/methods?") {
            calls = Some(Calls::begin(&shown, &stage).await?);
            continue;
        }
        let mut command = shell(&shown.command, &stage);
        if let Some(calls) = &calls {
            command.env("ID", &calls.id);
        }
        let output = command.output().await?;
        let code = output.status.code().context("ended by a signal")?;
        if code != 0 && !(code == TIMED_OUT && shown.command.contains("--max-time")) {
            bail!("{}\nended with {code}", shown.command);
        }
        compare(&shown, &String::from_utf8(output.stdout)?)?;
        if shown.command.contains("/methods/$ID")
            && let Some(calls) = calls.take()
        {
            let answer = calls.back_end.await??;
            assert_eq!(
                (&answer["status"], &answer["payload"]["accepted"]),
                (&json!(200), &json!(true))
            );
        }
    }
    Ok(())
}

fn shell(command: &str, stage: &Stage) -> tokio::process::Command {
    let mut shell = tokio::process::Command::new("sh");
    shell.args(["-c", command]).env("S", stage.gateway.socket());
    shell.stdin(Stdio::null()).kill_on_drop(true);
    shell
}

fn compare(shown: &Shown, printed: &str) -> Story {
    // A body may end without a line feed.
    let (page, printed) = (shown.printed.trim_end(), printed.trim_end());
    if !matches(&without_times(page), &without_times(printed)) {
        bail!("{}\nprinted\n{printed}, not\n{}", shown.command, shown.printed);
    }
    Ok(())
}

/// The page's stream of calls, open, with one call of the back end that waits for its answer.
struct Calls {
    id: String,
    back_end: JoinHandle<anyhow::Result<Value>>,
    _stream: tokio::process::Child,
}

impl Calls {
    async fn begin(shown: &Shown, stage: &Stage) -> anyhow::Result<Self> {
        let command = format!("exec {}", shown.command);
        let mut stream = shell(&command, stage).stdout(Stdio::piped()).spawn()?;
        let mut lines = BufReader::new(stream.stdout.take().context("no output")?).lines();
        let first = lines.next_line().await?.context("the stream ended")?;
        // From that line on the method is the stream's.
        let mut service = stage.hub.service()?;
        let back_end = tokio::spawn(async move {
            let call = json!({"methodName": "reboot", "payload": {"delay": 5},
                              "responseTimeoutInSeconds": 30});
            let path = format!("/twins/{DEVICE}/modules/{M}/methods");
            service.call(Method::POST, &path, Some(&call)).await
        });
        let second = lines.next_line().await?.context("the stream ended")?;
        compare(shown, &format!("{first}\n{second}\n"))?;
        let call: Value = serde_json::from_str(&second)?;
        let id = call["id"].as_str().context("a call without id")?.to_owned();
        Ok(Self { id, back_end, _stream: stream })
    }
}

/// Waits until the hub has all that was reported and the daemon all that was desired, so that the
/// versions are those of the page.
async fn settle(stage: &Stage) -> Story {
    stage.gateway.wait_connected(1).await?;
    until("nothing to wait", LONG, async || {
        let snapshot = stage.client().snapshot(M).await?;
        Ok(if snapshot.pending.is_empty() && snapshot.version >= Some(2) {
            Look::Found(())
        } else {
            Look::NotYet(format!("{snapshot:?}"))
        })
    })
    .await
}

/// `text` with each moment of RFC 3339 replaced by one word: `2026-11-23T10:00:00.123Z`.
fn without_times(text: &str) -> String {
    let mut result = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('T') {
        let is_time = at >= 10
            && rest.is_char_boundary(at - 10)
            && rest[at - 10..at].bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
        let end = rest[at..].find('Z').map(|end| at + end + 1).filter(|end| {
            rest[at + 1..end - 1].bytes().all(|byte| byte.is_ascii_digit() || b":.".contains(&byte))
        });
        match end.filter(|_| is_time) {
            Some(end) => {
                result += &rest[..at - 10];
                result += "TIME";
                rest = &rest[end..];
            }
            None => {
                result += &rest[..=at];
                rest = &rest[at + 1..];
            }
        }
    }
    result + rest
}

/// Says whether `text` is `pattern` with something in place of each [`ANYTHING`].
fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split(ANYTHING);
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[test]
fn times_and_what_is_left_out_match_anything_and_the_rest_itself() {
    let shown = "{\"at\":\"2026-11-23T10:00:00Z\",\"pid\":…,\"x\":1}";
    let matches = |text: &str| matches(&without_times(shown), &without_times(text));
    assert!(matches("{\"at\":\"2031-01-02T03:04:05.678Z\",\"pid\":77,\"x\":1}"));
    assert!(!matches("{\"at\":\"2031-01-02T03:04:05.678Z\",\"pid\":77,\"x\":2}"));
    assert!(!matches("{\"at\":\"soon\",\"pid\":77,\"x\":1}"));
}
