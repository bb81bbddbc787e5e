//! Waiting for a condition: look, look again, and give up at a deadline with words that help.

use std::time::{Duration, Instant};

use anyhow::bail;

/// How long to wait for what takes a few seconds when all is well: the longest backoff after a
/// short outage, with room.
pub const LONG: Duration = Duration::from_secs(40);

/// How long to wait between two looks. Short beside what the story measures in seconds; what it
/// measures in milliseconds is timed by events, not by looking.
const BETWEEN_LOOKS: Duration = Duration::from_millis(20);

/// What one look found.
#[derive(Debug)]
pub enum Look<T> {
    /// It is there.
    Found(T),
    /// Not yet, and what is there instead.
    NotYet(String),
}

/// Looks until something is there, and returns it.
///
/// # Errors
/// A look failed, or nothing was there in time: the text says what was waited for and what was seen last.
pub async fn until<T>(
    awaited: &str,
    limit: Duration,
    mut look: impl AsyncFnMut() -> anyhow::Result<Look<T>>,
) -> anyhow::Result<T> {
    let began = Instant::now();
    loop {
        let seen = match look().await? {
            Look::Found(value) => return Ok(value),
            Look::NotYet(seen) => seen,
        };
        if began.elapsed() >= limit {
            bail!("waited {} s for {awaited}; seen last: {seen}", limit.as_secs());
        }
        tokio::time::sleep(BETWEEN_LOOKS).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run<T>(future: impl Future<Output = T>) -> T {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.enable_all().build().unwrap().block_on(future)
    }

    #[test]
    fn what_comes_after_some_looks_is_found() {
        let mut looks = 0;
        let found = run(until("the third look", Duration::from_secs(10), async || {
            looks += 1;
            Ok(if looks == 3 { Look::Found(looks) } else { Look::NotYet(String::new()) })
        }));
        assert_eq!(found.unwrap(), 3);
    }

    #[test]
    fn what_never_comes_is_named_with_what_was_seen_instead() {
        let found =
            run(until::<()>("rain", Duration::ZERO, async || Ok(Look::NotYet("sun".to_owned()))));
        assert_eq!(found.unwrap_err().to_string(), "waited 0 s for rain; seen last: sun");
    }
}
