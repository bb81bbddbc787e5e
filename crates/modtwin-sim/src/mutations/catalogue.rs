//! The bugs to plant: each a mistake that somebody could make, most of them made by others before.

use super::{Edit, Mutation};

const fn edit(file: &'static str, find: &'static str, replace: &'static str) -> Edit {
    Edit { file, find, replace }
}

/// All of them.
pub const MUTATIONS: &[Mutation] = &[
    Mutation {
        name: "no-fetch-after-reconnect",
        what: "a session that knows its twin goes live without fetching it",
        edits: &[edit(
            "session/sync.rs",
            "        let request = self.new_request();\n        let reported",
            "        if self.phase == Phase::Subscribing && self.twin.desired.is_some() {\n            \
             return self.go_live(now);\n        }\n        let request = self.new_request();\n        \
             let reported",
        )],
    },
    Mutation {
        name: "patch-over-gap",
        what: "a desired patch is merged although versions before it are missing",
        edits: &[edit(
            "twin.rs",
            "if Some(version) != desired.version.checked_add(1) {",
            "if version == 0 {",
        )],
    },
    Mutation {
        name: "old-patch-counts",
        what: "a desired patch of an older version is merged",
        edits: &[
            edit("twin.rs", "if version <= desired.version {", "if version == desired.version {"),
            edit(
                "twin.rs",
                "if Some(version) != desired.version.checked_add(1) {",
                "if version > desired.version.saturating_add(1) {",
            ),
        ],
    },
    Mutation {
        name: "patches-during-fetch-dropped",
        what: "desired patches that come during a fetch are not kept",
        edits: &[edit(
            "session/sync.rs",
            "fetch.patches.push((version, patch));",
            "drop((version, patch));",
        )],
    },
    Mutation {
        name: "older-twin-refused",
        what: "a fetched desired section of a lower version counts as stale and is ignored",
        edits: &[edit(
            "twin.rs",
            "Some(_) => DesiredOutcome::NewGeneration,",
            "Some(_) => DesiredOutcome::Same,",
        )],
    },
    Mutation {
        name: "no-resync",
        what: "a live session never fetches the twin by itself",
        edits: &[edit(
            "session.rs",
            "Timer::Resync => self.fetch(now, Vec::new()),",
            "Timer::Resync => {}",
        )],
    },
    Mutation {
        name: "any-answer-counts",
        what: "the answer to an earlier fetch is taken for that of the present one",
        edits: &[edit(
            "session/sync.rs",
            "Phase::Syncing(fetch) if fetch.request == request => {",
            "Phase::Syncing(fetch) if fetch.request.0 >= request.0 => {",
        )],
    },
    Mutation {
        name: "sent-before-stored",
        what: "a report goes to the hub before it is on disk",
        edits: &[edit(
            "session/reports.rs",
            "        self.mark_unsaved(now, Urgency::Now);\n        self.sequence\n",
            "        if let Some(staged) = self.staged.pop_back() {\n            \
             staged.apply(&mut self.outbox, &mut self.acknowledged);\n        }\n        \
             self.send_next(now);\n        self.mark_unsaved(now, Urgency::Now);\n        self.sequence\n",
        )],
    },
    Mutation {
        name: "stored-too-early",
        what: "what comes during a write counts as stored with it",
        edits: &[edit(
            "session/reports.rs",
            "self.staged.partition_point(|staged| staged.sequence <= through)",
            "self.staged.len()",
        )],
    },
    Mutation {
        name: "failed-write-untold",
        what: "reports are dropped when a write fails, and nobody is told",
        edits: &[edit("session/reports.rs", "self.effect(Effect::NotStored { through });", "")],
    },
    Mutation {
        name: "in-flight-forgotten-on-cut",
        what: "a report in flight counts as delivered when the link breaks",
        edits: &[edit(
            "session/connection.rs",
            "        self.recall_report();\n        for timer",
            "        if let Some(id) = self.outbox.in_flight() {\n            \
             self.outbox.accept(id);\n        }\n        for timer",
        )],
    },
    Mutation {
        name: "unanswered-counts-as-accepted",
        what: "a report that is not answered in time counts as delivered",
        edits: &[edit(
            "session/reports.rs",
            "        self.recall_report();\n        self.notice(Notice::ReportUnanswered);",
            "        if let Some(id) = self.outbox.in_flight() {\n            \
             self.outbox.accept(id);\n        }\n        self.notice(Notice::ReportUnanswered);",
        )],
    },
    Mutation {
        name: "deletes-lost-in-merge",
        what: "a delete is lost where two waiting reports merge",
        edits: &[edit(
            "document.rs",
            "(Some(Value::Object(existing)), Value::Object(inner)) => compose(existing, inner),\n            _ => {",
            "(Some(Value::Object(existing)), Value::Object(inner)) => compose(existing, inner),\n            \
             (_, Value::Null) => {\n                earlier.remove(key);\n            }\n            _ => {",
        )],
    },
    Mutation {
        name: "merged-into-flight",
        what: "a report merges into the patch in flight, and leaves with its answer",
        edits: &[edit(
            "outbox.rs",
            "self.parts.max(usize::from(self.in_flight.is_some()))",
            "self.parts",
        )],
    },
    Mutation {
        name: "two-in-flight",
        what: "a second report is sent while the first is unanswered",
        edits: &[
            edit(
                "session/reports.rs",
                "if self.phase != Phase::Live || self.outbox.is_in_flight() {",
                "if self.phase != Phase::Live {",
            ),
            edit(
                "outbox.rs",
                "        if self.in_flight.is_some() {\n            return None;\n        }\n        let patch",
                "        let patch",
            ),
        ],
    },
    Mutation {
        name: "wrong-key-quarantined",
        what: "a refused patch of two keys is not divided: the first is blamed",
        edits: &[edit("outbox.rs", "if patch.len() > 1 {", "if patch.len() > 2 {")],
    },
    Mutation {
        name: "throttling-taken-for-content",
        what: "a throttled report counts as refused for its content",
        edits: &[edit(
            "message.rs",
            "429 => RefusalClass::Throttled,",
            "429 => RefusalClass::Content,",
        )],
    },
    Mutation {
        name: "loss-not-made-good",
        what: "reported values that the hub lost in a failover are not sent again",
        edits: &[edit(
            "twin.rs",
            "if lost { ReportedOutcome::Lost }",
            "if lost { ReportedOutcome::Current }",
        )],
    },
    Mutation {
        name: "restored-unmerged",
        what: "after a crash older reports go out before newer ones that the hub already has",
        edits: &[edit(
            "outbox.rs",
            "waiting.into_iter().for_each(|batch| outbox.append(batch));",
            "outbox.waiting = waiting.into();\n        return outbox;",
        )],
    },
    Mutation {
        name: "old-acknowledgements-count",
        what: "answers for an earlier generation go to the hub in the new one",
        edits: &[
            edit("session/sync.rs", "            self.forget_answers();\n", ""),
            edit(
                "session/sync.rs",
                "if new_generation && self.settings.plug_and_play {",
                "if false {",
            ),
        ],
    },
    Mutation {
        name: "no-floor-when-throttled",
        what: "the next attempt after throttling may come at once",
        edits: &[edit(
            "backoff.rs",
            "self.between(THROTTLED_FLOOR, THROTTLED_FLOOR + network)",
            "self.between(0, network)",
        )],
    },
    Mutation {
        name: "ladder-never-climbed",
        what: "attempts come every second for ever",
        edits: &[edit("backoff.rs", "self.failures = self.failures.saturating_add(1);", "")],
    },
    Mutation {
        name: "given-up-after-tls",
        what: "after a failed handshake nothing is attempted any more",
        edits: &[edit(
            "session/connection.rs",
            "        self.timers.set(Timer::Attempt, now + wait);\n        let state",
            "        if fault.reason != Reason::Tls {\n            \
             self.timers.set(Timer::Attempt, now + wait);\n        }\n        let state",
        )],
    },
    Mutation {
        name: "stuck-when-unanswered",
        what: "nothing watches over the answer to a report",
        edits: &[edit(
            "session/reports.rs",
            "            self.timers.set(Timer::Report, now + self.settings.answer_limit);\n            self.effect",
            "            self.effect",
        )],
    },
];
