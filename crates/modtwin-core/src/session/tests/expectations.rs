//! What is expected of handlers, their silence, and what costs no write.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use serde_json::{Value, json};

use super::super::*;
use super::script::*;
use crate::acknowledgement::Acknowledgement;
use crate::document::Pointer;
use crate::handlers::HandlerRule;
use crate::message::Answer;
use crate::status::Fault;

fn rule(name: &str, watch: &str, seconds: Option<u64>) -> HandlerRule {
    HandlerRule {
        name: name.into(),
        watch: vec![Pointer::parse(watch).unwrap()],
        ack_timeout: seconds.map(Duration::from_secs),
    }
}

fn said(handler: &str, version: u64, status: u16) -> Acknowledgement {
    let paths = vec![Pointer::parse(&alloc::format!("/{handler}")).unwrap()];
    let handler = handler.into();
    Acknowledgement {
        handler,
        generation: None,
        version,
        status,
        description: None,
        paths,
        at_ms: 0,
    }
}

/// A live session with handlers for `/fan` and `/temp`, the first of whom has 30 s to answer.
fn live(plug_and_play: bool) -> Script {
    let settings = Settings { plug_and_play, ..settings() };
    let desired = section(7, json!({"temp": 21, "fan": 3}));
    let mut script = Script::live(settings, desired, section(1, json!({})));
    let rules = vec![rule("fan", "/fan", Some(30)), rule("temp", "/temp", None)];
    script.session.set_handlers(script.now(), rules);
    script.effects();
    script
}

fn expected(script: &Script) -> Vec<(String, u64)> {
    script.session.expected().map(|it| (it.handler.clone(), it.version)).collect()
}

/// Lets time pass as the driver does, which counts silence as it comes up.
fn pass(script: &mut Script, seconds: u64) -> usize {
    let mut count = 0;
    for _ in 0..seconds {
        script.pass(1_000);
        while let Some(silence) = script.session.poll_silence() {
            script.session.note_silence(script.now(), &silence, 5);
            count += 1;
        }
        script.effects();
    }
    count
}

fn kept(script: &Script) -> Vec<(String, u64, u16)> {
    let words = script.session.acknowledged();
    words.map(|said| (said.handler.clone(), said.version, said.status)).collect()
}

fn waiting(script: &Script) -> Value {
    Value::Object(script.session.outbox().pending())
}

#[test]
fn a_handler_is_expected_to_take_what_changes_in_what_it_watches() {
    let mut script = live(false);
    assert_eq!(expected(&script), [("fan".into(), 7), ("temp".into(), 7)]);
    script.patch(8, json!({"temp": 22}));
    assert_eq!(expected(&script), [("fan".into(), 7), ("temp".into(), 8)]);
    script.patch(9, json!({"temp": 22, "other": 1}));
    assert_eq!(expected(&script), [("fan".into(), 7), ("temp".into(), 8)]);
    let again = Session::new(settings(), script.session.durable(), Millis(0));
    assert_eq!(again.expected().map(|it| it.version).collect::<Vec<_>>(), [7, 8]);
}

#[test]
fn silence_counts_as_a_refusal_with_504_until_a_late_word_comes() {
    let mut script = live(false);
    assert_eq!(pass(&mut script, 29), 0);
    assert_eq!(pass(&mut script, 2), 1);
    assert_eq!(kept(&script), [("fan".into(), 7, 504)]);
    let words = script.session.acknowledged().next().unwrap().description.clone().unwrap();
    assert_eq!(words, "no acknowledgement of version 7 within 30 s");
    assert_eq!(pass(&mut script, 300), 0, "it is said once");
    script.session.acknowledge(script.now(), said("fan", 7, 200)).unwrap();
    script.effects();
    assert_eq!(kept(&script), [("fan".into(), 7, 200)]);
    assert_eq!(pass(&mut script, 300), 0);
}

#[test]
fn a_word_in_time_prevents_silence_and_a_further_change_gives_time_anew() {
    let mut script = live(false);
    pass(&mut script, 20);
    script.session.acknowledge(script.now(), said("fan", 7, 500)).unwrap();
    script.effects();
    assert_eq!(pass(&mut script, 100), 0, "a refusal is an answer");
    script.patch(8, json!({"fan": 4}));
    assert_eq!(pass(&mut script, 29), 0);
    script.patch(9, json!({"fan": 5}));
    assert_eq!(pass(&mut script, 2), 1, "the earlier change was due");
}

#[test]
fn silence_that_the_disk_did_not_take_is_counted_again() {
    let mut script = live(false);
    script.disk = Some(false);
    assert!(pass(&mut script, 100) >= 2);
    assert_eq!(kept(&script), []);
    script.disk = Some(true);
    pass(&mut script, 40);
    assert_eq!(kept(&script), [("fan".into(), 7, 504)]);
}

#[test]
fn a_restart_gives_a_silent_handler_its_time_anew_and_forgets_no_answer() {
    let script = live(false);
    let mut again = Script::new(settings(), script.session.durable());
    again.session.set_handlers(again.now(), vec![rule("fan", "/fan", Some(30))]);
    assert_eq!(pass(&mut again, 31), 1);
    assert_eq!(kept(&again), [("fan".into(), 7, 504)]);
    let mut third = Script::new(settings(), again.session.durable());
    third.session.set_handlers(third.now(), vec![rule("fan", "/fan", Some(30))]);
    assert_eq!(pass(&mut third, 100), 0);
}

#[test]
fn a_new_generation_expects_a_new_answer_of_everybody() {
    let mut script = live(false);
    for handler in ["fan", "temp"] {
        script.session.acknowledge(script.now(), said(handler, 7, 200)).unwrap();
    }
    script.effects();
    script.session.handle_lost(script.now(), network());
    script.effects();
    // The same values on a line of versions that began anew.
    let desired = section(2, json!({"temp": 21, "fan": 3}));
    script.go_live(desired, section(1, json!({})));
    script.effects();
    assert_eq!(kept(&script), []);
    assert_eq!(expected(&script), [("fan".into(), 2), ("temp".into(), 2)]);
    assert_eq!(pass(&mut script, 31), 1);
    assert_eq!(kept(&script), [("fan".into(), 2, 504)]);
}

#[test]
fn silence_is_reported_of_unanswered_values_alone() {
    let mut script = live(true);
    let answered = json!({"fan": {"value": 3, "ac": 200, "av": 7}});
    script.session.acknowledge(script.now(), said("fan", 7, 200)).unwrap();
    script.effects();
    assert_eq!(waiting(&script), answered);
    script.patch(8, json!({"fan": 4}));
    assert_eq!(pass(&mut script, 31), 1);
    assert_eq!(
        waiting(&script)["fan"],
        json!({"value": 4, "ac": 504, "av": 8, "ad": "no acknowledgement of version 8 within 30 s"})
    );
    // A change back and forth needs no answer: the value was answered for.
    script.session.acknowledge(script.now(), said("fan", 8, 200)).unwrap();
    script.effects();
    assert_eq!(waiting(&script)["fan"], json!({"value": 4, "ac": 200, "av": 8, "ad": null}));
}

#[test]
fn an_answer_to_an_older_version_counts_where_nothing_watched_has_changed_since() {
    let mut script = live(true);
    script.patch(8, json!({"temp": 22}));
    script.session.acknowledge(script.now(), said("fan", 7, 200)).unwrap();
    script.session.acknowledge(script.now(), said("temp", 7, 200)).unwrap();
    script.effects();
    assert_eq!(waiting(&script), json!({"fan": {"value": 3, "ac": 200, "av": 7}}));
}

#[test]
fn what_is_said_twice_is_written_once() {
    let mut script = live(false);
    let first = script.session.acknowledge(script.now(), said("fan", 7, 200)).unwrap();
    script.effects();
    script.disk = None;
    let second = script.session.acknowledge(script.now(), said("fan", 7, 200)).unwrap();
    assert_eq!(second, first);
    assert_eq!(script.effects(), [Effect::Stored { through: first }]);
    // A report that waits for the hub.
    script.disk = Some(true);
    script.session.handle_lost(script.now(), network());
    let sequence = script.report(json!({"a": {"b": 1}, "gone": null}));
    script.effects();
    for (patch, known) in [
        (json!({"a": {"b": 1}}), true),
        (json!({"gone": null}), true),
        (json!({"a": {"b": 1}, "gone": null}), true),
        (json!({}), true),
        (json!({"a": {"b": 2}}), false),
        (json!({"a": null}), false),
        (json!({"a": {"c": null}}), false),
        (json!({"gone": 1}), false),
    ] {
        let found = script.session.waits_already(&document(patch.clone()));
        assert_eq!(found, known.then_some(sequence), "{patch}");
    }
}

#[test]
fn an_attempt_that_waits_for_the_clock_begins_when_it_is_set() {
    let mut script = Script::new(settings(), Durable::default());
    script.fire();
    script.effects();
    script.session.handle_failed(script.now(), Fault::new(Reason::Clock, "it is 1970"));
    script.effects();
    script.session.clock_was_set(script.now());
    assert_eq!(script.session.next_deadline(), Some(script.now()));
    // One that waits for something else does not care.
    script.fire();
    script.session.handle_failed(script.now(), Fault::new(Reason::BadCredential, "no"));
    let due = script.session.next_deadline();
    script.session.clock_was_set(script.now());
    assert_eq!(script.session.next_deadline(), due);
}

#[test]
fn a_request_that_is_held_has_its_time_from_when_it_is_sent() {
    let mut script = Script::new(settings(), Durable::default());
    script.fetching();
    let effects = script.effects();
    let id = fetch_in(&effects).unwrap();
    script.session.handle_held(id);
    assert_eq!(script.pass(600_000), []);
    script.session.handle_sent(script.now(), id);
    assert_eq!(script.session.next_deadline(), Some(script.now() + Duration::from_secs(10)));
    script.answer(
        id,
        Answer::Twin { desired: section(1, json!({})), reported: section(1, json!({})) },
    );
    script.effects();
    let sequence = script.report(json!({"a": 1}));
    let effects = script.effects();
    let id = reports_in(&effects)[0].0;
    script.session.handle_held(id);
    assert!(!script.pass(600_000).contains(&Effect::Notice(Notice::ReportUnanswered)));
    script.session.handle_sent(script.now(), id);
    script.accept(id, 2);
    assert!(
        script.effects().iter().any(
            |effect| matches!(effect, Effect::Accepted { through, .. } if *through == sequence)
        )
    );
}
