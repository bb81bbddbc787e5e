//! `modtwinctl ack`: says what became of a version.

use modtwin_api::AckRequest;
use modtwin_client::Client;

use crate::cli::Ack;
use crate::failure::Failure;
use crate::output::Output;

/// Acknowledges and prints what was said.
pub(crate) async fn run(client: &Client, args: Ack, output: &Output) -> Result<(), Failure> {
    let ack = AckRequest {
        version: args.version,
        generation: args.generation,
        status: args.status,
        description: args.description,
        handler: args.handler,
        paths: Vec::new(),
    };
    client.acknowledge(&args.module, &ack).await?;
    output.either(&ack, |ack| {
        let what = if ack.status < 300 { "applied" } else { "refused" };
        format!("version {} is on record as {what} ({})", ack.version, ack.status)
    })
}
