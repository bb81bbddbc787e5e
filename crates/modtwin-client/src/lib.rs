//! Async client of modtwin's local API: one connection a request, one a stream.
//!
//! Owns: how requests are put on the Unix socket, how answers and streams are read within bounds,
//! and how a watch is kept alive across restarts of the daemon ([`Follow`]). Leaves to others: what
//! the values mean (`modtwin-api`), and what to do with them.
//!
//! ```no_run
//! # async fn example() -> Result<(), modtwin_client::ClientError> {
//! use modtwin_client::{Client, WatchOptions};
//!
//! let client = Client::new("/run/modtwin/modtwin.sock");
//! let mut watch = client.watch("thermostat", &WatchOptions::default()).await?;
//! while let Some(event) = watch.next().await? {
//!     println!("{event:?}");
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
pub use follow::{Follow, Followed};
pub use methods::Methods;
pub use watch::{Watch, WatchOptions};
