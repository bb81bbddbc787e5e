//! What the kernel says of a running process: memory, processor time, how often its threads ran.
//!
//! Facts of proc(5): `smaps_rollup` is the sum over all mappings; `task/TID/schedstat` has
//! nanoseconds on a processor and how often the thread was put on one; `task/TID/status` has its
//! context switches.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use anyhow::Context as _;
use serde::Serialize;

/// The memory of a process, in KiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// Its proportional share: pages that others map too count by their part.
    pub pss_kib: u64,
    /// What only it has, and what would be free without it.
    pub private_kib: u64,
    /// All that is resident, shared or not.
    pub rss_kib: u64,
    /// How many threads it has.
    pub threads: usize,
}

/// What one thread has used since it began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ThreadUse {
    cpu: Duration,
    voluntary: u64,
    involuntary: u64,
}

/// What a process used between two looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Used {
    /// Time on a processor, all threads.
    pub cpu: Duration,
    /// How often a thread gave the processor up because it had to wait: each is a wake-up.
    pub voluntary: u64,
    /// How often one was taken off it.
    pub involuntary: u64,
    /// Threads that ended in between, whose use after the first look is not in here.
    pub threads_gone: usize,
}

/// Reads the memory of `pid`.
///
/// # Errors
///
/// Where the process is gone or belongs to somebody else.
pub fn memory(pid: u32) -> anyhow::Result<Memory> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read `{path}`"))?;
    let threads = thread_ids(pid)?.len();
    let field = |name| number_after(&text, name).with_context(|| format!("`{path}` has no {name}"));
    Ok(Memory {
        pss_kib: field("Pss:")?,
        private_kib: field("Private_Clean:")? + field("Private_Dirty:")?,
        rss_kib: field("Rss:")?,
        threads,
    })
}

/// Counts the files, sockets and pipes that `pid` has open.
///
/// # Errors
///
/// Where the process is gone or belongs to somebody else.
pub fn open_files(pid: u32) -> anyhow::Result<usize> {
    let path = format!("/proc/{pid}/fd");
    let entries = fs::read_dir(&path).with_context(|| format!("cannot read `{path}`"))?;
    Ok(entries.count())
}

/// Reads what every thread of `pid` has used.
///
/// # Errors
///
/// Where the process is gone.
pub fn threads(pid: u32) -> anyhow::Result<BTreeMap<u32, ThreadUse>> {
    let mut all = BTreeMap::new();
    for thread in thread_ids(pid)? {
        // A thread may end between the list and the look.
        if let Some(used) = thread_use(pid, thread) {
            all.insert(thread, used);
        }
    }
    Ok(all)
}

/// What was used between two looks at the threads of one process.
pub fn used(before: &BTreeMap<u32, ThreadUse>, after: &BTreeMap<u32, ThreadUse>) -> Used {
    let mut used = Used { cpu: Duration::ZERO, voluntary: 0, involuntary: 0, threads_gone: 0 };
    for (thread, later) in after {
        let earlier = before.get(thread).copied().unwrap_or_default();
        used.cpu += later.cpu.saturating_sub(earlier.cpu);
        used.voluntary += later.voluntary.saturating_sub(earlier.voluntary);
        used.involuntary += later.involuntary.saturating_sub(earlier.involuntary);
    }
    used.threads_gone = before.keys().filter(|thread| !after.contains_key(thread)).count();
    used
}

/// The processor time of the threads that `pid` has now, to the nanosecond.
///
/// # Errors
///
/// Where the process is gone.
pub fn threads_time(pid: u32) -> anyhow::Result<Duration> {
    Ok(threads(pid)?.values().map(|thread| thread.cpu).sum())
}

/// The processor time of `pid` since it began, threads that have ended included; to 10 ms.
///
/// # Errors
///
/// Where the process is gone.
pub fn processor_time(pid: u32) -> anyhow::Result<Duration> {
    let path = format!("/proc/{pid}/stat");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read `{path}`"))?;
    ticks(&text).map(|ticks| TICK * ticks).with_context(|| format!("`{path}` is not as expected"))
}

/// User and system time of a `stat` line, in clock ticks.
fn ticks(stat: &str) -> Option<u32> {
    // The second field is the program's name in parentheses and may hold anything.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace().skip(11);
    let user: u32 = fields.next()?.parse().ok()?;
    let system: u32 = fields.next()?.parse().ok()?;
    user.checked_add(system)
}

fn thread_ids(pid: u32) -> anyhow::Result<Vec<u32>> {
    let path = format!("/proc/{pid}/task");
    let entries = fs::read_dir(&path).with_context(|| format!("cannot read `{path}`"))?;
    Ok(entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect())
}

fn thread_use(pid: u32, thread: u32) -> Option<ThreadUse> {
    let read = |file: &str| fs::read_to_string(format!("/proc/{pid}/task/{thread}/{file}")).ok();
    let schedstat = read("schedstat")?;
    let mut fields = schedstat.split_ascii_whitespace().map(|field| field.parse::<u64>().ok());
    let cpu = Duration::from_nanos(fields.next()??);
    let status = read("status")?;
    Some(ThreadUse {
        cpu,
        voluntary: number_after(&status, "\nvoluntary_ctxt_switches:")?,
        involuntary: number_after(&status, "nonvoluntary_ctxt_switches:")?,
    })
}

fn number_after(text: &str, name: &str) -> Option<u64> {
    let (_, rest) = text.split_once(name)?;
    rest.split_ascii_whitespace().next()?.parse().ok()
}

/// One clock tick of `/proc/PID/stat`: `USER_HZ` is 100 on every architecture that Rust's Linux
/// targets run on but Alpha and Itanium.
const TICK: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_process_can_be_read() {
        let own = std::process::id();
        let memory = memory(own).unwrap();
        assert!(memory.pss_kib > 100 && memory.pss_kib <= memory.rss_kib, "{memory:?}");
        assert!(memory.private_kib <= memory.rss_kib && memory.threads >= 1, "{memory:?}");
        assert!(!threads(own).unwrap().is_empty() && open_files(own).unwrap() >= 3);
        assert!(processor_time(own).unwrap() < Duration::from_secs(3600));
    }

    #[test]
    fn a_process_that_is_gone_is_an_error() {
        // Above the largest process id there can be (2^22).
        assert!(memory(5_000_000).is_err());
        assert!(threads(5_000_000).is_err());
    }

    #[test]
    fn a_program_name_with_a_parenthesis_does_not_confuse() {
        let stat = "12 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 70 30 0 0 20 0";
        assert_eq!(ticks(stat), Some(100));
        assert_eq!(ticks("12 (a"), None);
    }

    #[test]
    fn switches_are_told_apart() {
        let status = "Name:\tx\nvoluntary_ctxt_switches:\t5\nnonvoluntary_ctxt_switches:\t7\n";
        assert_eq!(number_after(status, "\nvoluntary_ctxt_switches:"), Some(5));
        assert_eq!(number_after(status, "nonvoluntary_ctxt_switches:"), Some(7));
    }

    #[test]
    fn use_is_counted_for_threads_that_stay_and_that_came() {
        let thread = |cpu, voluntary| ThreadUse {
            cpu: Duration::from_millis(cpu),
            voluntary,
            ..ThreadUse::default()
        };
        let before = BTreeMap::from([(1, thread(10, 5)), (2, thread(10, 5))]);
        let after = BTreeMap::from([(1, thread(15, 8)), (3, thread(2, 1))]);
        let used = used(&before, &after);
        assert_eq!((used.cpu, used.voluntary), (Duration::from_millis(7), 4));
        assert_eq!(used.threads_gone, 1);
    }
}
