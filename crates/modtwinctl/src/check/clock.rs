//! Whether the wall clock can be right: the daemon's own evidence, looked at with or without it.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use modtwin_api::Status;
use modtwin_core::time::{CLOCK_SLACK, MADE};
use modtwin_credentials::Date;

use super::findings::Verdict;

/// Where the daemon keeps a time at which the hub was reached.
const CLOCK_FILE: &str = "clock.json";

/// Judges the clock by what the program, the state directory and the daemon know.
pub(super) fn judge(now: SystemTime, directory: Option<&Path>, status: Option<&Status>) -> Verdict {
    let next = "set it: timedatectl; see whether time synchronisation runs";
    if now < UNIX_EPOCH + MADE {
        let (now, made) = (Date(now), Date(UNIX_EPOCH + MADE));
        let text = format!("the clock says {now}, and this program was made after {made}");
        return Verdict::failed(text).next(next);
    }
    let file = directory.map(|directory| directory.join(CLOCK_FILE));
    if let Some(file) = file
        && let Some(kept) = kept(&file)
        && now + CLOCK_SLACK < kept
    {
        let (now, kept) = (Date(now), Date(kept));
        let text = format!("the clock says {now}, and it was {kept} when the hub was last reached");
        let next = format!("{next}; or delete `{}` if that time was wrong", file.display());
        return Verdict::failed(text).next(next);
    }
    match status.and_then(|status| status.clock.as_ref()?.problem.as_deref()) {
        Some(problem) => Verdict::failed(problem).next(next),
        None => Verdict::ok(format!("nothing speaks against {}", Date(now))),
    }
}

/// The time that the daemon keeps; none where nothing readable is kept.
fn kept(file: &Path) -> Option<SystemTime> {
    let kept: serde_json::Value = serde_json::from_slice(&std::fs::read(file).ok()?).ok()?;
    let reached = Duration::from_millis(kept.get("reached_ms")?.as_u64()?);
    UNIX_EPOCH.checked_add(reached)
}
