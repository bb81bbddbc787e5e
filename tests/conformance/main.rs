//! The conformance suite: one case for every row of the fact sheet's tables that a client can see,
//! named after the row. Its client is the test kit's own and shares no code with the emulator nor
//! with `modtwin-wire`.
//!
//! ```sh
//! cargo test --test conformance -- --list      # the table of contents
//! cargo test --test conformance                # against an emulator of its own for each case
//! MODTWIN_HUB_CONNECTION_STRING='HostName=…;SharedAccessKeyName=iothubowner;SharedAccessKey=…' \
//!     cargo test --test conformance            # against that hub, ports 8883 and 443
//! ```
//!
//! See README.md here for what the kinds in brackets mean, and for the sections without cases.

#![expect(
    clippy::indexing_slicing,
    reason = "indexing a JSON value gives null where nothing is, and a row of bytes has its length in the test"
)]

mod case;
mod certificates;
mod documents;
mod events;
mod facts;
mod methods;
mod quotas;
mod registry;
mod sessions;
mod shared_access;
mod signing;
mod target;
mod transport;
mod twins;
mod world;
mod x509;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};

use crate::case::{Case, Kind};
use crate::target::Target;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let target = match Target::from_environment() {
        Ok(target) => target,
        Err(error) => {
            // Nothing can be judged: say why and fail as a test program does.
            let text = format!("{error:#}");
            let trial = Trial::test("the hub to test", move || Err(Failed::from(text)));
            return libtest_mimic::run(&arguments, vec![trial]).exit_code();
        }
    };
    let trials = facts::all().into_iter().map(|case| trial(case, &target)).collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// A case as the harness runs it. What can't be asked of a real hub is shown as ignored there.
fn trial(case: Case, target: &Target) -> Trial {
    let is_left_out = target.is_real() && case.kind != Kind::Fact;
    let (target, label) = (target.clone(), case.kind.label());
    Trial::test(case.name(), move || case.run(&target).map_err(Failed::from))
        .with_kind(label)
        .with_ignored_flag(is_left_out)
}
