//! Meters against the table, and against the clock.

use std::time::Duration;

use proptest::prelude::*;

use super::{Bucket, Meter, Throttle, Tier, Verdict};
use crate::clock::Moment;

const SECOND: u64 = 1_000_000_000;

fn rate(name: &str, units: u32, meter: Meter) -> (u32, u64) {
    let (amount, period) = Tier::new(name, units).expect("a tier").figure(meter).rate(units);
    (amount, period.as_secs())
}

#[test]
fn the_figures_are_those_of_the_table() {
    for (tier, units, meter, expected) in [
        ("f1", 1, Meter::Registry, (100, 60)),
        ("s1", 3, Meter::Registry, (300, 60)),
        ("s2", 1, Meter::Registry, (100, 60)),
        ("S3", 1, Meter::Registry, (5000, 60)),
        ("s1", 1, Meter::Connects, (100, 1)),
        ("s1", 10, Meter::Telemetry, (120, 1)),
        ("s2", 2, Meter::Telemetry, (240, 1)),
        ("s3", 1, Meter::Connects, (6000, 1)),
        ("s1", 200, Meter::TwinReads, (100, 1)),
        ("s2", 20, Meter::TwinReads, (200, 1)),
        ("s3", 2, Meter::TwinReads, (1000, 1)),
        ("f1", 1, Meter::TwinUpdates, (50, 1)),
        ("s2", 20, Meter::TwinUpdates, (100, 1)),
        ("s3", 1, Meter::TwinUpdates, (250, 1)),
        ("s1", 2, Meter::MethodBytes, (320 * 1024, 1)),
        ("s3", 1, Meter::MethodBytes, (24 * 1024 * 1024, 1)),
        ("s1", 1, Meter::Queries, (20, 60)),
        ("s3", 1, Meter::Queries, (1000, 60)),
    ] {
        assert_eq!(rate(tier, units, meter), expected, "{tier} {units} {meter:?}");
    }
}

#[test]
fn what_is_no_tier_is_refused() {
    for (name, units, part) in [
        ("b1", 1, "one of f1, s1, s2, s3, found `b1`"),
        ("f1", 2, "expected 1 to 1 units of tier f1, found 2"),
        ("s1", 0, "found 0"),
        ("s3", 11, "1 to 10 units"),
    ] {
        let error = Tier::new(name, units).expect_err("no tier").to_string();
        assert!(error.contains(part), "{error}");
    }
}

fn bucket(name: &str, meter: Meter) -> Bucket {
    Bucket::new(Tier::new(name, 1).expect("a tier").figure(meter), 1)
}

#[test]
fn a_period_passes_at_once_then_requests_wait_then_they_are_refused() {
    let bucket = bucket("s1", Meter::Queries);
    let longest = Duration::from_secs(10);
    for _ in 0..20 {
        assert_eq!(bucket.take(1, 0, longest), Verdict::Pass);
    }
    for turn in 1..=3 {
        assert_eq!(bucket.take(1, 0, longest), Verdict::Wait(Duration::from_secs(3 * turn)));
    }
    assert_eq!(bucket.take(1, 0, longest), Verdict::Refuse);
    assert_eq!(bucket.take(1, 3 * SECOND, longest), Verdict::Wait(Duration::from_secs(9)));
    assert_eq!(bucket.take(1, 1000 * SECOND, longest), Verdict::Pass, "time heals");
}

#[test]
fn the_days_messages_are_counted_in_steps_and_come_back_at_midnight() {
    let throttle = Throttle::new(Some(Tier::new("f1", 1).expect("a tier")), Duration::ZERO);
    let (today, tomorrow) = (moment(86_399), moment(86_400));
    assert!(throttle.count(0, today), "an empty message is one");
    assert!(throttle.count(513, today), "two steps of 512 bytes");
    assert_eq!(throttle.to_json(today)["messages_today"], 3);
    for _ in 0..7997 {
        assert!(throttle.count(512, today));
    }
    assert!(!throttle.count(1, today), "8,000 are spent");
    assert_eq!(throttle.to_json(today)["messages_today"], 8000);
    assert!(throttle.count(1, tomorrow));
    assert_eq!(throttle.to_json(tomorrow)["messages_today"], 1);
}

fn moment(seconds: u64) -> Moment {
    serde_json::from_value((seconds * 10_000_000).into()).expect("a moment")
}

#[test]
fn without_a_tier_everything_passes() {
    let throttle = Throttle::new(None, Duration::ZERO);
    assert!((0..10_000).all(|_| throttle.take(Meter::Connects, 1) == Verdict::Pass));
    assert!(throttle.count(1 << 30, moment(0)));
    assert!(throttle.to_json(moment(0)).is_null());
}

#[test]
fn many_threads_take_no_more_than_there_is() {
    let bucket = bucket("s1", Meter::Connects);
    let passed = std::thread::scope(|scope| {
        let takes = |_| {
            let one = || (0..1000).filter(|_| bucket.take(1, 0, Duration::ZERO) == Verdict::Pass);
            scope.spawn(move || one().count())
        };
        let threads: Vec<_> = (0..4).map(takes).collect();
        threads.into_iter().map(|thread| thread.join().expect("ended")).sum::<usize>()
    });
    assert_eq!(passed, 100);
}

proptest! {
    /// However requests come, in any stretch of time no more are served than the burst and the rate (50 a second) allow.
    #[test]
    fn no_stretch_of_time_serves_more_than_rate_and_burst(
        gaps in prop::collection::vec(0u64..50_000_000, 1..400), amount in 1u32..5
    ) {
        let bucket = bucket("s1", Meter::TwinUpdates);
        let (mut now, mut served) = (0, Vec::new());
        for gap in gaps {
            now += gap;
            match bucket.take(amount, now, Duration::from_secs(2)) {
                Verdict::Pass => served.push(now),
                Verdict::Wait(wait) => served.push(now + u64::try_from(wait.as_nanos()).expect("fits")),
                Verdict::Refuse => {}
            }
        }
        prop_assert!(served.is_sorted());
        for (first, from) in served.iter().enumerate() {
            for (last, until) in served.iter().enumerate().skip(first) {
                let units = (last - first) as u64 * u64::from(amount);
                prop_assert!(units <= 50 + (until - from) / 20_000_000 + u64::from(amount));
            }
        }
    }
}
