//! Reports merged, sent, refused, divided and settled; in the end against a small hub.

use alloc::collections::BTreeSet;
use alloc::vec;

use proptest::collection::{btree_map, btree_set, vec as vec_of};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn document(value: Value) -> Document {
    value.as_object().cloned().unwrap()
}

fn batch(through: u64, patch: Value) -> Batch {
    Batch { through, patch: document(patch) }
}

fn outbox(reports: &[(u64, Value)]) -> Outbox {
    let mut outbox = Outbox::default();
    for (through, patch) in reports {
        outbox.push(batch(*through, patch.clone()));
    }
    outbox
}

fn waiting(outbox: &Outbox) -> Vec<(u64, Value)> {
    outbox.waiting().map(|batch| (batch.through, Value::Object(batch.patch.clone()))).collect()
}

fn sent(outbox: &mut Outbox, id: u64) -> Value {
    Value::Object(outbox.send(RequestId(id)).unwrap())
}

fn refusal() -> Refusal {
    Refusal { status: 400, message: "no".into() }
}

fn accepted(through: u64, patch: Value) -> Settlement {
    Settlement::Accepted { through, patch: document(patch) }
}

fn quarantined(outbox: &Outbox) -> Vec<&str> {
    outbox.quarantined().map(|refused| refused.key.as_str()).collect()
}

#[test]
fn reports_merge_while_they_wait_and_deletes_are_kept() {
    let outbox = outbox(&[
        (1, json!({"a": 1, "b": {"x": 1}})),
        (2, json!({"a": null, "b": {"y": null}})),
        (3, json!({"c": 3})),
    ]);
    assert_eq!(waiting(&outbox), [(3, json!({"a": null, "b": {"x": 1, "y": null}, "c": 3}))]);
    assert_eq!(
        Value::Object(outbox.pending()),
        json!({"a": null, "b": {"x": 1, "y": null}, "c": 3})
    );
}

#[test]
fn patches_that_do_not_compose_stay_apart_and_in_order() {
    let mut outbox = outbox(&[(1, json!({"a": null})), (2, json!({"a": {"x": 1}}))]);
    assert_eq!(waiting(&outbox), [(1, json!({"a": null})), (2, json!({"a": {"x": 1}}))]);
    let held = document(json!({"a": {"old": 1}}));
    assert_eq!(Value::Object(outbox.applied_to(&held)), json!({"a": {"x": 1}}));
    assert_eq!(sent(&mut outbox, 1), json!({"a": null}));
    assert_eq!(outbox.accept(RequestId(1)), accepted(1, json!({"a": null})));
    assert_eq!(sent(&mut outbox, 2), json!({"a": {"x": 1}}));
}

#[test]
fn replacing_for_ever_while_offline_does_not_pile_up() {
    let mut outbox = Outbox::default();
    let mut expected = document(json!({"a": {"old": 1}, "b": {"old": 1}}));
    let held = expected.clone();
    for n in 0..100 {
        for patch in [
            json!({"a": null, "b": {"x": {"y": n}}}),
            json!({"a": {"x": n}, "b": null}),
            json!({"a": {"x": {"z": n}}}),
            json!({"b": {"x": null}}),
        ] {
            merge(&mut expected, &document(patch.clone()));
            outbox.push(batch(n, patch));
        }
    }
    assert!(outbox.waiting().count() <= 2, "{:?}", waiting(&outbox));
    assert_eq!(outbox.applied_to(&held), expected);
}

#[test]
fn one_patch_is_in_flight_and_nothing_merges_into_it() {
    let mut outbox = outbox(&[(1, json!({"a": 1}))]);
    assert_eq!(sent(&mut outbox, 1), json!({"a": 1}));
    outbox.push(batch(2, json!({"a": 2})));
    outbox.push(batch(3, json!({"b": 3})));
    assert_eq!(outbox.send(RequestId(2)), None);
    assert_eq!(waiting(&outbox), [(1, json!({"a": 1})), (3, json!({"a": 2, "b": 3}))]);
    assert_eq!(outbox.accept(RequestId(9)), Settlement::Unknown);
    assert_eq!(outbox.accept(RequestId(1)), accepted(1, json!({"a": 1})));
    assert_eq!(outbox.accept(RequestId(1)), Settlement::Unknown);
    assert_eq!(sent(&mut outbox, 2), json!({"a": 2, "b": 3}));
}

#[test]
fn a_recalled_patch_merges_again_and_is_sent_anew() {
    let mut outbox = outbox(&[(1, json!({"a": 1}))]);
    sent(&mut outbox, 1);
    assert_eq!(outbox.recall(), Some(RequestId(1)));
    assert_eq!(outbox.recall(), None);
    outbox.push(batch(2, json!({"a": 2})));
    assert_eq!(outbox.accept(RequestId(1)), Settlement::Unknown);
    assert_eq!(outbox.refuse(RequestId(1), &refusal()), Settlement::Unknown);
    assert_eq!(sent(&mut outbox, 2), json!({"a": 2}));
}

#[test]
fn the_parts_of_a_refused_patch_keep_apart_from_newer_reports() {
    let mut outbox = outbox(&[(1, json!({"a": 1, "bad": 2, "c": 3}))]);
    sent(&mut outbox, 1);
    outbox.push(batch(2, json!({"a": 9})));
    assert_eq!(outbox.refuse(RequestId(1), &refusal()), Settlement::Divided);
    outbox.push(batch(3, json!({"c": 9})));
    assert_eq!(
        waiting(&outbox),
        [(1, json!({"a": 1})), (1, json!({"bad": 2, "c": 3})), (3, json!({"a": 9, "c": 9}))]
    );
    assert_eq!(sent(&mut outbox, 2), json!({"a": 1}));
    assert_eq!(outbox.accept(RequestId(2)), accepted(1, json!({"a": 1})));
    sent(&mut outbox, 3);
    assert_eq!(outbox.refuse(RequestId(3), &refusal()), Settlement::Divided);
    assert_eq!(sent(&mut outbox, 4), json!({"bad": 2}));
    let settlement = outbox.refuse(RequestId(4), &refusal());
    let Settlement::Rejected { through: 1, refused } = settlement else {
        panic!("{settlement:?}");
    };
    assert_eq!(
        (refused.key.as_str(), refused.status, refused.message.as_str()),
        ("bad", 400, "no")
    );
    assert_eq!(quarantined(&outbox), ["bad"]);
    assert_eq!(waiting(&outbox), [(1, json!({"c": 3})), (3, json!({"a": 9, "c": 9}))]);
}

#[test]
fn a_newer_report_of_a_key_lifts_its_quarantine() {
    let mut box_of_bad = outbox(&[(1, json!({"bad": 1}))]);
    sent(&mut box_of_bad, 1);
    box_of_bad.refuse(RequestId(1), &refusal());
    assert_eq!(quarantined(&box_of_bad), ["bad"]);
    box_of_bad.push(batch(2, json!({"other": 1})));
    assert_eq!(quarantined(&box_of_bad), ["bad"]);
    box_of_bad.push(batch(3, json!({"bad": 2})));
    assert!(quarantined(&box_of_bad).is_empty());

    // One that waits already is a second chance as well.
    let mut chance = outbox(&[(1, json!({"bad": 1}))]);
    sent(&mut chance, 1);
    chance.push(batch(2, json!({"bad": 2})));
    assert!(matches!(chance.refuse(RequestId(1), &refusal()), Settlement::Rejected { .. }));
    assert!(quarantined(&chance).is_empty());
    assert_eq!(sent(&mut chance, 2), json!({"bad": 2}));
}

#[test]
fn what_the_hub_shows_already_is_settled_from_the_front() {
    let mut outbox = outbox(&[(1, json!({"a": null})), (2, json!({"a": {"x": 1}}))]);
    let not_all = document(json!({"a": {"x": 1, "old": 2}}));
    assert_eq!(outbox.settle_against(&not_all), []);
    let settled = outbox.settle_against(&document(json!({"b": 1})));
    assert_eq!(settled, [accepted(1, json!({"a": null}))]);
    sent(&mut outbox, 1);
    let shown = document(json!({"a": {"x": 1, "y": 2}}));
    assert_eq!(outbox.settle_against(&shown), [], "in flight");
    outbox.recall();
    assert_eq!(outbox.settle_against(&shown), [accepted(2, json!({"a": {"x": 1}}))]);
    assert!(outbox.is_empty());
}

#[test]
fn what_was_lost_goes_first() {
    let mut outbox = outbox(&[(4, json!({"a": 4, "b": 4}))]);
    sent(&mut outbox, 1);
    outbox.push_front(batch(0, json!({"a": 1})));
    assert_eq!(outbox.in_flight(), None);
    assert_eq!(sent(&mut outbox, 2), json!({"a": 1}));
    assert_eq!(outbox.accept(RequestId(2)), accepted(0, json!({"a": 1})));
    assert_eq!(sent(&mut outbox, 3), json!({"a": 4, "b": 4}));
}

#[test]
fn what_was_lost_twice_goes_as_one_patch() {
    let mut outbox = outbox(&[(5, json!({"b": 4}))]);
    outbox.push_front(batch(0, json!({"b": null, "o": 1})));
    sent(&mut outbox, 1);
    outbox.push_front(batch(0, json!({"a": 3, "b": 4})));
    assert_eq!(sent(&mut outbox, 2), json!({"a": 3, "b": null, "o": 1}));
    assert_eq!(outbox.accept(RequestId(2)), accepted(0, json!({"a": 3, "b": null, "o": 1})));
    assert_eq!(sent(&mut outbox, 3), json!({"b": 4}));
}

#[test]
fn what_was_saved_is_restored() {
    let mut before = outbox(&[(1, json!({"bad": 1}))]);
    sent(&mut before, 1);
    before.refuse(RequestId(1), &refusal());
    before.push(batch(2, json!({"a": null})));
    before.push(batch(3, json!({"a": {"x": 1}})));
    sent(&mut before, 2);
    let after = Outbox::restore(
        before.waiting().cloned().collect(),
        before.quarantined().cloned().collect(),
    );
    assert_eq!(waiting(&after), waiting(&before));
    assert_eq!(quarantined(&after), ["bad"]);
    assert!(!after.is_in_flight());
}

#[test]
fn what_is_restored_merges_so_that_no_older_value_comes_over_a_newer_one() {
    let mut before = outbox(&[(1, json!({"a": 1, "b": 1}))]);
    sent(&mut before, 1);
    before.push(batch(2, json!({"a": null})));
    let saved = |outbox: &Outbox| outbox.waiting().cloned().collect();
    let mut after = Outbox::restore(saved(&before), Vec::new());
    assert_eq!(waiting(&after), [(2, json!({"a": null, "b": 1}))]);
    // The hub had both before the crash.
    let reported = document(json!({"b": 1}));
    assert_eq!(after.settle_against(&reported), [accepted(2, json!({"a": null, "b": 1}))]);
    // What one patch can't say stays apart; all else is said by the later one.
    let mut apart = outbox(&[(1, json!({"a": 1, "b": 1, "o": null}))]);
    sent(&mut apart, 1);
    apart.push(batch(2, json!({"a": 2, "o": {"x": 1}})));
    let after = Outbox::restore(saved(&apart), Vec::new());
    let expected = [(1, json!({"b": 1, "o": null})), (2, json!({"a": 2, "o": {"x": 1}}))];
    assert_eq!(waiting(&after), expected);
    // A third report may leave nothing to say for the first patch.
    apart.push(batch(3, json!({"b": 3, "o": null})));
    let after = Outbox::restore(saved(&apart), Vec::new());
    assert_eq!(waiting(&after), [(3, json!({"a": 2, "b": 3, "o": null}))]);
}

#[test]
fn patches_that_change_nothing_together_are_settled_together() {
    let mut outbox = outbox(&[(1, json!({"o": null})), (2, json!({"o": {"x": 1}}))]);
    outbox.push(batch(3, json!({"o": {"x": 1}})));
    let shown = document(json!({"o": {"x": 1}}));
    let settled = outbox.settle_against(&shown);
    assert_eq!(settled, [accepted(1, json!({"o": null})), accepted(3, json!({"o": {"x": 1}}))]);
    assert!(outbox.is_empty());
}

#[test]
fn answers_are_stripped_from_all_that_waits() {
    let answer = json!({"value": 1, "ac": 200, "av": 3});
    let mut outbox = outbox(&[(1, json!({"temp": answer, "plain": 1}))]);
    sent(&mut outbox, 1);
    outbox.push(batch(2, json!({"temp": answer})));
    outbox.strip_answers(&Document::new());
    assert_eq!(waiting(&outbox), [(1, json!({"plain": 1}))]);
    assert!(!outbox.is_in_flight());
}

#[test]
fn a_piece_of_an_answer_that_is_deleted_later_is_stripped_too() {
    let known = document(json!({"temp": {"value": 1, "ac": 504, "av": 4}}));
    let mut outbox = outbox(&[(0, json!({"temp": {"ac": 200, "av": 5}}))]);
    sent(&mut outbox, 1);
    outbox.push(batch(3, json!({"temp": null, "plain": 1})));
    outbox.strip_answers(&known);
    assert_eq!(waiting(&outbox), [(3, json!({"temp": null, "plain": 1}))]);
}

#[test]
fn a_piece_of_an_answer_is_stripped_like_the_whole() {
    let known = document(json!({
        "temp": {"value": 1, "ac": 200, "av": 3},
        "fan": {"__t": "c", "rpm": 5, "speed": {"value": 1, "ac": 200, "av": 3}},
        "gone": {"value": 1, "ac": 200, "av": 3}
    }));
    let mut outbox = outbox(&[
        (1, json!({"temp": {"value": 2}, "fan": {"speed": {"av": 4}}, "gone": null})),
        (2, json!({"plain": {"value": 2}})),
    ]);
    outbox.strip_answers(&known);
    assert_eq!(waiting(&outbox), [(2, json!({"gone": null, "plain": {"value": 2}}))]);
    let mut mixed = Outbox::default();
    mixed.push(batch(3, json!({"fan": {"rpm": 6, "speed": {"av": 4}}})));
    mixed.strip_answers(&known);
    assert_eq!(waiting(&mixed), [(3, json!({"fan": {"rpm": 6}}))]);
}

const KEYS: [&str; 5] = ["a", "b", "c", "d", "e"];

fn top_key() -> impl Strategy<Value = String> {
    prop::sample::select(KEYS.to_vec()).prop_map(Into::into)
}

fn flat_value() -> impl Strategy<Value = Value> {
    prop_oneof![3 => (0_i64..4).prop_map(Value::from), 1 => Just(Value::Null)]
}

fn deep_value() -> impl Strategy<Value = Value> {
    flat_value().prop_recursive(3, 12, 3, |inner| {
        btree_map(prop::sample::select(vec!["x", "y"]), inner, 0..3)
            .prop_map(|map| map.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
    })
}

fn report(value: impl Strategy<Value = Value>) -> impl Strategy<Value = Document> {
    btree_map(top_key(), value, 1..4).prop_map(|map| map.into_iter().collect())
}

#[derive(Debug, Clone)]
enum Step {
    Report(Document),
    Exchange,
    /// The answer does not come; whether the request did, and whether a fetch follows.
    Lost {
        arrives: bool,
    },
    Restart,
    /// The hub forgets all, and a fetch shows it.
    HubForgets,
}

fn steps(value: impl Strategy<Value = Value> + 'static) -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => report(value).prop_map(Step::Report),
        6 => Just(Step::Exchange),
        2 => any::<bool>().prop_map(|arrives| Step::Lost { arrives }),
        1 => Just(Step::Restart),
        1 => Just(Step::HubForgets),
    ];
    vec_of(step, 0..40)
}

/// A hub that refuses some keys, and what reports should have made of it.
struct Model {
    outbox: Outbox,
    poison: BTreeSet<String>,
    hub: Document,
    /// The good keys after each report; index 0 is before the first.
    history: Vec<Document>,
    next: u64,
}

impl Model {
    fn new(poison: BTreeSet<String>) -> Self {
        let history = vec![Document::new()];
        Self { outbox: Outbox::default(), poison, hub: Document::new(), history, next: 0 }
    }

    fn report(&mut self, patch: Document) {
        let mut state = self.history.last().unwrap().clone();
        merge(&mut state, &patch);
        state.retain(|key, _| !self.poison.contains(key));
        self.history.push(state);
        self.outbox.push(Batch { through: self.history.len() as u64 - 1, patch });
    }

    /// One request to the hub, and its verdict.
    fn request(&mut self) -> Option<(RequestId, bool)> {
        self.next += 1;
        let id = RequestId(self.next);
        let patch = self.outbox.send(id)?;
        let good = patch.keys().all(|key| !self.poison.contains(key));
        if good {
            merge(&mut self.hub, &patch);
        }
        Some((id, good))
    }

    fn exchange(&mut self) -> Option<Settlement> {
        let (id, good) = self.request()?;
        Some(if good { self.outbox.accept(id) } else { self.outbox.refuse(id, &refusal()) })
    }

    fn fetch(&mut self) -> Vec<Settlement> {
        self.outbox.recall();
        self.outbox.settle_against(&self.hub)
    }

    fn step(&mut self, step: Step) -> Vec<Settlement> {
        match step {
            Step::Report(patch) => self.report(patch),
            Step::Exchange => return self.exchange().into_iter().collect(),
            Step::Lost { arrives: true } => {
                self.request();
                return self.fetch();
            }
            Step::Lost { arrives: false } => {
                self.next += 1;
                self.outbox.send(RequestId(self.next));
                return self.fetch();
            }
            Step::Restart => {
                let waiting = self.outbox.waiting().cloned().collect();
                let quarantined = self.outbox.quarantined().cloned().collect();
                self.outbox = Outbox::restore(waiting, quarantined);
            }
            Step::HubForgets => {
                let lost = core::mem::take(&mut self.hub);
                if !lost.is_empty() {
                    self.outbox.push_front(Batch { through: 0, patch: lost });
                }
            }
        }
        Vec::new()
    }
}

fn poison() -> impl Strategy<Value = BTreeSet<String>> {
    btree_set(top_key(), 0..3)
}

proptest! {
    #[test]
    fn all_but_the_poison_arrives(poison in poison(), steps in steps(deep_value())) {
        let mut model = Model::new(poison);
        let mut reported = Document::new();
        for step in steps {
            if let Step::Report(patch) = &step {
                reported.extend(patch.clone());
            }
            model.step(step);
        }
        let mut exchanges = 0;
        while model.exchange().is_some() {
            exchanges += 1;
            prop_assert!(exchanges < 200, "never empty");
        }
        prop_assert_eq!(&model.hub, model.history.last().unwrap());
        // A delete of a key that the hub never took has nothing to do; all else is quarantined.
        let held: BTreeSet<_> = quarantined(&model.outbox).into_iter().collect();
        for (key, last) in reported.iter().filter(|(key, _)| model.poison.contains(*key)) {
            prop_assert!(last.is_null() || held.contains(key.as_str()), "{key}");
        }
        prop_assert!(held.iter().all(|key| model.poison.contains(*key)));
    }

    #[test]
    fn nobody_is_told_of_an_acceptance_too_early(poison in poison(), steps in steps(flat_value())) {
        let mut model = Model::new(poison);
        for step in steps {
            for settlement in model.step(step) {
                if let Settlement::Accepted { through, patch } = settlement {
                    let since = &model.history[usize::try_from(through).unwrap()..];
                    for key in patch.keys() {
                        let held = model.hub.get(key);
                        prop_assert!(
                            since.iter().any(|state| state.get(key) == held),
                            "{key} through {through}: {held:?}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn an_unanswered_outbox_stays_bounded(steps in vec_of(report(deep_value()), 0..60)) {
        let mut model = Model::new(BTreeSet::new());
        for patch in steps {
            model.report(patch);
            prop_assert!(model.outbox.waiting().count() <= 2);
        }
        prop_assert_eq!(&model.outbox.applied_to(&Document::new()), model.history.last().unwrap());
    }
}
