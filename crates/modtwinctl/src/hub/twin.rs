//! `modtwinctl hub twin`: a module's twin from the back end's side.

use serde_json::{Value, json};

use super::identity;
use super::service::{Call, Service, twin_path};
use crate::cli::hub::{PatchTwin, TwinCommand};
use crate::failure::Failure;
use crate::output::Output;
use crate::report::patch;

pub(super) async fn run(
    service: &mut Service,
    command: &TwinCommand,
    output: &Output,
) -> Result<(), Failure> {
    match command {
        TwinCommand::Show(name) => {
            let path = twin_path(&name.device, &name.module);
            let twin = service.call(Call::get(path)).await?;
            if output.is_json() { output.json(&twin) } else { output.pretty(&twin) }
        }
        TwinCommand::Patch(args) => {
            let document = Value::Object(patch(&args.document)?);
            let body = match args.tags {
                true => json!({ "tags": document }),
                false => json!({"properties": {"desired": document}}),
            };
            let path = twin_path(&args.name.device, &args.name.module);
            let mut call = Call::patch(path, &body);
            if let Some(etag) = &args.if_match {
                call = call.if_match(etag);
            }
            let twin = service.call(call).await?;
            told(&twin, output)
        }
        TwinCommand::Replace(args) => replace(service, args, output).await,
    }
}

/// Replaces one section and leaves the other as it is: a write drops what it does not name.
async fn replace(service: &mut Service, args: &PatchTwin, output: &Output) -> Result<(), Failure> {
    let document = Value::Object(patch(&args.document)?);
    let path = twin_path(&args.name.device, &args.name.module);
    let twin = service.call(Call::get(path.clone())).await?;
    let tags = twin.get("tags").cloned().unwrap_or_else(|| json!({}));
    let mut desired = twin.pointer("/properties/desired").cloned().unwrap_or_else(|| json!({}));
    if let Some(desired) = desired.as_object_mut() {
        desired.retain(|key, _| !key.starts_with('$'));
    }
    let (tags, desired) = if args.tags { (document, desired) } else { (tags, document) };
    let body = json!({"tags": tags, "properties": {"desired": desired}});
    // What was read is what is replaced, or nothing is.
    let read = identity::text(&twin, "/etag").unwrap_or("*");
    let call = Call::put(path, &body).if_match(args.if_match.as_deref().unwrap_or(read));
    let twin = service.call(call).await?;
    told(&twin, output)
}

fn told(twin: &Value, output: &Output) -> Result<(), Failure> {
    output.either(twin, |twin| {
        let version = twin.pointer("/properties/desired/$version").and_then(Value::as_u64);
        let version = version.map_or_else(|| "?".to_owned(), |version| version.to_string());
        let etag = identity::text(twin, "/etag").unwrap_or("?");
        format!("desired version {version}, etag {etag}")
    })
}
