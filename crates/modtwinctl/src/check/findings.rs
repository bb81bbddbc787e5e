//! What the checks have come to, and which of it is the cause of the rest.

use std::fmt;

use serde::Serialize;

use super::catalogue::Check;
use crate::failure::one_line;

/// What a check has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    /// As it should be.
    Ok,
    /// It works and should not stay so.
    Warning,
    /// Somebody has to mend it.
    Failed,
    /// Not made, or of no use.
    Skipped,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        })
    }
}

/// An outcome in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verdict {
    result: Outcome,
    text: String,
    next: Option<String>,
}

impl Verdict {
    pub(crate) fn ok(text: impl AsRef<str>) -> Self {
        Self::new(Outcome::Ok, text.as_ref())
    }

    pub(crate) fn warning(text: impl AsRef<str>) -> Self {
        Self::new(Outcome::Warning, text.as_ref())
    }

    pub(crate) fn failed(text: impl AsRef<str>) -> Self {
        Self::new(Outcome::Failed, text.as_ref())
    }

    pub(crate) fn skipped(text: impl AsRef<str>) -> Self {
        Self::new(Outcome::Skipped, text.as_ref())
    }

    pub(crate) fn is_ok(&self) -> bool {
        self.result == Outcome::Ok
    }

    /// And what to do about it.
    pub(crate) fn next(mut self, next: impl AsRef<str>) -> Self {
        self.next = Some(one_line(next.as_ref()));
        self
    }

    fn new(result: Outcome, text: &str) -> Self {
        Self { result, text: one_line(text), next: None }
    }
}

/// What one check has come to, for one module where it is about modules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    pub(crate) check: Check,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) module: Option<String>,
    pub(crate) result: Outcome,
    pub(crate) text: String,
    /// What to do next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next: Option<String>,
    /// The check whose failure makes this one useless.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) because: Option<Check>,
}

/// What all checks have come to.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Findings {
    list: Vec<Finding>,
}

impl Findings {
    /// Notes what `check` has come to.
    pub(crate) fn note(&mut self, check: Check, module: Option<&str>, verdict: Verdict) {
        let Verdict { result, text, next } = verdict;
        let module = module.map(one_line);
        self.list.push(Finding { check, module, result, text, next, because: None });
    }

    /// Says whether `check` can mean anything after what is known; notes it as skipped otherwise.
    pub(crate) fn may(&mut self, check: Check, module: Option<&str>) -> bool {
        let Some(obstacle) = self.obstacle(check, module) else {
            return true;
        };
        // The cause, and not what it made useless.
        let (text, because) = match obstacle {
            Finding { result: Outcome::Skipped, because: None, text, .. } => (text.clone(), None),
            Finding { check, because, .. } => {
                let cause = because.unwrap_or(*check);
                (format!("because {cause} failed"), Some(cause))
            }
        };
        let module = module.map(one_line);
        let result = Outcome::Skipped;
        self.list.push(Finding { check, module, result, text, next: None, because });
        false
    }

    /// Makes `check` if it can mean anything.
    pub(crate) fn make(
        &mut self,
        check: Check,
        module: Option<&str>,
        verdict: impl FnOnce() -> Verdict,
    ) {
        if self.may(check, module) {
            self.note(check, module, verdict());
        }
    }

    /// What stands in the way of `check`: of what it needs, the first that failed or was skipped.
    fn obstacle(&self, check: Check, module: Option<&str>) -> Option<&Finding> {
        let module = module.map(one_line);
        self.list.iter().find(|found| {
            check.needs().contains(&found.check)
                && matches!(found.result, Outcome::Failed | Outcome::Skipped)
                && (found.module.is_none() || found.module == module)
        })
    }

    /// Everything, in the order of causes; of one check in the order of the modules.
    pub(crate) fn sorted(mut self) -> Vec<Finding> {
        self.list.sort_by_key(|found| found.check);
        self.list
    }
}

/// What to mend first: what concerns every module before what concerns one, a failure before a
/// warning.
pub(crate) fn first(findings: &[Finding]) -> Option<&Finding> {
    let of = |result| {
        let all = move || findings.iter().filter(move |found| found.result == result);
        all().find(|found| found.module.is_none()).or_else(move || all().next())
    };
    of(Outcome::Failed).or_else(|| of(Outcome::Warning))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_depends_on_a_failure_is_skipped_and_names_the_cause_not_the_step_between() {
        let mut findings = Findings::default();
        findings.note(Check::Config, None, Verdict::ok(""));
        findings.make(Check::HubName, None, || Verdict::failed("no such name"));
        for check in [Check::HubTcp, Check::HubTls] {
            findings.make(check, None, || panic!("{check} can't mean anything"));
        }
        findings.make(Check::HubIdentity, Some("m"), || panic!("nor this"));
        let list = findings.sorted();
        assert!(list.iter().skip(2).all(|found| found.because == Some(Check::HubName)), "{list:?}");
        assert_eq!(first(&list).map(|found| found.check), Some(Check::HubName));
    }

    #[test]
    fn one_module_s_failure_skips_nothing_of_another() {
        let mut findings = Findings::default();
        findings.note(Check::CredentialFiles, Some("a"), Verdict::failed("gone"));
        findings.make(Check::CredentialRights, Some("a"), || panic!("it is gone"));
        findings.make(Check::CredentialRights, Some("b"), || Verdict::ok(""));
        findings.note(Check::Socket, None, Verdict::failed("nobody"));
        let list = findings.sorted();
        assert_eq!(list.iter().filter(|found| found.result == Outcome::Ok).count(), 1);
        // It concerns everybody.
        assert_eq!(first(&list).map(|found| found.check), Some(Check::Socket));
    }

    #[test]
    fn what_was_left_out_on_purpose_has_no_cause() {
        let mut findings = Findings::default();
        findings.note(Check::HubName, None, Verdict::skipped("--offline"));
        findings.make(Check::HubTcp, None, || panic!("offline"));
        let list = findings.sorted();
        assert_eq!((list[1].text.as_str(), list[1].because), ("--offline", None));
        assert_eq!(first(&list), None);
    }
}
