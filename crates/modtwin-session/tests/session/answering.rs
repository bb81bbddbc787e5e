//! Stories of direct methods: each call gets one answer, whoever gives it.

use std::collections::BTreeSet;
use std::time::Duration;

use modtwin_core::status::{Fault, Reason};
use modtwin_session::link::LinkStatus;
use modtwin_session::methods::{
    AnswerError, ClaimError, Invocation, MAX_OPEN_CALLS, MethodAnswer, MethodCalls,
};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use crate::rig::{METHOD_LIMIT, Rig};

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn answer(status: u16, payload: &Value) -> MethodAnswer {
    MethodAnswer { status, payload: payload.to_string().into_bytes(), allowed: None }
}

async fn live() -> Rig {
    let mut rig = Rig::start().await;
    rig.go_live(json!({"$version": 1}), json!({"$version": 1})).await;
    rig
}

async fn claim(rig: &Rig, methods: &[&str]) -> MethodCalls {
    rig.handle.claim_methods(names(methods)).await.unwrap()
}

async fn next(calls: &mut MethodCalls) -> Invocation {
    timeout(Duration::from_secs(3600), calls.next()).await.unwrap().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_call_goes_to_its_owner_and_the_answer_to_the_hub() {
    let mut rig = live().await;
    let mut calls = claim(&rig, &["reboot"]).await;
    rig.hub.invoke("reboot", "r%2F1", br#"{"in":5}"#);
    let call = next(&mut calls).await;
    assert_eq!((call.method.as_str(), &call.payload), ("reboot", &json!({"in": 5})));
    assert_eq!(call.due, Instant::now() + METHOD_LIMIT);
    rig.handle.answer_method(&call.id, answer(202, &json!({"ok": true}))).await.unwrap();
    let expected = ("202/?$rid=r%2F1".to_owned(), json!({"ok": true}));
    assert_eq!(rig.hub.method_answer().await, expected);
    let again = rig.handle.answer_method(&call.id, answer(200, &json!(1))).await;
    assert_eq!(again, Err(AnswerError::Unknown));
}

#[tokio::test(start_paused = true)]
async fn a_method_that_nobody_has_claimed_is_answered_501() {
    let mut rig = live().await;
    let _calls = claim(&rig, &["reboot"]).await;
    rig.hub.invoke("blink", "1", b"");
    let (topic, payload) = rig.hub.method_answer().await;
    assert_eq!(topic, "501/?$rid=1");
    assert!(payload["message"].as_str().unwrap().contains("`blink`"), "{payload}");
}

#[tokio::test(start_paused = true)]
async fn a_payload_that_is_no_json_is_answered_400_and_none_at_all_is_null() {
    let mut rig = live().await;
    let mut calls = claim(&rig, &[]).await;
    rig.hub.invoke("a", "1", b"{no");
    assert_eq!(rig.hub.method_answer().await.0, "400/?$rid=1");
    rig.hub.invoke("a", "2", b"");
    assert_eq!(next(&mut calls).await.payload, Value::Null);
}

#[tokio::test(start_paused = true)]
async fn silence_is_answered_504_and_the_late_word_is_not_taken() {
    let mut rig = live().await;
    let mut calls = claim(&rig, &[]).await;
    rig.handle.set_method_limit(Duration::from_secs(3)).await;
    rig.hub.invoke("slow", "1", b"{}");
    let call = next(&mut calls).await;
    assert_eq!(call.due, Instant::now() + Duration::from_secs(3));
    assert_eq!(rig.hub.method_answer().await.0, "504/?$rid=1");
    assert_eq!(Instant::now(), call.due);
    let late = rig.handle.answer_method(&call.id, answer(200, &json!(1))).await;
    assert_eq!(late, Err(AnswerError::Unknown));
}

#[tokio::test(start_paused = true)]
async fn a_method_has_one_owner_until_that_one_is_gone() {
    let rig = live().await;
    let calls = claim(&rig, &["a", "b"]).await;
    let refused = rig.handle.claim_methods(names(&["b", "c"])).await.unwrap_err();
    assert!(matches!(refused, ClaimError::InUse(_)), "{refused}");
    assert!(refused.to_string().contains("`b`"), "{refused}");
    drop(calls);
    let regained = async {
        while rig.handle.claim_methods(names(&["b", "c"])).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(10), regained).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_owner_that_goes_has_its_open_calls_answered_503_at_once() {
    let mut rig = live().await;
    let mut calls = claim(&rig, &["a"]).await;
    rig.hub.invoke("a", "1", b"");
    next(&mut calls).await;
    let began = Instant::now();
    drop(calls);
    assert_eq!(rig.hub.method_answer().await.0, "503/?$rid=1");
    assert_eq!(Instant::now(), began);
    rig.hub.invoke("a", "2", b"");
    assert_eq!(rig.hub.method_answer().await.0, "501/?$rid=2");
}

#[tokio::test(start_paused = true)]
async fn more_calls_than_may_be_open_are_answered_503() {
    let mut rig = live().await;
    let mut calls = claim(&rig, &[]).await;
    for n in 0..=MAX_OPEN_CALLS {
        rig.hub.invoke("a", &n.to_string(), b"");
    }
    assert_eq!(rig.hub.method_answer().await.0, format!("503/?$rid={MAX_OPEN_CALLS}"));
    let call = next(&mut calls).await;
    rig.handle.answer_method(&call.id, answer(200, &json!(1))).await.unwrap();
    assert_eq!(rig.hub.method_answer().await.0, "200/?$rid=0");
}

#[tokio::test(start_paused = true)]
async fn somebody_who_may_not_answer_a_method_does_not() {
    let rig = live().await;
    let mut calls = claim(&rig, &["a"]).await;
    rig.hub.invoke("a", "1", b"");
    let call = next(&mut calls).await;
    let foreign = MethodAnswer { allowed: Some(names(&["b"])), ..answer(200, &json!(1)) };
    let refused = rig.handle.answer_method(&call.id, foreign).await;
    assert_eq!(refused, Err(AnswerError::NotAllowed("a".to_owned())));
    assert!(rig.handle.answer_method(&call.id, answer(200, &json!(1))).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn owners_outlive_a_connection_and_an_answer_waits_for_the_next() {
    let mut rig = live().await;
    let mut calls = claim(&rig, &["a"]).await;
    rig.hub.invoke("a", "1", b"");
    let call = next(&mut calls).await;
    rig.hub.say(LinkStatus::Lost(Fault::new(Reason::Network, "cut")));
    rig.view_where(|view| view.stale).await;
    rig.handle.answer_method(&call.id, answer(200, &json!("late"))).await.unwrap();
    rig.go_live(json!({"$version": 1}), json!({"$version": 1})).await;
    assert_eq!(rig.hub.method_answer().await, ("200/?$rid=1".to_owned(), json!("late")));
    rig.hub.invoke("a", "2", b"");
    assert_eq!(next(&mut calls).await.method, "a");
}

#[tokio::test(start_paused = true)]
async fn a_session_that_ends_ends_the_streams_of_calls() {
    let mut rig = live().await;
    let mut calls = claim(&rig, &[]).await;
    rig.stop();
    rig.end().await.unwrap();
    assert_eq!(calls.next().await, None);
    let gone = rig.handle.claim_methods(names(&[])).await.unwrap_err();
    assert!(matches!(gone, ClaimError::Stopping(_)));
}
