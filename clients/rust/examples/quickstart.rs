//! Prints what the hub wants of a module, and tells the hub that it has come.
#![expect(clippy::print_stdout, reason = "what it prints is what it is for")]
use modtwin_api::{Timestamp, limits::DEFAULT_SOCKET};
use modtwin_client::{Client, ClientError, Followed, Wait, WatchOptions};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), ClientError> {
    let module = std::env::args().nth(1).unwrap_or_else(|| "module01".to_owned());
    let client = Client::new(std::env::var("MODTWIN_SOCKET").unwrap_or(DEFAULT_SOCKET.to_owned()));
    let report = async |key: &str| {
        let now = Timestamp::from(std::time::SystemTime::now()).to_string();
        let patch = [(key.to_owned(), now.into())].into_iter().collect();
        client.report(&module, &patch, Wait::Stored).await
    };
    report("DateTimeLastAppLaunch").await?;
    let mut follow = client.follow(&module, WatchOptions::default());
    while let Some(followed) = follow.next().await? {
        let Followed::Event(event) = followed else { continue };
        if let Some(hub) = event.hub() {
            println!("hub {} {}", hub.state, hub.reason);
        }
        if let Some((revision, desired)) = event.to_apply() {
            println!("desired {revision} {}", serde_json::Value::Object(desired.clone()));
            report("DateTimeLastDesiredPropertyChangeReceived").await?;
        }
    }
    Ok(())
}
