//! Which fleets are looked at, and the page about them.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;

use super::{Client, Habit, Return, Scenario, Tier, simulate};

/// A fleet with the hub that serves it.
#[derive(Debug, Clone, Copy)]
pub struct Fleet {
    /// How many gateways.
    pub gateways: usize,
    /// Its hub.
    pub tier: Tier,
    /// Only one gateway in so many is simulated.
    pub scale: usize,
}

const fn fleet(gateways: usize, scale: usize, tier: (&'static str, f64, f64)) -> Fleet {
    let (name, connects, reads) = tier;
    Fleet { gateways, tier: Tier { name, connects, reads }, scale }
}

/// All of them. Rates: "IoT Hub quotas and throttling", new connections and twin reads.
pub const FLEETS: &[Fleet] = &[
    fleet(200, 1, ("S1, 1 unit", 100.0, 100.0)),
    fleet(200, 1, ("S3, 1 unit", 6_000.0, 500.0)),
    fleet(2_000, 1, ("S1, 1 unit", 100.0, 100.0)),
    fleet(2_000, 1, ("S2, 1 unit", 120.0, 100.0)),
    fleet(2_000, 1, ("S3, 1 unit", 6_000.0, 500.0)),
    fleet(20_000, 10, ("S1, 20 units", 240.0, 100.0)),
    fleet(20_000, 10, ("S2, 20 units", 2_400.0, 200.0)),
    fleet(20_000, 10, ("S3, 1 unit", 6_000.0, 500.0)),
    fleet(100_000, 50, ("S2, 200 units", 24_000.0, 2_000.0)),
    fleet(100_000, 50, ("S3, 10 units", 60_000.0, 5_000.0)),
];

/// How long the hub is away.
pub const OUTAGES: [(Duration, &str); 3] = [
    (Duration::from_secs(60), "1 min"),
    (Duration::from_secs(600), "10 min"),
    (Duration::from_secs(3600), "1 h"),
];

/// The outage after which others are compared.
pub const COMPARED: &str = "10 min";

/// Whom modtwin is compared with.
pub const CLIENTS: [(Client, &str); 7] = [
    (Client::Modtwin, "modtwin"),
    (Client::Plain(Habit::Fixed), "every 10 s"),
    (Client::Plain(Habit::Exponential), "1 s … 60 s doubling, no jitter"),
    (Client::Plain(Habit::Java), "C#, Java client"),
    (Client::Plain(Habit::Node), "Node client"),
    (Client::Plain(Habit::C), "C client"),
    (Client::Plain(Habit::Python), "Python client"),
];

/// One line of a table.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Row {
    /// How many gateways.
    pub gateways: usize,
    /// Their hub.
    pub tier: &'static str,
    /// How long it was away.
    pub outage: &'static str,
    /// Who returned.
    pub client: &'static str,
    /// How.
    #[serde(flatten)]
    pub found: Return,
}

/// Lets one fleet return.
#[must_use]
pub fn row(
    fleet: &Fleet,
    (outage, outage_name): (Duration, &'static str),
    (client, client_name): (Client, &'static str),
) -> Row {
    let Fleet { gateways, tier, scale } = *fleet;
    let found = simulate(&Scenario { gateways, tier, outage, client, scale, seed: 1 });
    Row { gateways, tier: tier.name, outage: outage_name, client: client_name, found }
}

/// A table in Markdown.
#[must_use]
pub fn table(rows: &[Row]) -> String {
    let head = "| gateways | hub | away | client | bound | 50 % | 99 % | 100 % | 99 % / bound | peak connects/s | peak reads/s | refused a module |\n|--:|---|---|---|--:|--:|--:|--:|--:|--:|--:|--:|\n";
    let lines = rows.iter().map(|row| {
        let found = &row.found;
        format!(
            "| {} | {} | {} | {} | {} | {} | {} | {} | {:.2} | {} | {} | {:.1} |\n",
            row.gateways,
            row.tier,
            row.outage,
            row.client,
            seconds(found.bound),
            seconds(found.half),
            seconds(found.most),
            seconds(found.all),
            found.most / found.bound,
            found.peak_connects,
            found.peak_reads,
            found.refused,
        )
    });
    head.to_owned() + &lines.collect::<String>()
}

fn seconds(seconds: f64) -> String {
    if seconds.is_finite() { format!("{seconds:.0} s") } else { "not in time".to_owned() }
}

/// The line after which the tables begin, and the one before which they end.
const MARKERS: (&str, &str) = ("<!-- fleet:begin -->", "<!-- fleet:end -->");

/// A page that had its markers when it was looked at.
#[derive(Debug)]
pub struct Page {
    path: PathBuf,
}

impl Page {
    /// Looks whether tables can be put into the page at `path`.
    ///
    /// # Errors
    ///
    /// Where it can't be read or does not have its markers.
    pub fn find(path: &Path) -> anyhow::Result<Self> {
        let page = Self { path: path.to_owned() };
        page.parts()?;
        Ok(page)
    }

    /// Writes `tables` between the markers.
    ///
    /// # Errors
    ///
    /// Where the page can't be read or written.
    pub fn write(&self, tables: &str) -> anyhow::Result<()> {
        let (before, after) = self.parts()?;
        let (begin, end) = MARKERS;
        fs::write(&self.path, format!("{before}{begin}\n{}\n{end}{after}", tables.trim()))
            .with_context(|| format!("cannot write `{}`", self.path.display()))
    }

    fn parts(&self) -> anyhow::Result<(String, String)> {
        let shown = self.path.display();
        let text =
            fs::read_to_string(&self.path).with_context(|| format!("cannot read `{shown}`"))?;
        let (begin, end) = MARKERS;
        let parts = text.split_once(begin).and_then(|(before, rest)| {
            let (_, after) = rest.split_once(end)?;
            Some((before.to_owned(), after.to_owned()))
        });
        parts.with_context(|| format!("expected `{begin}` before `{end}` in `{shown}`"))
    }
}
