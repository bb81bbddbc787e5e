//! The complaints that fill the trackers of clients like this one, each as a test that shows that it
//! can't happen here: with the daemon as a process, paho, TLS, and the emulator as the hub.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test says by a panic that it failed"
)]

mod duplicate_and_stale_notification;
mod full_disk;
mod missed_change_after_reconnect;
mod never_recovers;
mod poison_key;
mod recreated_twin;
mod report_lost_after_time_out;
mod silent_merge_away;
mod throttling_loop;
mod two_daemons_with_one_identity;
mod wrong_clock;
mod wrong_owner;

use modtwin_api::AckRequest;
use modtwin_testkit::spectator::Spectator;
use modtwin_testkit::stage::{Stage, object};

/// The daemon under test.
const MODTWIND: &str = env!("CARGO_BIN_EXE_modtwind");

/// The module of most stories.
const M: &str = "m01";

/// Runs a story that may fail with words.
type Story = anyhow::Result<()>;

/// Waits until the stream says what the hub has, and nothing stale is left.
async fn converges(stage: &mut Stage, spectator: &mut Spectator) -> Story {
    let expected = object(stage.at_hub(M, "desired").await?)?;
    spectator.wait_desired(&expected).await?;
    let snapshot = stage.client().snapshot(M).await?;
    assert_eq!(snapshot.desired, Some(expected));
    Ok(())
}

/// A handler's word that it has applied a version.
fn acknowledgement(handler: &str, version: u64, generation: Option<u64>) -> AckRequest {
    AckRequest {
        version,
        generation,
        status: 200,
        description: None,
        handler: Some(handler.to_owned()),
        paths: Vec::new(),
    }
}
