//! A handler, as a process of its own: watches one module, reports back what it is asked to echo,
//! and writes on its standard output when it saw what.
//!
//! Times are taken when an event has been read and when the daemon has answered a report; writing
//! them down comes after both.

use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, bail};
use modtwin_api::{DesiredEvent, Event};
use modtwin_client::{Client, Wait, WatchOptions};
use modtwin_testkit::wall::now_us;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The desired property whose value is reported back under the same name.
pub(crate) const ECHO: &str = "echo";
/// The desired property that a burst changes.
pub(crate) const BURST: &str = "burst";
/// The desired property that ends a burst; it is not reported back.
pub(crate) const MARK: &str = "mark";

/// One line of a handler.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "snake_case")]
pub(crate) enum Line {
    /// The watch is open and its snapshot was read.
    Ready,
    /// A change was seen and reported back.
    Echoed {
        /// The value of [`ECHO`].
        value: u64,
        /// When the event was read, in microseconds since 1970.
        seen_us: u64,
        /// When the daemon had answered that the report is durable.
        stored_us: u64,
    },
    /// The last change of a burst was seen.
    Marked {
        /// The value of [`MARK`].
        value: u64,
        /// When the event was read, in microseconds since 1970.
        seen_us: u64,
        /// How many events told of changes of [`BURST`] since the last such line.
        events: u64,
    },
}

/// Handles `module` until the daemon ends the watch.
///
/// # Errors
///
/// Where the daemon can't be reached or refuses.
pub(crate) async fn run(socket: &Path, module: &str) -> anyhow::Result<()> {
    let client = Client::new(socket);
    let mut watch = client.watch(module, &WatchOptions::default()).await?;
    let mut events = 0;
    while let Some(event) = watch.next().await? {
        let seen_us = now_us();
        match event {
            Event::Snapshot(_) => write(&Line::Ready)?,
            Event::Desired(desired) => {
                events += u64::from(desired.patch.contains_key(BURST));
                changed(&client, &desired, seen_us, &mut events).await?;
            }
            Event::Hub(_) | Event::Heartbeat => {}
            Event::Removed { .. } => bail!("module {module} was removed"),
        }
    }
    Ok(())
}

async fn changed(
    client: &Client,
    desired: &DesiredEvent,
    seen_us: u64,
    events: &mut u64,
) -> anyhow::Result<()> {
    if let Some(value) = desired.patch.get(ECHO).and_then(Value::as_u64) {
        let report = Map::from_iter([(ECHO.to_owned(), value.into())]);
        client.report(&desired.module, &report, Wait::Stored).await?;
        write(&Line::Echoed { value, seen_us, stored_us: now_us() })?;
    }
    if let Some(value) = desired.patch.get(MARK).and_then(Value::as_u64) {
        write(&Line::Marked { value, seen_us, events: std::mem::take(events) })?;
    }
    Ok(())
}

fn write(line: &Line) -> anyhow::Result<()> {
    let mut text = serde_json::to_vec(line).context("cannot write a line")?;
    text.push(b'\n');
    let mut out = std::io::stdout().lock();
    out.write_all(&text).and_then(|()| out.flush()).context("cannot write to standard output")
}
