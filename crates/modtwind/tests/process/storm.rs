//! Pushes that come faster than they can be taken, many of them broken, disturb nobody.

use std::time::Duration;

use modtwin_testkit::storm::{Plan, storm};

use crate::{MODTWIND, Story};

/// `cargo xtask storm` is the same at length.
#[tokio::test]
async fn a_storm_of_configs_reconnects_only_who_changed_and_ends_with_the_last_one() -> Story {
    let plan = Plan { modules: 20, pushes: 60, lasts: Duration::from_secs(4) };
    let figures = storm(MODTWIND, plan).await?;
    assert!(figures.violations.is_empty(), "{figures:?}");
    assert_eq!((figures.broken, figures.calm_connects), (20, 18), "{figures:?}");
    assert!(figures.restless_connects > 2 && figures.put_in_force > 3, "{figures:?}");
    assert_eq!((figures.reloads_requested, figures.requests_refused), (15, 5), "{figures:?}");
    Ok(())
}
