//! `modtwinctl hub apply`: creates what configs or lists name and the hub does not have.
//!
//! Owns the order: read, compare with the registry, show, ask, do. The registry itself remembers
//! how far a run came, so that the same command goes on after a cut.

mod pace;
mod plan;
mod source;
mod work;

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use crate::cli::hub::Apply;
use crate::failure::Failure;
use crate::output::Output;

use super::service::Service;
use pace::Paced;
use plan::Plan;

/// Reads, compares, shows, asks, and does it.
pub(super) async fn run(
    service: &mut Service,
    args: &Apply,
    output: &Output,
) -> Result<(), Failure> {
    let wanted = source::read(&args.sources, args.x509, service.host())?;
    let mut hub = Paced::new(service, args.rate);
    let plan = Plan::survey(&mut hub, wanted).await?;
    if args.dry_run {
        return output.either(&plan, |plan| plan.to_string());
    }
    if !output.is_json() {
        output.line(plan.to_string())?;
    }
    if plan.is_done() {
        return if output.is_json() { output.json(&work::Outcome::of(&plan)) } else { Ok(()) };
    }
    if !args.yes {
        confirm(plan.calls(), args.rate)?;
    }
    let outcome = work::carry_out(&mut hub, plan).await?;
    output.either(&outcome, ToString::to_string)?;
    outcome.verdict()
}

/// Asks a person whether to go on.
fn confirm(calls: usize, rate: u32) -> Result<(), Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::usage("nothing was done: nobody is there to ask, give --yes"));
    }
    let took = pace::shown_time(calls, rate);
    // Without standard error there is nobody to ask, and the answer will be none.
    let _unheard = write!(std::io::stderr(), "{calls} calls, about {took}; go on? [y/N] ");
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    match (read, answer.trim()) {
        (Ok(_), "y" | "Y" | "yes") => Ok(()),
        _ => Err(Failure::failed("nothing was done")),
    }
}
