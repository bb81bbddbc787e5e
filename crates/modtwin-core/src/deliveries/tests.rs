//! The queue, step by step and by chance.

use alloc::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);
const SOON: Wish = Wish::Hub(Millis(30_000));

fn empty() -> Deliveries {
    Deliveries::restore([], 0, SECOND, 7)
}

fn live() -> Deliveries {
    let mut deliveries = empty();
    deliveries.handle_live();
    deliveries
}

fn steps(deliveries: &mut Deliveries) -> Vec<Step> {
    core::iter::from_fn(|| deliveries.poll_step()).collect()
}

/// Sends all that may be sent; says which.
fn send(deliveries: &mut Deliveries, now: Millis) -> Vec<u64> {
    let next = || {
        let number = deliveries.next_to_send(now)?;
        deliveries.handle_sent(number);
        Some(number)
    };
    core::iter::from_fn(next).collect()
}

/// Lets the disk write what it was asked to; says what else was asked for.
fn written(deliveries: &mut Deliveries, now: Millis) -> Vec<Step> {
    let mut others = Vec::new();
    while let Some(step) = deliveries.poll_step() {
        match step {
            Step::Write(number) => deliveries.handle_written(now, number, true),
            other => others.push(other),
        }
    }
    others
}

#[test]
fn a_message_on_a_good_link_never_touches_the_disk() {
    let mut deliveries = live();
    assert_eq!(deliveries.push(Millis(0), 10, SOON), Ok(1));
    assert_eq!(send(&mut deliveries, Millis(0)), [1]);
    assert_eq!(steps(&mut deliveries), []);
    deliveries.handle_confirmed(1);
    assert_eq!(steps(&mut deliveries), [Step::Tell(1, Told::Sent)]);
    assert_eq!((deliveries.waiting(), deliveries.bytes()), (0, 0));
}

#[test]
fn without_a_link_a_message_is_stored_and_sent_later() {
    let mut deliveries = empty();
    deliveries.push(Millis(0), 10, SOON).unwrap();
    assert!(send(&mut deliveries, Millis(0)).is_empty());
    assert_eq!(written(&mut deliveries, Millis(0)), [Step::Tell(1, Told::Stored)]);
    deliveries.handle_live();
    assert_eq!(send(&mut deliveries, Millis(1)), [1]);
    deliveries.handle_confirmed(1);
    assert_eq!(steps(&mut deliveries), [Step::Remove(1)]);
}

#[test]
fn a_lost_link_stores_what_it_carried_and_what_waited_behind() {
    let mut deliveries = live();
    for _ in 0..20 {
        deliveries.push(Millis(0), 10, SOON).unwrap();
    }
    assert_eq!(send(&mut deliveries, Millis(0)).len(), 16);
    deliveries.handle_confirmed(1);
    steps(&mut deliveries);
    assert!(!deliveries.handle_lost(Millis(5)));
    let told = written(&mut deliveries, Millis(5));
    assert_eq!(told, (2..=20).map(|n| Step::Tell(n, Told::Stored)).collect::<Vec<_>>());
    assert_eq!(deliveries.waiting(), 19);
}

#[test]
fn a_sender_whose_time_is_over_hears_that_the_message_is_stored() {
    let mut deliveries = live();
    deliveries.push(Millis(0), 10, SOON).unwrap();
    send(&mut deliveries, Millis(0));
    assert_eq!(deliveries.next_deadline(), Some(Millis(30_000)));
    deliveries.handle_timeout(Millis(29_999));
    assert_eq!(steps(&mut deliveries), []);
    deliveries.handle_timeout(Millis(30_000));
    assert_eq!(written(&mut deliveries, Millis(30_000)), [Step::Tell(1, Told::Late)]);
    assert_eq!(deliveries.next_deadline(), None);
    deliveries.handle_confirmed(1);
    assert_eq!(steps(&mut deliveries), [Step::Remove(1)]);
}

#[test]
fn who_wants_the_disk_gets_it_and_the_hub_is_not_waited_for() {
    let mut deliveries = live();
    deliveries.push(Millis(0), 10, Wish::Stored).unwrap();
    assert_eq!(send(&mut deliveries, Millis(0)), [1]);
    assert_eq!(written(&mut deliveries, Millis(0)), [Step::Tell(1, Told::Stored)]);
}

#[test]
fn a_message_confirmed_while_it_is_written_is_removed_after_that() {
    let mut deliveries = live();
    deliveries.push(Millis(0), 10, Wish::Stored).unwrap();
    send(&mut deliveries, Millis(0));
    deliveries.handle_confirmed(1);
    assert_eq!(
        steps(&mut deliveries),
        [Step::Write(1), Step::Tell(1, Told::Sent), Step::Remove(1)]
    );
    deliveries.handle_written(Millis(0), 1, true);
    assert_eq!(steps(&mut deliveries), []);
}

#[test]
fn what_the_disk_does_not_take_is_refused_but_what_the_hub_may_have_waits_for_it() {
    let mut deliveries = empty();
    deliveries.push(Millis(0), 10, SOON).unwrap();
    steps(&mut deliveries);
    deliveries.handle_written(Millis(0), 1, false);
    assert_eq!(steps(&mut deliveries), [Step::Tell(1, Told::NotStored)]);
    assert_eq!(deliveries.waiting(), 0);

    deliveries.push(Millis(0), 10, SOON).unwrap();
    steps(&mut deliveries);
    deliveries.handle_live();
    assert_eq!(send(&mut deliveries, Millis(0)), [2]);
    deliveries.handle_written(Millis(1), 2, false);
    assert_eq!(steps(&mut deliveries), []);
    deliveries.handle_confirmed(2);
    assert_eq!(steps(&mut deliveries), [Step::Tell(2, Told::Sent)]);
}

#[test]
fn a_broken_disk_is_not_asked_again_and_again_once_the_senders_time_is_over() {
    let mut deliveries = live();
    deliveries.push(Millis(0), 10, Wish::Hub(Millis(5))).unwrap();
    send(&mut deliveries, Millis(0));
    deliveries.handle_timeout(Millis(5));
    assert_eq!(steps(&mut deliveries), [Step::Write(1)]);
    deliveries.handle_written(Millis(6), 1, false);
    assert_eq!(steps(&mut deliveries), [Step::Tell(1, Told::NotStored)]);
    assert_eq!(deliveries.next_deadline(), None);
}

#[test]
fn the_queue_has_two_bounds() {
    let mut deliveries = empty();
    for _ in 0..MAX_MESSAGES {
        deliveries.push(Millis(0), 10, SOON).unwrap();
    }
    assert_eq!(deliveries.push(Millis(0), 10, SOON), Err(Full::Messages(MAX_MESSAGES)));
    let mut deliveries = empty();
    deliveries.push(Millis(0), MAX_BYTES - 5, SOON).unwrap();
    assert_eq!(deliveries.push(Millis(0), 6, SOON), Err(Full::Bytes(MAX_BYTES)));
    assert!(deliveries.push(Millis(0), 5, SOON).is_ok());
}

#[test]
fn large_messages_go_few_at_a_time() {
    let mut deliveries = live();
    for _ in 0..8 {
        deliveries.push(Millis(0), 400 * 1024, SOON).unwrap();
    }
    assert_eq!(send(&mut deliveries, Millis(0)), [1, 2]);
    deliveries.handle_confirmed(1);
    assert_eq!(send(&mut deliveries, Millis(0)), [3]);
}

#[test]
fn after_a_loss_those_that_were_under_way_go_one_by_one() {
    let mut deliveries = live();
    for _ in 0..4 {
        deliveries.push(Millis(0), 10, SOON).unwrap();
    }
    assert_eq!(send(&mut deliveries, Millis(0)), [1, 2, 3, 4]);
    deliveries.push(Millis(0), 10, SOON).unwrap();
    deliveries.handle_lost(Millis(0));
    deliveries.handle_live();
    let later = Millis(60_000);
    deliveries.handle_timeout(later);
    for number in 1..=3 {
        assert_eq!(send(&mut deliveries, later), [number]);
        deliveries.handle_confirmed(number);
    }
    assert_eq!(send(&mut deliveries, later), [4]);
    deliveries.handle_confirmed(4);
    deliveries.push(later, 10, SOON).unwrap();
    assert_eq!(send(&mut deliveries, later), [5, 6]);
}

#[test]
fn a_message_that_breaks_every_link_is_set_aside_and_the_rest_goes_through() {
    let mut deliveries = live();
    let mut now = Millis(0);
    for _ in 0..3 {
        deliveries.push(now, 10, SOON).unwrap();
    }
    let mut breaks = 0;
    let mut told = Vec::new();
    while deliveries.waiting() > 0 {
        let under_way = send(&mut deliveries, now);
        if under_way.contains(&1) {
            breaks += 1;
            assert_eq!(deliveries.handle_lost(now), breaks > 1);
            deliveries.handle_live();
        } else {
            under_way.into_iter().for_each(|number| deliveries.handle_confirmed(number));
        }
        told.extend(written(&mut deliveries, now));
        let Some(next) = deliveries.next_deadline() else { continue };
        now = now.max(next);
        deliveries.handle_timeout(now);
    }
    assert_eq!(breaks, MAX_BREAKS);
    assert_eq!(told.iter().filter(|step| **step == Step::SetAside(1)).count(), 1);
    for number in [2, 3] {
        assert!(told.contains(&Step::Remove(number)), "{told:?}");
    }
    assert!(now > Millis(70_000), "the hub has to be spared: {now:?}");
    assert!(now < Millis(600_000), "the rest was held up for too long: {now:?}");
}

#[test]
fn while_the_hub_is_spared_messages_are_stored_and_none_is_sent() {
    let mut deliveries = live();
    deliveries.push(Millis(0), 10, SOON).unwrap();
    for _ in 0..2 {
        send(&mut deliveries, Millis(10_000));
        deliveries.handle_lost(Millis(10_000));
        deliveries.handle_live();
        written(&mut deliveries, Millis(10_000));
        deliveries.handle_timeout(Millis(15_000));
    }
    deliveries.push(Millis(15_000), 10, SOON).unwrap();
    assert_eq!(written(&mut deliveries, Millis(15_000)), [Step::Tell(2, Told::Stored)]);
}

#[test]
fn a_link_given_up_on_this_side_blames_no_message() {
    let mut deliveries = live();
    let mut now = Millis(0);
    deliveries.push(now, 10, SOON).unwrap();
    for _ in 0..3 * MAX_BREAKS {
        assert_eq!(send(&mut deliveries, now), [1]);
        deliveries.handle_parted();
        deliveries.handle_live();
        now = now + SECOND;
    }
    assert!(!steps(&mut deliveries).contains(&Step::SetAside(1)));
}

#[test]
fn numbers_go_on_after_a_restart() {
    let mut deliveries = Deliveries::restore([(4, 10), (7, 20)], 9, SECOND, 7);
    assert_eq!((deliveries.waiting(), deliveries.bytes()), (2, 30));
    assert_eq!(deliveries.push(Millis(0), 1, SOON), Ok(10));
    deliveries.handle_live();
    assert_eq!(send(&mut deliveries, Millis(0)), [4, 7, 10]);
}

/// What can happen to a queue.
#[derive(Debug, Clone)]
enum Happening {
    Push(bool),
    Live,
    Lost,
    Parted,
    Confirm,
    Write(bool),
    Wait(u64),
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        4 => any::<bool>().prop_map(Happening::Push),
        2 => Just(Happening::Live),
        1 => Just(Happening::Lost),
        1 => Just(Happening::Parted),
        4 => Just(Happening::Confirm),
        3 => prop::bool::weighted(0.8).prop_map(Happening::Write),
        2 => (0_u64..40_000).prop_map(Happening::Wait),
    ]
}

/// A queue with its disk and its hub, which notes what becomes of each message.
struct World {
    deliveries: Deliveries,
    now: Millis,
    to_write: VecDeque<u64>,
    on_disk: BTreeSet<u64>,
    pushed: BTreeSet<u64>,
    told: BTreeSet<u64>,
    promised: BTreeSet<u64>,
    arrived: BTreeSet<u64>,
    aside: BTreeSet<u64>,
    under_way: VecDeque<u64>,
}

impl World {
    fn happen(&mut self, happening: &Happening) {
        match happening {
            Happening::Push(stored) => {
                let due = Wish::Hub(self.now + Duration::from_secs(20));
                let wish = if *stored { Wish::Stored } else { due };
                self.pushed.insert(self.deliveries.push(self.now, 10, wish).unwrap());
            }
            Happening::Live => self.deliveries.handle_live(),
            Happening::Lost => {
                self.deliveries.handle_lost(self.now);
                self.under_way.clear();
            }
            Happening::Parted => {
                self.deliveries.handle_parted();
                self.under_way.clear();
            }
            Happening::Confirm => {
                if let Some(number) = self.under_way.pop_front() {
                    self.arrived.insert(number);
                    self.deliveries.handle_confirmed(number);
                }
            }
            Happening::Write(good) => {
                if let Some(number) = self.to_write.pop_front() {
                    if *good {
                        self.on_disk.insert(number);
                    }
                    self.deliveries.handle_written(self.now, number, *good);
                }
            }
            Happening::Wait(ms) => self.now = self.now + Duration::from_millis(*ms),
        }
        self.deliveries.handle_timeout(self.now);
        self.settle();
    }

    fn settle(&mut self) {
        while let Some(step) = self.deliveries.poll_step() {
            match step {
                Step::Write(number) => self.to_write.push_back(number),
                Step::Remove(number) => {
                    assert!(self.arrived.contains(&number), "{number} is nowhere any more");
                    self.on_disk.remove(&number);
                }
                Step::SetAside(number) => {
                    self.aside.insert(number);
                }
                Step::Tell(number, told) => {
                    assert!(self.told.insert(number), "{number} was told twice");
                    match told {
                        Told::Stored | Told::Late => {
                            self.promised.insert(number);
                        }
                        Told::Sent | Told::NotStored => {}
                    }
                }
            }
        }
        for number in send(&mut self.deliveries, self.now) {
            assert!(self.under_way.back().is_none_or(|last| *last < number), "out of order");
            self.under_way.push_back(number);
        }
    }
}

proptest! {
    #[test]
    fn each_sender_is_told_once_and_what_was_promised_arrives_or_is_kept_aside(
        happenings in prop::collection::vec(happening(), 1..200)
    ) {
        let mut world = World {
            deliveries: empty(),
            now: Millis(0),
            to_write: VecDeque::new(),
            on_disk: BTreeSet::new(),
            pushed: BTreeSet::new(),
            told: BTreeSet::new(),
            promised: BTreeSet::new(),
            arrived: BTreeSet::new(),
            aside: BTreeSet::new(),
            under_way: VecDeque::new(),
        };
        for happening in &happenings {
            world.happen(happening);
            for number in &world.promised {
                let safe = world.on_disk.contains(number)
                    || world.arrived.contains(number)
                    || world.aside.contains(number);
                prop_assert!(safe, "{number} was promised and is nowhere");
            }
        }
        // In the end the disk and the hub work.
        while !world.to_write.is_empty() {
            world.happen(&Happening::Write(true));
        }
        world.happen(&Happening::Live);
        for _ in 0..2_000 {
            world.happen(&Happening::Confirm);
            world.happen(&Happening::Write(true));
            world.happen(&Happening::Wait(1_000));
        }
        prop_assert_eq!(world.deliveries.waiting(), 0);
        prop_assert_eq!(world.deliveries.bytes(), 0);
        prop_assert_eq!(&world.told, &world.pushed);
        for number in &world.promised {
            prop_assert!(world.arrived.contains(number) || world.aside.contains(number));
        }
    }
}
