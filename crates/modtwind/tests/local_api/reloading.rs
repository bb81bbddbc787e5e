//! What the body of a reload asks for, and what it may not say.

use std::time::Duration;

use modtwind::local_api::{AdminCommand, ReloadRefusal};
use serde_json::json;
use tokio::io::AsyncWriteExt;

use crate::daemon::{ADMIN_GROUP, Daemon};
use crate::peer::{ask, can_change_users, connect_as, in_time, read};

fn reload(body: &str) -> String {
    format!("POST /v1/reload HTTP/1.1\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

#[tokio::test]
async fn a_candidate_with_a_time_is_put_on_trial_and_one_at_a_time() {
    let mut daemon = Daemon::start().await;
    let mut stream = daemon.connect().await;
    let body = json!({"candidate": "[hub]\n", "confirm_seconds": 60}).to_string();
    stream.write_all(reload(&body).as_bytes()).await.unwrap();
    let command = in_time(daemon.commands.recv()).await.unwrap();
    let AdminCommand::Try { candidate, limit, reply } = command else { panic!("no trial") };
    assert_eq!((candidate.as_str(), limit), ("[hub]\n", Duration::from_secs(60)));
    reply.send(Err(ReloadRefusal::Busy)).unwrap();
    let problem = read(&mut stream, false).await.problem(409, "in_use");
    assert!(problem["detail"].as_str().unwrap().contains("on trial"), "{problem}");
}

/// Who may ask for all that the config allows does not say thereby what it allows.
#[tokio::test]
async fn a_member_of_the_admin_group_may_not_bring_a_config() {
    if !can_change_users() {
        return;
    }
    let daemon = Daemon::start().await;
    let mut stream = connect_as(daemon.path(), 54_321, ADMIN_GROUP, &[]);
    let body = json!({"candidate": "", "confirm_seconds": 60}).to_string();
    let problem = ask(&mut stream, reload(&body)).await.problem(403, "forbidden");
    assert!(problem["detail"].as_str().unwrap().contains("only root"), "{problem}");
}

#[tokio::test]
async fn a_body_that_says_nothing_asks_for_an_ordinary_reload() {
    let mut daemon = Daemon::start().await;
    let mut stream = daemon.connect().await;
    for body in ["", "{}", "{\"a_newer_member\":1}"] {
        stream.write_all(reload(body).as_bytes()).await.unwrap();
        let command = in_time(daemon.commands.recv()).await.unwrap();
        let AdminCommand::Reload { reply } = command else { panic!("no reload: {body}") };
        reply.send(Ok(modtwin_api::ReloadOutcome::default())).unwrap();
        assert_eq!(read(&mut stream, false).await.status, 200, "{body}");
    }
}

#[tokio::test]
async fn a_trial_that_is_not_said_in_full_is_refused() {
    let daemon = Daemon::start().await;
    for (body, field) in [
        (json!({"candidate": ""}), "confirm_seconds"),
        (json!({"confirm_seconds": 60}), "candidate"),
        (json!({"candidate": "", "confirm_seconds": 0}), "confirm_seconds"),
        (json!({"candidate": "", "confirm_seconds": 3601}), "confirm_seconds"),
        (json!({"candidate": 1, "confirm_seconds": 60}), "body"),
        (json!([null, null]), "body"),
        (json!(["", 60]), "body"),
    ] {
        let answer = daemon.ask(reload(&body.to_string())).await;
        assert_eq!(answer.problem(400, "invalid_request")["field"], field, "{body}");
    }
}
