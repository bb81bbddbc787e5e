//! The back end: keeps changing desired properties over the service REST API, and remembers what
//! the hub answered. Deleting and creating an identity anew goes through it as well, because
//! nothing else may change that module meanwhile.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use fastrand::Rng;
use modtwin_core::document::Document;
use modtwin_testkit::gateway::DEVICE;
use modtwin_testkit::hub::Hub;
use modtwin_testkit::service::Service;
use modtwin_testkit::wall::now_us;
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

use crate::diary::Outcome;
use crate::leaves::{self, DESIRED, PROBE, Write};
use crate::ledger::Deed;
use crate::wall::Window;

/// The back end, at work until told to stop or dropped.
#[derive(Debug)]
pub(crate) struct BackEnd {
    desks: Vec<Arc<Mutex<Desk>>>,
    workers: Vec<JoinHandle<()>>,
}

/// Everything about one module. The lock is held for a whole request, so that a module's changes
/// come one after the other.
#[derive(Debug)]
struct Desk {
    module: String,
    service: Service,
    number: u64,
    deeds: Vec<Deed>,
    recreated: Vec<Window>,
}

/// What the back end did to one module.
#[derive(Debug, Clone, Default)]
pub(crate) struct Deeds {
    /// The module.
    pub(crate) module: String,
    /// Its changes, in their order.
    pub(crate) deeds: Vec<Deed>,
    /// When its identity was deleted and created anew, or may have been.
    pub(crate) recreated: Vec<Window>,
}

impl BackEnd {
    /// A back end for `modules` of `hub` that does nothing yet.
    ///
    /// # Errors
    ///
    /// Where the hub's connection string can't be read.
    pub(crate) fn new(hub: &Hub, modules: &[String]) -> anyhow::Result<Self> {
        let desk = |module: &String| -> anyhow::Result<_> {
            let (module, service) = (module.clone(), hub.service()?);
            let (deeds, recreated) = (Vec::new(), Vec::new());
            Ok(Arc::new(Mutex::new(Desk { module, service, number: 0, deeds, recreated })))
        };
        let desks = modules.iter().map(desk).collect::<Result<_, _>>()?;
        Ok(Self { desks, workers: Vec::new() })
    }

    /// Begins to change modules at random.
    pub(crate) fn begin(&mut self, seed: u64) {
        for worker in 0..WORKERS {
            let desks = self.desks.clone();
            let mut rng = Rng::with_seed(seed ^ (worker << 40) ^ 0xb4c);
            self.workers.push(tokio::spawn(async move {
                loop {
                    let desk = desks.get(rng.usize(0..desks.len()));
                    if let Some(desk) = desk {
                        desk.lock().await.change_at_random(&mut rng).await;
                    }
                    tokio::time::sleep(Duration::from_millis(rng.u64(PAUSE_MS))).await;
                }
            }));
        }
    }

    /// Ends the changes at random, between two of them.
    pub(crate) async fn stop(&mut self) {
        for worker in self.workers.drain(..) {
            worker.abort();
            // Aborted or not, it is over.
            let _over = worker.await;
        }
    }

    /// Desires `probe` of every module.
    ///
    /// # Errors
    ///
    /// Where the hub does not take it: it must be up.
    pub(crate) async fn probe(&self, probe: u64) -> anyhow::Result<()> {
        for desk in &self.desks {
            let mut desk = desk.lock().await;
            let write = Write { leaf: PROBE.to_owned(), number: Some(probe) };
            let module = desk.module.clone();
            desk.change(vec![write]).await.with_context(|| format!("no probe for {module}"))?;
        }
        Ok(())
    }

    /// Deletes the module at `place` and creates it anew.
    pub(crate) async fn recreate(&self, place: usize) {
        if let Some(desk) = self.desks.get(place) {
            desk.lock().await.recreate().await;
        }
    }

    /// The desired and reported sections of the module at `place`, as the hub has them.
    ///
    /// # Errors
    ///
    /// Where the hub does not say.
    pub(crate) async fn twin(&self, place: usize) -> anyhow::Result<Value> {
        let desk = self.desks.get(place).context("no such module")?;
        let mut desk = desk.lock().await;
        let module = desk.module.clone();
        desk.service.twin(DEVICE, &module).await
    }

    /// How many changes the hub has answered.
    pub(crate) async fn answered(&self) -> usize {
        let mut count = 0;
        for desk in &self.desks {
            let desk = desk.lock().await;
            count += desk.deeds.iter().filter(|deed| deed.outcome.is_promised()).count();
        }
        count
    }

    /// All that was done, by module.
    pub(crate) async fn deeds(&self) -> Vec<Deeds> {
        let mut all = Vec::new();
        for desk in &self.desks {
            let Desk { module, deeds, recreated, .. } = &*desk.lock().await;
            let (deeds, recreated) = (deeds.clone(), recreated.clone());
            all.push(Deeds { module: module.clone(), deeds, recreated });
        }
        all
    }
}

impl Drop for BackEnd {
    fn drop(&mut self) {
        self.workers.iter().for_each(JoinHandle::abort);
    }
}

impl Desk {
    async fn change_at_random(&mut self, rng: &mut Rng) {
        self.number += 1;
        let writes = leaves::make_up(&DESIRED, self.number, rng);
        // The outcome is in the deeds, whatever it is.
        let _noted = self.change(writes).await;
    }

    /// Writes the deed down before it is tried: if this is dropped on the way, its outcome stays
    /// unknown, as it is.
    async fn change(&mut self, writes: Vec<Write>) -> anyhow::Result<()> {
        let desired = Value::Object(leaves::patch(&writes, &DESIRED));
        self.deeds.push(Deed::asked(now_us(), writes));
        let answer = self.service.change_desired(DEVICE, &self.module, desired).await;
        if let (Ok(version), Some(deed)) = (&answer, self.deeds.last_mut()) {
            deed.answered = Some(now_us());
            deed.outcome = Outcome::Accepted { version: *version };
        }
        answer.map(|_version| ())
    }

    /// A new identity has no desired properties: that counts as a deed which deletes all of them.
    async fn recreate(&mut self) {
        let begin = now_us();
        let all = DESIRED.map(|leaf| Write { leaf: leaf.to_owned(), number: None });
        self.deeds.push(Deed::asked(begin, all.into()));
        // Until it is known to be over it may happen at any time.
        self.recreated.push(Window { begin, end: u64::MAX });
        let fault = json!({"kind": "recreate", "device": DEVICE, "module": self.module});
        let answer = self.service.fault(fault).await;
        if let (Ok(_), Some(deed)) = (&answer, self.deeds.last_mut()) {
            deed.answered = Some(now_us());
            // The version that a new identity begins with.
            deed.outcome = Outcome::Accepted { version: 1 };
        }
        // An unanswered one has happened or not once the hub answers anything.
        while answer.is_err() && self.service.twin(DEVICE, &self.module).await.is_err() {
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
        if let Some(window) = self.recreated.last_mut() {
            window.end = now_us();
        }
    }
}

/// A section of a twin without what the hub adds, and its version.
pub(crate) fn section(twin: &Value, name: &str) -> anyhow::Result<(Document, u64)> {
    let section = twin.pointer(&format!("/properties/{name}")).and_then(Value::as_object);
    let mut section = section.with_context(|| format!("a twin without {name}"))?.clone();
    let version = section.get("$version").and_then(Value::as_u64);
    section.retain(|key, _| !key.starts_with('$'));
    Ok((section, version.with_context(|| format!("{name} without a version"))?))
}

/// How many changes are under way at once.
const WORKERS: u64 = 3;
/// Between two changes of one worker.
const PAUSE_MS: std::ops::Range<u64> = 20..200;
const BETWEEN_LOOKS: Duration = Duration::from_millis(20);
