//! Warns in the log before a certificate's time is over.
//!
//! Owns when something is said: once for each span that the config names, and again after a
//! restart. How many days are left at any time is in the status.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use modtwin_config::{Credential, Credentials};
use modtwin_core::ids::ModuleId;
use modtwin_credentials::Date;
use tracing::{info, warn};

use crate::unit::Unit;

/// What was said of each module's certificate.
#[derive(Debug, Default)]
pub(crate) struct Foresight {
    said: BTreeMap<ModuleId, Said>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Said {
    /// The certificate's end.
    end: SystemTime,
    /// The shortest span that was warned of.
    span: Option<Duration>,
}

/// What is to be said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum News {
    Renewed,
    EndsWithin(Duration),
}

impl Foresight {
    /// Looks at the certificates of all units.
    pub(crate) fn look(&mut self, units: &[Unit], rules: &Credentials, now: SystemTime) {
        for unit in units {
            let view = unit.handle.view();
            let is_certificate = matches!(unit.module.credential, Credential::X509 { .. });
            let Some(end) = view.credential_expires.filter(|_| is_certificate) else {
                continue;
            };
            let (module, until) = (&unit.module.id, Date(end));
            match self.news(module, end, &rules.expiry_warnings, now) {
                Some(News::Renewed) => info!(%module, %until, "the certificate was renewed"),
                Some(News::EndsWithin(left)) => {
                    let days_left = left.as_secs() / 86_400;
                    warn!(%module, days_left, %until, "the certificate ends soon; renew it");
                }
                None => {}
            }
        }
        let known = |module: &ModuleId| units.iter().any(|unit| unit.module.id == *module);
        self.said.retain(|module, _| known(module));
    }

    fn news(
        &mut self,
        module: &ModuleId,
        end: SystemTime,
        spans: &[Duration],
        now: SystemTime,
    ) -> Option<News> {
        // Past its end there is nothing to foresee: the status says that it has expired.
        let left = end.duration_since(now).ok()?;
        let span = spans.iter().copied().filter(|span| left <= *span).min();
        let before = self.said.insert(module.clone(), Said { end, span });
        let known = before.filter(|before| before.end == end);
        let is_said = known.is_some_and(|known| known.span <= span && known.span.is_some());
        match span {
            Some(_) if !is_said => Some(News::EndsWithin(left)),
            _ if known.is_none() && before.is_some_and(|before| before.end < end) => {
                Some(News::Renewed)
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    /// What is said of a certificate with that many days left, in the order of looking.
    fn check(steps: &[(u32, u32, Option<News>)]) {
        let mut foresight = Foresight::default();
        let module = ModuleId::new("m").unwrap();
        let spans = [30 * DAY, 7 * DAY, DAY];
        let start = SystemTime::UNIX_EPOCH + 10_000 * DAY;
        for (day, end, expected) in steps {
            let (now, end) = (start + *day * DAY, start + *end * DAY);
            let found = foresight.news(&module, end, &spans, now);
            assert_eq!(found, *expected, "day {day}");
        }
    }

    #[test]
    fn each_span_is_warned_of_once() {
        check(&[
            (0, 40, None),
            (10, 40, Some(News::EndsWithin(30 * DAY))),
            (11, 40, None),
            (33, 40, Some(News::EndsWithin(7 * DAY))),
            (34, 40, None),
            (39, 40, Some(News::EndsWithin(DAY))),
            (40, 40, None),
            (41, 40, None),
        ]);
    }

    #[test]
    fn after_a_start_late_in_its_life_the_nearest_span_alone_is_warned_of() {
        check(&[(0, 5, Some(News::EndsWithin(5 * DAY))), (1, 5, None)]);
    }

    #[test]
    fn a_renewed_certificate_is_told_and_begins_anew() {
        check(&[
            (0, 5, Some(News::EndsWithin(5 * DAY))),
            (1, 400, Some(News::Renewed)),
            (2, 400, None),
            (393, 400, Some(News::EndsWithin(7 * DAY))),
        ]);
        // One that is as short again is warned of, renewed or not.
        check(&[(0, 5, Some(News::EndsWithin(5 * DAY))), (1, 6, Some(News::EndsWithin(5 * DAY)))]);
    }
}
