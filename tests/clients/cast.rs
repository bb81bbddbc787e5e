//! One driver of each language beside a real daemon and hub, each with a module of its own.

use modtwin_testkit::hub::program;
use modtwin_testkit::patience::{LONG, Look, until};
use modtwin_testkit::stage::{Stage, name, object};
use serde_json::Value;

use crate::Story;
use crate::actor::{Actor, SILENCE};
use crate::languages;

/// The daemon, the hub, and the drivers.
pub(crate) struct Cast {
    pub(crate) stage: Stage,
    pub(crate) actors: Vec<Actor>,
}

impl Cast {
    /// Everybody there, every module connected.
    pub(crate) async fn assemble() -> anyhow::Result<Self> {
        let languages = languages::all();
        let stage = Stage::start(program("modtwind")?, languages.len()).await?;
        Self::beside(stage)
    }

    /// The drivers at a stage that has their modules.
    pub(crate) fn beside(stage: Stage) -> anyhow::Result<Self> {
        Self::of(stage, None)
    }

    /// The same, as processes of that user where one is given.
    pub(crate) fn of(stage: Stage, user: Option<u32>) -> anyhow::Result<Self> {
        let socket = stage.gateway.socket();
        let start = |(n, language): (usize, &languages::Language)| {
            Actor::start(*language, &name(n + 1), &socket, SILENCE, user)
        };
        let actors = languages::all().iter().enumerate().map(start).collect::<Result<_, _>>()?;
        Ok(Self { stage, actors })
    }

    /// Gives each the same line; `{m}` is its module.
    pub(crate) async fn say(&mut self, line: &str) -> Story {
        for actor in &mut self.actors {
            actor.say(line).await?;
        }
        Ok(())
    }

    /// Waits until each has said something that `is_it`; returns what each said since the last time.
    pub(crate) async fn hear(
        &mut self,
        awaited: &str,
        is_it: impl Fn(&Value) -> bool,
    ) -> anyhow::Result<Vec<Vec<Value>>> {
        let mut heard = Vec::new();
        for actor in &mut self.actors {
            heard.push(actor.hear(awaited, &is_it).await?);
        }
        Ok(heard)
    }

    /// Gives each a line and waits for what comes of it.
    pub(crate) async fn ask(&mut self, line: &str) -> anyhow::Result<Vec<Value>> {
        self.say(line).await?;
        let command = line.split(' ').next().unwrap_or_default();
        let mut results = Vec::new();
        for actor in &mut self.actors {
            results.push(actor.done(command).await?);
        }
        Ok(results)
    }

    /// Patches the desired properties of every module.
    pub(crate) async fn change(&mut self, desired: &Value) -> Story {
        for actor in &self.actors {
            self.stage.change(&actor.module, desired.clone()).await?;
        }
        Ok(())
    }

    /// Waits until the daemon has what the hub has of every module.
    pub(crate) async fn wait_in_step(&mut self) -> Story {
        for n in 0..self.actors.len() {
            let module = self.actors[n].module.clone();
            let expected = object(self.stage.at_hub(&module, "desired").await?)?;
            let client = self.stage.client();
            until("the daemon to be in step", LONG, async || {
                let found = client.snapshot(&module).await?.desired;
                Ok(if found.as_ref() == Some(&expected) {
                    Look::Found(())
                } else {
                    Look::NotYet(format!("{module} is not"))
                })
            })
            .await?;
        }
        Ok(())
    }

    /// The hub's ports refuse from now on.
    pub(crate) fn cut_the_hub(&mut self) -> Story {
        self.stage.hub.kill()
    }

    /// The hub is there again, with all it had.
    pub(crate) async fn restore_the_hub(&mut self) -> Story {
        self.stage.hub.restart().await?;
        self.stage.service = self.stage.hub.service()?;
        Ok(())
    }

    /// Waits until the hub has `reported` of every module.
    pub(crate) async fn wait_reported(&mut self, reported: &Value) -> Story {
        for n in 0..self.actors.len() {
            let module = self.actors[n].module.clone();
            self.stage.wait_reported(&module, |found| found == reported).await?;
        }
        Ok(())
    }
}
