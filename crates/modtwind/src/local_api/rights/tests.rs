//! Rights, from plain values: who matches what, and what a refusal says.

use super::*;

/// Users `alice` (1001) and `bob` (1002), group `plant` (2000).
struct Town;

impl Names for Town {
    fn uid(&self, user: &str) -> Option<u32> {
        [("alice", 1001), ("bob", 1002)].iter().find(|(name, _)| *name == user).map(|(_, uid)| *uid)
    }

    fn gid(&self, group: &str) -> Option<u32> {
        (group == "plant").then_some(2000)
    }

    fn user(&self, uid: u32) -> Option<String> {
        ["alice", "bob"].into_iter().find(|name| self.uid(name) == Some(uid)).map(str::to_owned)
    }
}

fn pointers(texts: &[&str]) -> Vec<Pointer> {
    texts.iter().map(|text| Pointer::parse(text).unwrap()).collect()
}

fn rule(name: &str, principal: Principal, watch: &[&str], report: &[&str]) -> Handler {
    Handler {
        name: name.to_owned(),
        principal,
        watch: pointers(watch),
        report: pointers(report),
        methods: Vec::new(),
        ack_timeout: None,
    }
}

fn user(name: &str) -> Principal {
    Principal::User(name.to_owned())
}

fn module(name: &str) -> ModuleId {
    ModuleId::new(name).unwrap()
}

/// What that peer may do with modules `m` and `other`; `other` is open to `bob` alone.
fn grants(peer: &Peer, rules: &[Handler]) -> Grants {
    let other = [rule("others", user("bob"), &[""], &[""])];
    let (m, o) = (module("m"), module("other"));
    Grants::among(peer, "modtwin", &[(&m, rules), (&o, &other)], &Town)
}

fn alice() -> Peer {
    Peer::scripted(1001, 1001, &[])
}

fn names(grants: &Grants) -> Vec<String> {
    grants.access(&module("m")).map(Access::own_names).unwrap_or_default()
}

fn detail(refusal: &Refusal) -> String {
    assert_eq!(refusal.problem().kind, ProblemKind::Forbidden);
    refusal.problem().detail.clone()
}

#[test]
fn a_peer_matches_by_user_by_group_and_by_supplementary_group() {
    let rules = [
        rule("a", user("alice"), &[""], &[""]),
        rule("g", Principal::Group("plant".to_owned()), &[""], &[""]),
        rule("n", user("nobody-of-that-name"), &[""], &[""]),
    ];
    assert_eq!(names(&grants(&alice(), &rules)), ["a"]);
    assert_eq!(names(&grants(&Peer::scripted(1002, 2000, &[]), &rules)), ["g"]);
    assert_eq!(names(&grants(&Peer::scripted(1001, 1, &[3, 2000]), &rules)), ["a", "g"]);
    assert!(names(&grants(&Peer::scripted(1003, 1003, &[1001]), &rules)).is_empty());
}

#[test]
fn rights_of_several_entries_add_up_and_watch_and_report_stay_apart() {
    let rules = [
        rule("one", user("alice"), &["/a"], &["/r"]),
        rule("two", user("alice"), &["/b", "/a/c"], &[]),
    ];
    let grants = grants(&alice(), &rules);
    let access = grants.access(&module("m")).unwrap();
    assert_eq!(access.watch(), Scope::under(pointers(&["/a", "/b"])));
    assert_eq!(access.report(), Scope::under(pointers(&["/r"])));
    let two = access.named(Some("two")).unwrap();
    assert_eq!(two.watch(), Scope::under(pointers(&["/b", "/a/c"])));
    assert!(two.report().is_empty());
    let refusal = access.named(Some("three")).unwrap_err();
    assert!(detail(&refusal).contains("may speak as `one` or `two`"), "{refusal:?}");
}

#[test]
fn a_module_of_others_and_no_module_are_refused_in_the_same_words() {
    let grants = grants(&alice(), &[]);
    let registry = Registry::scripted();
    let texts: Vec<_> = ["m", "other", "absent", "no/id", ""]
        .map(|name| detail(&grants.module(&registry, name).unwrap_err()))
        .into();
    assert!(texts.iter().all(|text| *text == texts[0]), "{texts:?}");
    assert!(texts[0].starts_with("uid 1001 (`alice`) matches no [[module.handler]]"), "{texts:?}");
    assert!(texts[0].contains("user = \"alice\""), "{texts:?}");
    assert!(grants.access(&module("m")).is_none() && grants.access(&module("other")).is_none());
}

#[test]
fn an_administrator_is_told_that_a_module_does_not_exist() {
    let registry = Registry::scripted();
    let refusal = Grants::Everything.module(&registry, "absent").unwrap_err();
    assert_eq!(refusal.problem().kind, ProblemKind::NotFound);
}

#[test]
fn an_admin_request_names_the_group_that_is_missing() {
    let refusal = grants(&alice(), &[]).require_administrator().unwrap_err();
    assert!(detail(&refusal).contains("usermod -aG modtwin"), "{refusal:?}");
    assert!(Grants::Everything.require_administrator().is_ok());
}

#[test]
fn a_missing_subtree_is_named_with_its_pointer() {
    let grants = grants(&alice(), &[rule("hvac", user("alice"), &["/a"], &["/r"])]);
    let refusal = grants.access(&module("m")).unwrap().lacks("report", "/x/y");
    assert_eq!(refusal.problem().pointer.as_deref(), Some("/x/y"));
    let text = detail(&refusal);
    assert!(text.contains("the `report` of [[module.handler]] `hvac`"), "{text}");
}

#[test]
fn a_user_without_a_name_is_known_by_number() {
    let refusal =
        grants(&Peer::scripted(4711, 1, &[]), &[]).module(&Registry::scripted(), "m").unwrap_err();
    assert!(detail(&refusal).contains("user = \"4711\""), "{refusal:?}");
}

#[test]
fn a_unit_rule_does_not_match_a_process_that_was_not_pinned() {
    let rules = [rule("u", Principal::Unit("hvac.service".to_owned()), &[""], &[""])];
    let grants = grants(&alice(), &rules);
    assert!(names(&grants).is_empty());
    let text = detail(&grants.module(&Registry::scripted(), "m").unwrap_err());
    assert!(text.contains("connect again"), "{text}");
}

#[test]
fn the_systems_names_are_found_both_ways() {
    assert_eq!(SystemNames.uid("root"), Some(0));
    assert_eq!(SystemNames.gid("root"), Some(0));
    assert_eq!(SystemNames.user(0).as_deref(), Some("root"));
    assert_eq!(SystemNames.uid("no-such-user-here"), None);
    assert_eq!(SystemNames.gid("no-such-group-here"), None);
    assert_eq!(SystemNames.uid("4711"), Some(4711));
}
