//! One case: which row of the fact sheet it is, how sure that row is, and what is done.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;

use iothub_emulator::Rules;

use crate::target::Target;
use crate::world::World;

/// How sure a row is, and what the case needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Documented or seen: holds at any hub.
    Fact,
    /// Open (`?`) or the emulator's own choice: not asserted of a real hub.
    Choice,
    /// Needs the emulator's control API, its clock, or its rules.
    Emulator,
}

impl Kind {
    /// What the list shows in brackets.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Fact => "",
            Self::Choice => "choice",
            Self::Emulator => "emulator only",
        }
    }
}

/// What a case does.
pub(crate) type Play =
    for<'a> fn(&'a mut World) -> Pin<Box<dyn Future<Output = anyhow::Result<()>> + 'a>>;

/// One row.
pub(crate) struct Case {
    /// The section with its title.
    pub(crate) section: &'static str,
    /// The row.
    pub(crate) row: &'static str,
    /// How sure it is.
    pub(crate) kind: Kind,
    /// How the emulator's rules differ from the usual ones, for what can't be waited for.
    pub(crate) rules: fn(&mut Rules),
    /// What is done.
    pub(crate) play: Play,
}

impl Case {
    /// The name under which the case is listed.
    pub(crate) fn name(&self) -> String {
        format!("{}: {}", self.section, self.row)
    }

    /// Plays the case on a hub of its own, or on the real one.
    ///
    /// # Errors
    ///
    /// Names section and row, and says what was expected and what was found.
    pub(crate) fn run(&self, target: &Target) -> Result<(), String> {
        let named = |what: String| format!("section {}, row `{}`: {what}", self.section, self.row);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .map_err(|error| named(error.to_string()))?;
        let played = AssertUnwindSafe(|| {
            runtime.block_on(async {
                let mut world = World::new(target, self.rules).await?;
                let outcome = (self.play)(&mut world).await;
                world.clean_up().await;
                outcome
            })
        });
        match std::panic::catch_unwind(played) {
            Ok(outcome) => outcome.map_err(|error| named(format!("{error:#}"))),
            Err(panic) => {
                let text = panic.downcast_ref::<String>().map(String::as_str);
                let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
                Err(named(text.unwrap_or("panicked").to_owned()))
            }
        }
    }
}

/// Lists the cases of one section: `KIND "row" => function` or `KIND "row" => function, rules`.
#[macro_export]
macro_rules! section {
    ($title:literal: $($kind:ident $row:literal => $play:ident $(with $rules:expr)?;)*) => {
        vec![$($crate::case::Case {
            section: $title,
            row: $row,
            kind: $crate::case::Kind::$kind,
            rules: $crate::section!(@rules $($rules)?),
            play: |world| Box::pin($play(world)),
        }),*]
    };
    (@rules) => { |_| {} };
    (@rules $rules:expr) => { $rules };
}

/// Fails unless both are equal; says what was compared.
pub(crate) fn same<T: PartialEq + std::fmt::Debug>(
    what: &str,
    found: T,
    expected: T,
) -> anyhow::Result<()> {
    if found == expected {
        return Ok(());
    }
    anyhow::bail!("{what}: expected {expected:?}, found {found:?}")
}

/// Fails unless `holds`.
pub(crate) fn holds(what: &str, holds: bool) -> anyhow::Result<()> {
    if holds { Ok(()) } else { anyhow::bail!("expected that {what}") }
}
