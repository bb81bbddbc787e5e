//! A gateway with one module that its hub knows, in which a fault is planted; and what
//! `modtwinctl check` says of it.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use modtwin_testkit::hub::program;
use modtwin_testkit::stage::Stage;
use serde_json::Value;

use crate::program::{Ran, modtwinctl};

/// The module.
pub(crate) const M: &str = "m01";

pub(crate) struct Bench {
    pub(crate) stage: Stage,
    /// More arguments of `check`.
    pub(crate) arguments: Vec<String>,
    /// More of its environment.
    pub(crate) environment: Vec<(&'static str, String)>,
}

/// What was found.
#[derive(Debug)]
pub(crate) struct Found {
    ran: Ran,
    report: Value,
}

impl Bench {
    /// Nothing is wrong; no daemon runs.
    pub(crate) async fn new() -> anyhow::Result<Self> {
        let stage = Stage::build(program("modtwind")?, 1).await?;
        stage.gateway.write_config()?;
        Ok(Self { stage, arguments: Vec::new(), environment: Vec::new() })
    }

    /// A file of the gateway's folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.stage.gateway.folder().join(name)
    }

    /// Changes the config's text.
    pub(crate) fn edit(&self, change: impl FnOnce(String) -> String) {
        let path = self.stage.gateway.config();
        let text = fs::read_to_string(&path).unwrap();
        let changed = change(text.clone());
        assert_ne!(changed, text, "nothing was changed");
        fs::write(&path, changed).unwrap();
    }

    /// Changes a file's mode, or a folder's.
    pub(crate) fn mode(&self, name: &str, mode: u32) {
        fs::set_permissions(self.path(name), Permissions::from_mode(mode)).unwrap();
    }

    pub(crate) fn argue(&mut self, arguments: &[&str]) {
        self.arguments.extend(arguments.iter().map(|&argument| argument.to_owned()));
    }

    /// Runs the check.
    pub(crate) fn check(&self) -> Found {
        let ran = self.run(&self.stage.gateway.socket(), &["--json"]);
        let report = ran.json();
        Found { ran, report }
    }

    /// Runs the check with that socket named and those arguments besides the bench's own.
    pub(crate) fn run(&self, socket: &Path, arguments: &[&str]) -> Ran {
        let config = self.stage.gateway.config();
        let mut command = modtwinctl(socket, &["check"]);
        command.arg("--config").arg(config).args(&self.arguments).args(arguments);
        command.envs(self.environment.iter().map(|(name, value)| (*name, value)));
        command.output().unwrap().into()
    }
}

impl Found {
    pub(crate) fn of(ran: Ran) -> Self {
        let report = ran.json();
        Self { ran, report }
    }

    /// What a check has come to.
    pub(crate) fn of_check(&self, check: &str) -> &Value {
        let checks = self.report["checks"].as_array().unwrap();
        checks.iter().find(|found| found["check"] == check).unwrap_or(&Value::Null)
    }

    /// That `check` is named first, as a failure whose text has `words`, that it has a next step,
    /// and that nothing else failed but what is in `also`.
    #[track_caller]
    pub(crate) fn failed(&self, check: &str, words: &str, also: &[&str]) {
        let code = if check == "config" { 78 } else { 1 };
        assert_eq!(self.ran.code, Some(code), "{self:#?}");
        self.names(check, "failed", words);
        for found in self.report["checks"].as_array().unwrap() {
            let id = found["check"].as_str().unwrap();
            let is_expected = id == check || also.contains(&id);
            assert_eq!(found["result"] == "failed", is_expected, "{id}: {self:#?}");
            if found["because"].is_string() {
                let cause = found["because"].as_str().unwrap();
                assert!(cause == check || also.contains(&cause), "{id}: {self:#?}");
            }
        }
    }

    /// The same where another module is well.
    #[track_caller]
    pub(crate) fn failed_for(&self, module: &str, check: &str, words: &str) {
        assert_eq!(self.ran.code, Some(1), "{self:#?}");
        self.names(check, "failed", words);
        assert_eq!(self.report["first"]["module"], module);
        let failed = |found: &&Value| found["result"] == "failed";
        assert_eq!(self.report["checks"].as_array().unwrap().iter().filter(failed).count(), 1);
    }

    /// That `check` is named first, as a warning, and nothing failed.
    #[track_caller]
    pub(crate) fn warned(&self, check: &str, words: &str) {
        assert_eq!(self.ran.code, Some(0), "{self:#?}");
        self.names(check, "warning", words);
    }

    #[track_caller]
    fn names(&self, check: &str, result: &str, words: &str) {
        let first = &self.report["first"];
        assert_eq!(
            (&first["check"], &first["result"]),
            (&check.into(), &result.into()),
            "{self:#?}"
        );
        assert!(first["text"].as_str().unwrap().contains(words), "{words}: {self:#?}");
        assert!(first["next"].is_string(), "no next step: {self:#?}");
        assert_eq!(self.report["result"], result);
    }

    /// That nothing is wrong.
    #[track_caller]
    pub(crate) fn fine(&self) {
        assert_eq!(self.ran.code, Some(0), "{self:#?}");
        assert_eq!(self.report["result"], "ok", "{self:#?}");
        assert!(self.report["first"].is_null());
    }
}
