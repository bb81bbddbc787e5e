//! `modtwinctl send`: hands a device-to-cloud message to the daemon.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use modtwin_api::limits::MAX_MESSAGE_BYTES;
use modtwin_api::{MessageSent, MessageStored};
use modtwin_client::{Client, Message, Sent, Wait};

use crate::cli::{Send, WaitFor};
use crate::failure::Failure;
use crate::output::Output;

/// Sends and says how far the message came.
pub(crate) async fn run(client: &Client, args: Send, output: &Output) -> Result<(), Failure> {
    let message = Message {
        payload: payload(&args.file)?,
        content_type: args.content_type,
        content_encoding: args.content_encoding,
        message_id: args.message_id,
        correlation_id: args.correlation_id,
        properties: args.properties,
    };
    let wait = match args.wait {
        WaitFor::Stored => Wait::Stored,
        WaitFor::Hub => Wait::Hub { timeout: args.timeout },
    };
    match client.send(&args.module, &message, wait).await? {
        Sent::Confirmed => {
            output.either(&MessageSent { sent: true }, |_| "confirmed by the hub".to_owned())
        }
        Sent::Stored => output
            .either(&MessageStored { stored: true }, |_| "stored, will reach the hub".to_owned()),
    }
}

fn payload(file: &Path) -> Result<Vec<u8>, Failure> {
    if file == Path::new("-") {
        return read(io::stdin(), "standard input");
    }
    let name = format!("`{}`", file.display());
    let opened = File::open(file);
    read(opened.map_err(|error| Failure::failed(format!("cannot open {name}: {error}")))?, &name)
}

/// Reads everything, but not more than a message can have.
fn read(from: impl Read, name: &str) -> Result<Vec<u8>, Failure> {
    let mut payload = Vec::new();
    let bound = u64::try_from(MAX_MESSAGE_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    from.take(bound)
        .read_to_end(&mut payload)
        .map_err(|error| Failure::failed(format!("cannot read {name}: {error}")))?;
    if payload.len() > MAX_MESSAGE_BYTES {
        let text = format!("expected at most {MAX_MESSAGE_BYTES} bytes in {name}, found more");
        return Err(Failure::failed(text));
    }
    Ok(payload)
}
