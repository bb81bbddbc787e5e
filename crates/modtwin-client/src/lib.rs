//! Async client of modtwin's local API: one connection a request, one a stream.
//!
//! Owns: how requests are put on the Unix socket, how answers and streams are read within bounds,
//! and how a watch is kept alive across restarts of the daemon ([`Follow`]). Leaves to others: what
//! the values mean (`modtwin-api`), and what to do with them.
//!
//! A handler: what is there first, then each change, across restarts of the daemon.
//!
//! ```no_run
//! use modtwin_api::AckRequest;
//! use modtwin_client::{Client, Followed, Wait, WatchOptions};
//!
//! # async fn example() -> Result<(), modtwin_client::ClientError> {
//! let client = Client::new("/run/modtwin/modtwin.sock");
//! let mut follow = client.follow("thermostat", WatchOptions::default());
//! while let Some(followed) = follow.next().await? {
//!     let Followed::Event(event) = followed else { continue };
//!     if let Some((revision, desired)) = event.to_apply() {
//!         client.report("thermostat", desired, Wait::Stored).await?;
//!         client.acknowledge("thermostat", &AckRequest::applied(revision)).await?;
//!     }
//! }
//! # Ok(())
//! # }
//! ```

mod client;
mod error;
mod exchange;
mod follow;
mod lines;
mod methods;
mod stream;
mod watch;

pub use client::{Client, Message, Reported, Sent, Wait};
pub use error::ClientError;
pub use follow::{Follow, FollowMethods, Followed};
pub use methods::Methods;
pub use watch::{Watch, WatchOptions};
