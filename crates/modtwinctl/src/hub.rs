//! `modtwinctl hub`: the service side of a hub, real or emulated, over its REST API.
//!
//! Owns what each command asks for and how it is printed. Where the hub is and what proves the
//! caller's rights is in `access`, the calls are in `service`, what a refusal means is in `refusal`.

mod access;
mod apply;
mod device;
mod identity;
mod method;
mod module;
mod refusal;
mod service;
mod twin;

use crate::cli::hub::{Hub, HubCommand};
use crate::failure::Failure;
use crate::output::Output;

use access::Access;
use service::Service;

/// Runs a command at the hub.
pub(crate) async fn run(args: Hub, output: &Output) -> Result<(), Failure> {
    let access = Access::find(&args.access)?;
    let mut service = Service::new(access)?;
    match args.command {
        HubCommand::Device(command) => device::run(&mut service, &command, output).await,
        HubCommand::Module(command) => module::run(&mut service, &command, output).await,
        HubCommand::Twin(command) => twin::run(&mut service, &command, output).await,
        HubCommand::Method(args) => method::run(&mut service, &args, output).await,
        HubCommand::Apply(args) => Box::pin(apply::run(&mut service, &args, output)).await,
    }
}
