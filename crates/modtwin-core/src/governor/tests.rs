//! The budget by script: who may go when.

use alloc::vec::Vec;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn policy() -> Policy {
    Policy {
        connect_spacing: Duration::from_millis(50),
        operations_per_second: 20,
        retry_base: SECOND,
    }
}

fn governor(seed: u64) -> Governor {
    Governor::new(policy(), Millis(0), seed)
}

/// The moments at which `count` callers get through, all of whom come at `now`.
fn passed(
    mut ask: impl FnMut(Millis) -> Result<(), Millis>,
    mut now: Millis,
    count: usize,
) -> Vec<Millis> {
    let mut moments = Vec::new();
    while moments.len() < count {
        match ask(now) {
            Ok(()) => moments.push(now),
            Err(at) => {
                assert!(at > now, "told to ask again at once");
                now = at;
            }
        }
    }
    moments
}

#[test]
fn connects_ramp_up_as_they_succeed_and_never_two_come_together() {
    for seed in 0..100 {
        let mut governor = governor(seed);
        let mut moments = Vec::new();
        let mut now = Millis(0);
        for _ in 0..20 {
            now = passed(|now| governor.connect(now), now, 1)[0];
            moments.push(now);
            governor.succeeded();
        }
        let gaps: Vec<Duration> = moments.windows(2).map(|pair| pair[1].since(pair[0])).collect();
        assert!(gaps.iter().all(|gap| *gap >= Duration::from_millis(25)), "{gaps:?}");
        assert!(gaps[0] >= Duration::from_millis(100), "{gaps:?}");
        assert!(moments[19] <= Millis(2_000), "{moments:?}");
    }
}

#[test]
fn two_daemons_do_not_connect_in_step() {
    let moments = |seed| {
        let mut governor = governor(seed);
        passed(|now| governor.connect(now), Millis(0), 20)
    };
    assert_ne!(moments(1), moments(2));
}

#[test]
fn a_hub_that_is_gone_is_knocked_at_once_a_second_by_all_modules_together() {
    let mut governor = governor(1);
    for _ in 0..10 {
        governor.failed(Millis(0), Reason::Network);
    }
    let moments = passed(|now| governor.connect(now), Millis(0), 61);
    assert!(moments[60].since(moments[0]) >= SECOND * 50, "{:?}", moments[60]);
    assert!(moments.windows(2).all(|pair| pair[1].since(pair[0]) <= SECOND * 2));
}

#[test]
fn after_an_outage_twenty_modules_are_let_through_within_some_three_seconds() {
    let mut total = Duration::ZERO;
    for seed in 0..100 {
        let mut governor = governor(seed);
        for _ in 0..100 {
            governor.failed(Millis(0), Reason::Network);
        }
        let mut now = Millis(0);
        for _ in 0..20 {
            now = passed(|now| governor.connect(now), now, 1)[0];
            governor.succeeded();
        }
        total += now.since(Millis(0));
    }
    assert!(total / 100 < SECOND * 3, "{:?} in the middle", total / 100);
}

#[test]
fn a_modules_own_bad_credential_slows_nobody() {
    let mut governor = governor(1);
    governor.succeeded();
    governor.succeeded();
    let before = governor.clone();
    for reason in [Reason::BadCredential, Reason::ExpiredCredential, Reason::IdentityConflict] {
        governor.failed(Millis(5), reason);
    }
    assert_eq!((governor.width, governor.rate), (before.width, before.rate));
}

#[test]
fn operations_are_a_burst_and_then_a_rate() {
    let mut governor = governor(1);
    let one = governor.join(Millis(0));
    let moments = passed(|now| governor.operation(now, one), Millis(0), 1_200);
    assert_eq!(moments[999], Millis(0));
    assert_eq!(moments[1_199], Millis(10_000));
}

#[test]
fn a_module_that_floods_finds_the_others_with_a_share_of_their_own() {
    let mut governor = governor(1);
    let members: Vec<Member> = (0..20).map(|_| governor.join(Millis(0))).collect();
    let flood = passed(|now| governor.operation(now, members[0]), Millis(0), 600);
    assert_eq!(flood[524], Millis(0), "the shared bucket and its own");
    assert!(flood[599] >= Millis(7_000), "{:?}", flood[599]);
    let now = flood[599];
    for member in &members[1..] {
        let moments = passed(|now| governor.operation(now, *member), now, 25);
        assert_eq!(moments[24], now, "{member:?}");
    }
    // All together keep to the rate.
    let mut count = 0;
    for ms in 0..100_000 {
        for member in &members {
            count +=
                u32::from(governor.operation(now + Duration::from_millis(ms), *member).is_ok());
        }
    }
    assert!((1_900..=2_000).contains(&count), "{count}");
}

#[test]
fn who_leaves_leaves_its_share_to_the_others() {
    let mut governor = governor(1);
    let (one, other) = (governor.join(Millis(0)), governor.join(Millis(0)));
    governor.leave(Millis(0), other);
    let moments = passed(|now| governor.operation(now, one), Millis(0), 1_000);
    assert!(moments[999] <= Millis(13_000), "{:?}", moments[999]);
    assert!(governor.operation(Millis(20_000), other).is_ok(), "the shared one serves strangers");
}

#[test]
fn throttling_slows_all_and_stops_nobody() {
    let mut governor = governor(1);
    let one = governor.join(Millis(0));
    governor.failed(Millis(0), Reason::Throttled);
    // Those that come with it are the same congestion.
    for _ in 0..19 {
        governor.failed(Millis(100), Reason::Throttled);
    }
    assert_eq!(governor.rate_percent(Millis(100)), 50);
    // Half of what it had of its own may still go at once.
    let moments = passed(|now| governor.operation(now, one), Millis(100), 351);
    assert_eq!(moments[250], Millis(100));
    let took = moments[350].since(moments[250]);
    assert!(took >= SECOND * 9 && took <= SECOND * 11, "{took:?}");
}

#[test]
fn throttling_again_and_again_ends_at_one_in_ten_seconds_and_not_at_none() {
    let mut governor = governor(1);
    let one = governor.join(Millis(0));
    let mut now = Millis(0);
    for _ in 0..100 {
        governor.failed(now, Reason::Throttled);
        now = now + SECOND * 10;
    }
    governor.failed(now, Reason::Throttled);
    let moments = passed(|now| governor.operation(now, one), now, 3);
    assert!(moments[2].since(now) <= SECOND * 20, "{moments:?}");
}

#[test]
fn a_spent_quota_is_asked_rarely_and_comes_back_with_time() {
    let mut governor = governor(1);
    let one = governor.join(Millis(0));
    governor.failed(Millis(0), Reason::Quota);
    assert_eq!(governor.rate_percent(Millis(0)), 0);
    let moments = passed(|now| governor.operation(now, one), Millis(0), 2);
    assert!(moments[1] >= Millis(5_000), "{moments:?}");
    let later = Millis(0) + SECOND * 10 * 17;
    assert_eq!(governor.rate_percent(later), 100);
    assert_eq!(governor.operation(later, one), Ok(()));
}

#[test]
fn a_clock_at_its_end_overflows_nothing() {
    let mut governor = governor(1);
    let one = governor.join(Millis(0));
    governor.failed(Millis(0), Reason::Throttled);
    assert_eq!(governor.operation(Millis(u64::MAX), one), Ok(()));
    assert_eq!(governor.connect(Millis(u64::MAX)), Ok(()));
}

#[test]
fn another_policy_counts_from_now_on() {
    let mut governor = governor(1);
    let one = governor.join(Millis(0));
    let more = Policy { operations_per_second: 1_000, ..policy() };
    governor.set_policy(Millis(0), more);
    assert_eq!(governor.rate_percent(Millis(0)), 100);
    let less = Policy { operations_per_second: 1, ..policy() };
    governor.set_policy(Millis(0), less);
    let moments = passed(|now| governor.operation(now, one), Millis(0), 52);
    assert_eq!(moments[51], Millis(2_000));
}
