//! Promise 3: a slow reader is told less often, not later and later, and holds up nobody.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use modtwin_testkit::raw;
use modtwin_testkit::stage::Stage;
use serde_json::{Value, json};

use crate::{MODTWIND, Story};

const M: &str = "m01";

/// What the process holds in memory now, in KiB (proc(5), `VmRSS`).
fn resident_kib(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse().unwrap()
}

/// A watch whose reader has not read anything yet.
fn watch_unread(stage: &Stage) -> anyhow::Result<UnixStream> {
    let mut stream = raw::connect(&stage.gateway.socket())?;
    let target = format!("/v1/modules/{M}/watch");
    stream.write_all(format!("GET {target} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes())?;
    Ok(stream)
}

/// A value of some size, different each time.
fn big(n: u64) -> Value {
    let text = format!("{n:08}").repeat(400);
    json!({"n": n, "a": text, "b": text, "c": text, "d": text, "e": text})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_that_never_read_hold_up_nobody_and_cost_little() -> Story {
    const READERS: usize = 40;
    const CHANGES: u64 = 300;
    let mut stage = Stage::start(MODTWIND, 1).await?;
    let pid = stage.daemon()?.pid();
    let mut spectator = stage.watch(M).await?;
    // Without them first, so that there is something to compare with.
    let mut alone = Vec::new();
    for n in 0..60 {
        let began = Instant::now();
        let version = stage.change(M, big(n)).await?;
        spectator.wait_version(version).await?;
        alone.push(began.elapsed());
    }
    let mut sleepers = Vec::new();
    for _ in 0..READERS {
        sleepers.push(watch_unread(&stage)?);
    }
    let before = resident_kib(pid);
    let mut crowded = Vec::new();
    for n in 0..CHANGES {
        let began = Instant::now();
        let version = stage.change(M, big(1000 + n)).await?;
        spectator.wait_version(version).await?;
        crowded.push(began.elapsed());
    }
    let after = resident_kib(pid);
    alone.sort();
    crowded.sort();
    let (alone, crowded) = (alone[alone.len() / 2], crowded[crowded.len() / 2]);
    assert!(
        crowded < alone * 5 + Duration::from_millis(50),
        "median {alone:?} without and {crowded:?} with readers that sleep"
    );
    // 300 changes of 16 KiB for 40 readers are 190 MiB; one document each is below one.
    assert!(after < before + 24 * 1024, "{before} KiB grew to {after} KiB");

    // Whoever wakes hears the newest version, in few events, each higher than the last.
    let newest = spectator.look(|seen| seen.version()).unwrap();
    let sleeper = sleepers.swap_remove(0);
    let (versions, last) =
        tokio::task::spawn_blocking(move || read_until(sleeper, newest)).await??;
    assert_eq!(last["desired"]["n"], json!(1000 + CHANGES - 1));
    assert!(versions.windows(2).all(|pair| pair[0] < pair[1]), "{versions:?}");
    assert!(versions.len() < usize::try_from(CHANGES)? / 4, "{} events", versions.len());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn small_changes_do_not_pile_up_for_a_reader_that_sleeps() -> Story {
    const CHANGES: u64 = 200;
    let mut stage = Stage::start(MODTWIND, 1).await?;
    let mut spectator = stage.watch(M).await?;
    let sleeper = watch_unread(&stage)?;
    // All of them together are smaller than what a socket usually takes unread.
    let mut newest = 0;
    for n in 0..CHANGES {
        newest = stage.change(M, json!({"n": n})).await?;
        spectator.wait_version(newest).await?;
    }
    let (versions, last) =
        tokio::task::spawn_blocking(move || read_until(sleeper, newest)).await??;
    assert_eq!(last["desired"], json!({"n": CHANGES - 1}));
    assert!(versions.len() < 20, "told later and later: {versions:?}");
    Ok(())
}

/// The versions told until `newest` comes, and the event that told it.
fn read_until(stream: UnixStream, newest: u64) -> anyhow::Result<(Vec<u64>, Value)> {
    let mut versions = Vec::new();
    for line in BufReader::new(stream).lines() {
        let line = line?;
        // Between the events are HTTP's own lines: head, chunk lengths, empty ones.
        let Ok(event) = serde_json::from_str::<Value>(&line) else { continue };
        let Some(version) = event["version"].as_u64() else { continue };
        versions.push(version);
        if version == newest {
            return Ok((versions, event));
        }
    }
    anyhow::bail!("the stream ended at {:?}", versions.last())
}

#[tokio::test]
async fn a_burst_ends_with_the_newest_values_of_every_key() -> Story {
    let mut stage = Stage::start(MODTWIND, 1).await?;
    let mut spectator = stage.watch(M).await?;
    let mut version = 0;
    for n in 0..500 {
        version = stage.change(M, json!({"n": n, format!("k{}", n % 10): n})).await?;
    }
    spectator.wait_version(version).await?;
    spectator.look(|seen| {
        let desired = seen.desired.as_ref().unwrap();
        assert_eq!(desired["n"], json!(499));
        for n in 0..10 {
            assert_eq!(desired[&format!("k{n}")], json!(490 + n));
        }
        assert!(seen.complaints.is_empty());
    });
    Ok(())
}
