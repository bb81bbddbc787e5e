//! The handlers of the story: a process for each module that is connected. One is a shell script on
//! `modtwinctl watch --exec`, the others are this program once more, in its `handler` role.

use std::path::{Path, PathBuf};

use anyhow::Context;
use tokio::process::Command;

use crate::audience::Audience;
use crate::cast::Cast;

/// What the shell handler is: the quick start in a few lines, no SDK, no credential.
const SHELL_HANDLER: &str = r#"#!/bin/sh
# A handler in shell. Without arguments it is the component; with `change` it is what runs for each change: the desired
# properties come in on standard input, and exit status 0 says that they are applied.
now() { date -u +%Y-%m-%dT%H:%M:%SZ; }

if [ "$1" = change ]; then
    echo "got version $MODTWIN_VERSION: $(tr -d '\n')"
    exec modtwinctl report "$MODTWIN_MODULE" DateTimeLastDesiredPropertyChangeReceived="$(now)" >&2
fi
modtwinctl report "$MODULE" DateTimeLastAppLaunch="$(now)" >&2
exec modtwinctl watch "$MODULE" --handler shell --exec sh "$0" change
"#;

/// What it takes to start handlers.
#[derive(Debug)]
pub(crate) struct Handlers<'a> {
    /// The folder of the programs.
    pub(crate) programs: &'a Path,
    /// The daemon's socket.
    pub(crate) socket: &'a Path,
    /// Where the shell script goes.
    pub(crate) folder: &'a Path,
}

impl Handlers<'_> {
    /// Starts a handler for each of `modules`, the first one in shell; `audience` hears them all.
    ///
    /// # Errors
    /// A process can't be started.
    pub(crate) fn start(
        &self,
        cast: &mut Cast,
        audience: &Audience,
        modules: &[String],
    ) -> anyhow::Result<()> {
        let script = self.folder.join("handler.sh");
        std::fs::write(&script, SHELL_HANDLER)
            .with_context(|| format!("cannot write `{}`", script.display()))?;
        for (index, module) in modules.iter().enumerate() {
            let command =
                if index == 0 { self.shell(&script, module)? } else { self.program(module) };
            let output = cast.start_heard(&format!("handler-{module}"), command)?;
            audience.listen(module, output);
        }
        Ok(())
    }

    fn shell(&self, script: &Path, module: &str) -> anyhow::Result<Command> {
        let mut path: Vec<PathBuf> = vec![self.programs.to_owned()];
        path.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
        let mut command = Command::new("sh");
        command
            .arg(script)
            .env("PATH", std::env::join_paths(path).context("cannot put the programs into PATH")?)
            .env("MODTWIN_SOCKET", self.socket)
            .env("MODULE", module);
        Ok(command)
    }

    fn program(&self, module: &str) -> Command {
        let mut command = Command::new(self.programs.join("modtwin-demo"));
        command.arg("handler").arg("--socket").arg(self.socket).arg("--module").arg(module);
        command
    }
}
