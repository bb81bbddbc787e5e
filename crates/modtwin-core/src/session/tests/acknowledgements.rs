//! What handlers say of desired versions: kept, and reported where the module says so.

use alloc::vec;
use alloc::vec::Vec;

use serde_json::{Value, json};

use super::super::*;
use super::script::*;
use crate::acknowledgement::Acknowledgement;
use crate::document::Pointer;

fn said(version: u64, status: u16) -> Acknowledgement {
    Acknowledgement {
        handler: "hvac".into(),
        generation: None,
        version,
        status,
        description: None,
        paths: vec![Pointer::parse("").unwrap()],
        at_ms: 0,
    }
}

fn live(plug_and_play: bool) -> Script {
    let settings = Settings { plug_and_play, ..settings() };
    Script::live(settings, section(7, json!({"temp": 21})), section(1, json!({})))
}

fn kept(script: &Script) -> Vec<(u64, u64, u16)> {
    script.session.acknowledged().map(|said| (said.generation, said.version, said.status)).collect()
}

#[test]
fn an_acknowledgement_is_stored_and_kept() {
    let mut script = live(false);
    let sequence = script.session.acknowledge(script.now(), said(7, 200)).unwrap();
    assert_eq!(script.effects(), [Effect::Stored { through: sequence }], "nothing is sent");
    assert_eq!(kept(&script), [(1, 7, 200)]);
    script.session.acknowledge(script.now(), said(7, 500)).unwrap();
    script.effects();
    assert_eq!(kept(&script), [(1, 7, 500)], "the later word on a version counts");
    let again = Script::new(settings(), script.session.durable());
    assert_eq!(kept(&again), [(1, 7, 500)]);
}

#[test]
fn an_older_version_does_not_replace_a_newer_one() {
    let mut script = live(false);
    script.disk = None;
    // Both are on their way to disk together.
    script.session.acknowledge(script.now(), said(7, 200)).unwrap();
    script.session.acknowledge(script.now(), said(6, 400)).unwrap();
    script.disk = Some(true);
    script.effects();
    assert_eq!(kept(&script), [(1, 7, 200)]);
    script.session.acknowledge(script.now(), said(5, 200)).unwrap();
    script.effects();
    assert_eq!(kept(&script), [(1, 7, 200)]);
}

#[test]
fn a_version_that_was_never_seen_is_refused() {
    let mut new = Script::new(settings(), Durable::default());
    assert_eq!(new.session.acknowledge(new.now(), said(1, 200)), Err(AckRefused::NotSynced));
    let mut script = live(false);
    let unknown = Err(AckRefused::UnknownVersion { newest: 7 });
    assert_eq!(script.session.acknowledge(script.now(), said(8, 200)), unknown);
    let ahead = Acknowledgement { generation: Some(2), ..said(1, 200) };
    assert_eq!(script.session.acknowledge(script.now(), ahead), unknown);
    assert_eq!(script.effects(), []);
}

#[test]
fn an_acknowledgement_of_an_older_generation_is_no_word_on_this_one() {
    let mut script = live(true);
    script.session.acknowledge(script.now(), said(7, 200)).unwrap();
    let (id, _) = script.sent();
    script.accept(id, 2);
    script.session.handle_lost(script.now(), network());
    script.effects();
    script.go_live(section(1, json!({"temp": 19})), section(1, json!({})));
    script.effects();
    assert_eq!(kept(&script), []);
    // Version 7 of generation 1 was seen, even though this one is at version 1.
    let late = Acknowledgement { generation: Some(1), ..said(7, 200) };
    script.session.acknowledge(script.now(), late).unwrap();
    script.nothing_sent();
    assert_eq!(kept(&script), []);
    script.session.acknowledge(script.now(), said(1, 200)).unwrap();
    assert_eq!(script.sent().1, json!({"temp": {"value": 19, "ac": 200, "av": 1}}));
    assert_eq!(kept(&script), [(2, 1, 200)]);
}

#[test]
fn answers_go_to_the_hub_where_the_module_says_so() {
    let mut script = live(true);
    script.session.acknowledge(script.now(), said(7, 200)).unwrap();
    let (id, patch) = script.sent();
    assert_eq!(patch, json!({"temp": {"value": 21, "ac": 200, "av": 7}}));
    script.accept(id, 2);
    script.effects();
    // An older version has no values any more; its successor will be answered.
    script.patch(8, json!({"temp": 22}));
    script.session.acknowledge(script.now(), said(7, 200)).unwrap();
    script.nothing_sent();
}

#[test]
fn lost_values_come_back_without_the_answers_of_the_old_generation() {
    let lost = |plug_and_play: bool| -> Value {
        let mut script = live(plug_and_play);
        let answer = json!({"value": 21, "ac": 200, "av": 7});
        script.report(json!({"plain": 1, "temp": answer}));
        let (id, _) = script.sent();
        script.accept(id, 2);
        script.session.handle_lost(script.now(), network());
        script.effects();
        script.go_live(section(1, json!({})), section(1, json!({})));
        script.sent().1
    };
    assert_eq!(lost(true), json!({"plain": 1}));
    assert_eq!(lost(false), json!({"plain": 1, "temp": {"value": 21, "ac": 200, "av": 7}}));
}

#[test]
fn lost_answers_come_back_where_the_generation_stays() {
    let mut script = live(true);
    script.session.acknowledge(script.now(), said(7, 200)).unwrap();
    let (id, patch) = script.sent();
    script.accept(id, 2);
    script.session.handle_lost(script.now(), network());
    script.effects();
    script.go_live(section(7, json!({"temp": 21})), section(1, json!({})));
    assert_eq!(script.sent().1, patch);
}

#[test]
fn a_failover_leaves_the_answers_that_the_hub_still_has() {
    let mut script = live(true);
    script.report(json!({"plain": 1, "temp": {"value": 21, "ac": 200, "av": 7}}));
    let (id, _) = script.sent();
    script.accept(id, 4);
    script.session.handle_lost(script.now(), network());
    script.effects();
    let older = json!({"temp": {"value": 20, "ac": 200, "av": 5}});
    script.go_live(section(5, json!({"temp": 20})), section(3, older));
    assert_eq!(script.sent().1, json!({"plain": 1}));
}

#[test]
fn answers_that_wait_are_dropped_with_their_generation() {
    let mut script = live(true);
    script.session.handle_lost(script.now(), network());
    script.session.acknowledge(script.now(), said(7, 200)).unwrap();
    script.report(json!({"plain": 1}));
    script.effects();
    script.disk = None;
    let staged = Acknowledgement { handler: "other".into(), ..said(7, 202) };
    script.session.acknowledge(script.now(), staged).unwrap();
    script.fetching();
    script.twin(section(1, json!({"temp": 19})), section(1, json!({})));
    assert_eq!(script.sent().1, json!({"plain": 1}));
    script.session.handle_saved(script.now(), true);
    let waiting: Vec<_> = script.session.outbox().waiting().cloned().collect();
    assert_eq!(waiting.len(), 1, "{waiting:?}");
    assert_eq!(kept(&script), []);
}
