//! The simulations' command line. Started by `cargo xtask simulate` and `cargo xtask fleet`, which
//! build it with optimisation and the checks of a debug build.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use modtwin_sim::campaign::{Campaign, Report, run as run_campaign};
use modtwin_sim::chance::Strike;
use modtwin_sim::fleet::page::{self, CLIENTS, COMPARED, FLEETS, OUTAGES, Page, row, table};
use modtwin_sim::history::live;
use modtwin_sim::mutations::{Copy, MUTATIONS, Mutation};
use modtwin_sim::plan::Cut;
use modtwin_sim::shrink::shrink;
use modtwin_sim::terminal;

/// The real core in virtual time.
#[derive(Debug, Parser)]
#[command(name = "modtwin-sim", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Live through seeded histories of faults and check every step against the promises.
    Simulate(Simulate),
    /// Let whole fleets of gateways return after an outage of their hub.
    Fleet(Fleet),
}

#[derive(Debug, Args)]
struct Fleet {
    /// Put the tables between the markers of this page.
    #[arg(long, value_name = "PAGE")]
    write: Option<PathBuf>,
    /// Only fleets of so many gateways.
    #[arg(long)]
    gateways: Option<usize>,
    /// Simulate every gateway, where the page would take one in ten or fifty.
    #[arg(long)]
    whole: bool,
    /// Print the rows as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct Simulate {
    /// How many histories.
    #[arg(long, default_value_t = 20_000)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Only this history.
    #[arg(long, conflicts_with_all = ["seeds", "from"])]
    seed: Option<u64>,
    /// Print what happens in it.
    #[arg(long, requires = "seed")]
    trace: bool,
    /// Faults end after so many minutes of virtual time.
    #[arg(long)]
    minutes: Option<u64>,
    /// Only these actions of the history, by number.
    #[arg(long, value_delimiter = ',', num_args = 0.., requires = "seed")]
    actions: Option<Vec<u32>>,
    /// Only these faults strike, as `KIND:NUMBER`.
    #[arg(long, value_delimiter = ',', num_args = 0.., requires = "seed")]
    strikes: Option<Vec<Strike>>,
    /// Plant bugs in a copy of the core, one at a time, and show that each is found.
    #[arg(long, conflicts_with_all = ["from", "seed", "minutes"])]
    mutations: bool,
    /// Only these of them.
    #[arg(long, value_name = "NAME", requires = "mutations")]
    only: Vec<String>,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Simulate(arguments) => simulate(&arguments),
        Command::Fleet(arguments) => fleets(&arguments),
    };
    outcome.unwrap_or_else(|error| {
        terminal::problem(&format!("{error:#}"));
        ExitCode::FAILURE
    })
}

fn simulate(arguments: &Simulate) -> anyhow::Result<ExitCode> {
    if arguments.mutations {
        return plant(arguments);
    }
    let cut = Cut {
        until_ms: arguments.minutes.map(|minutes| minutes.saturating_mul(60_000)),
        actions: arguments.actions.as_ref().map(|some| some.iter().copied().collect()),
        strikes: arguments.strikes.as_ref().map(|some| some.iter().copied().collect()),
    };
    if let (Some(seed), true) = (arguments.seed, arguments.trace) {
        return Ok(trace(seed, &cut));
    }
    let (from, seeds) = arguments.seed.map_or((arguments.from, arguments.seeds), |seed| (seed, 1));
    let shows_progress = terminal::is_watched();
    let campaign = Campaign { from, seeds, cut: cut.clone(), shows_progress };
    let report = run_campaign(&campaign);
    print(&report, arguments.json)?;
    match report.broken {
        Some(seed) => {
            explain(seed, &cut, arguments.minutes);
            Ok(ExitCode::FAILURE)
        }
        None => Ok(ExitCode::SUCCESS),
    }
}

/// Lets the fleets return, one after the other.
fn fleets(arguments: &Fleet) -> anyhow::Result<ExitCode> {
    // A page that can't be written is found out before the long part.
    let page = arguments.write.as_deref().map(Page::find).transpose()?;
    let chosen = |fleet: &&page::Fleet| arguments.gateways.is_none_or(|n| n == fleet.gateways);
    let (mut outages, mut clients) = (Vec::new(), Vec::new());
    for fleet in FLEETS.iter().filter(chosen) {
        let scale = if arguments.whole { 1 } else { fleet.scale };
        let fleet = page::Fleet { scale, ..*fleet };
        for outage in OUTAGES {
            terminal::step(&format!(
                "{} gateways, {}, {}",
                fleet.gateways, fleet.tier.name, outage.1
            ));
            let modtwin = CLIENTS.iter().take(1).map(|client| row(&fleet, outage, *client));
            outages.extend(modtwin);
            if outage.1 == COMPARED {
                clients.extend(outages.last().cloned());
                let others = CLIENTS.iter().skip(1).map(|client| row(&fleet, outage, *client));
                clients.extend(others);
            }
        }
    }
    if arguments.json {
        let rows = [outages, clients].concat();
        terminal::result(&serde_json::to_string(&rows).context("cannot write the rows")?);
        return Ok(ExitCode::SUCCESS);
    }
    let text = format!(
        "### modtwin, by outage\n\n{}\n### modtwin and others, after {COMPARED}\n\n{}",
        table(&outages),
        table(&clients)
    );
    terminal::result(&text);
    if let Some(page) = page {
        page.write(&text)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Plants one bug after the other.
fn plant(arguments: &Simulate) -> anyhow::Result<ExitCode> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize();
    let copy = Copy::make(&root.context("the checkout that this was built from is gone")?)?;
    let chosen = |mutation: &&Mutation| {
        arguments.only.is_empty() || arguments.only.iter().any(|name| name == mutation.name)
    };
    let mut findings = Vec::new();
    for mutation in MUTATIONS.iter().filter(chosen) {
        let finding = copy.try_out(mutation, arguments.seeds)?;
        if !arguments.json {
            let outcome = match finding.seed {
                Some(seed) => format!("found by seed {seed}: {}", finding.promise),
                None => format!("NOT FOUND in {} histories", arguments.seeds),
            };
            terminal::result(&format!("{:<30} {outcome}\n    {}", finding.name, finding.what));
        }
        findings.push(finding);
    }
    if arguments.json {
        terminal::result(&serde_json::to_string(&findings).context("cannot write the findings")?);
    }
    let found = findings.iter().filter(|finding| finding.seed.is_some()).count();
    terminal::step(&format!("{found} of {} planted bugs found", findings.len()));
    let all = found == findings.len() && found > 0;
    Ok(if all { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print(report: &Report, json: bool) -> anyhow::Result<()> {
    if json {
        let json = serde_json::to_string(report).context("cannot write the report")?;
        terminal::result(&json);
    } else {
        terminal::result(&report.summary());
    }
    Ok(())
}

/// Prints what happens in a history.
fn trace(seed: u64, cut: &Cut) -> ExitCode {
    let outcome = live(seed, cut, true);
    outcome.trace.iter().for_each(|line| terminal::result(line));
    match outcome.broken {
        Some(broken) => {
            terminal::result(&format!("BROKEN {broken}"));
            ExitCode::FAILURE
        }
        None => {
            terminal::result("no promise is broken");
            ExitCode::SUCCESS
        }
    }
}

/// Cuts the history down, and prints the rest and how to see it again.
fn explain(seed: u64, cut: &Cut, minutes: Option<u64>) {
    let Some(broken) = live(seed, cut, false).broken else { return };
    terminal::step(&format!("seed {seed}: {broken}"));
    terminal::step("cutting the history down to what is needed ...");
    let least = shrink(seed, cut, broken.promise);
    let _known_to_break = trace(seed, &least);
    let actions = joined(least.actions.iter().flatten());
    let strikes = joined(least.strikes.iter().flatten());
    let minutes = minutes.map(|minutes| format!(" --minutes {minutes}")).unwrap_or_default();
    terminal::result(&format!(
        "see this again with\n  cargo xtask simulate --seed {seed} --trace{minutes} --actions={actions} --strikes={strikes}\n\
         and the whole history with\n  cargo xtask simulate --seed {seed} --trace{minutes}"
    ));
}

fn joined<T: ToString>(items: impl Iterator<Item = T>) -> String {
    items.map(|item| item.to_string()).collect::<Vec<_>>().join(",")
}
