//! What the log keeps, through torn ends and restarts.

use std::sync::Arc;

use serde_json::json;

use super::{Entry, Store, StoreError, lines};
use crate::authentication::Authentication;
use crate::clock::Clock;
use crate::identity::{Identity, IdentityKey, Record};

fn identity(module: &str) -> Arc<Identity> {
    let key = IdentityKey::module("gw", module);
    Identity::new(Record::fresh(key, Authentication::CertificateAuthority, Clock::new().now()))
}

fn report(identity: &Arc<Identity>, value: u64) {
    let patch = json!({ "n": value }).as_object().expect("an object").clone();
    identity.lock().record.twin.report(&patch, None, Clock::new().now()).expect("legal");
}

#[tokio::test]
async fn what_was_committed_is_read_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, contents) = Store::open(folder.path()).expect("an empty log");
    assert!(contents.records.is_empty());
    let (kept, gone) = (identity("kept"), identity("gone"));
    store.push(Entry::Identity(Arc::clone(&kept)));
    store.push(Entry::Identity(Arc::clone(&gone)));
    store.push(Entry::Removed(gone.key.clone()));
    report(&kept, 5);
    store.push(Entry::Authority("PEM".to_owned()));
    let number = store.push(Entry::Identity(Arc::clone(&kept)));
    store.wait(number).await;
    store.close();
    let (store, contents) = Store::open(folder.path()).expect("the log");
    assert_eq!(contents.authorities, ["PEM"]);
    let [record] = contents.records.as_slice() else {
        panic!("expected one record, found {}", contents.records.len())
    };
    assert_eq!(record.key, kept.key);
    assert_eq!(record.twin, kept.lock().record.twin);
    store.close();
}

#[test]
fn a_torn_tail_is_dropped_and_what_was_whole_stays() {
    let whole = lines::encode(&[Entry::Identity(identity("a")), Entry::Identity(identity("b"))]);
    for cut in 0..whole.len() {
        let (kept, contents) = lines::compact(&whole[..cut]).expect("a torn tail");
        let lines = whole[..cut].iter().filter(|byte| **byte == b'\n').count();
        assert_eq!(contents.records.len(), lines);
        assert_eq!(kept.iter().filter(|byte| **byte == b'\n').count(), lines);
    }
}

#[test]
fn damage_in_the_middle_is_named_and_nothing_is_overwritten() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut bytes = lines::encode(&[Entry::Identity(identity("a"))]);
    bytes.extend_from_slice(b"rubbish\n");
    bytes.extend(lines::encode(&[Entry::Identity(identity("b"))]));
    std::fs::write(folder.path().join("hub.log"), &bytes).expect("written");
    assert!(matches!(Store::open(folder.path()), Err(StoreError::Damaged { line: 2, .. })));
    assert_eq!(std::fs::read(folder.path().join("hub.log")).expect("read"), bytes);
}

#[test]
fn an_identity_queued_twice_is_written_once_in_its_last_state() {
    let identity = identity("a");
    let entries = [Entry::Identity(Arc::clone(&identity)), Entry::Identity(Arc::clone(&identity))];
    report(&identity, 9);
    let bytes = lines::encode(&entries);
    assert_eq!(bytes.iter().filter(|byte| **byte == b'\n').count(), 1);
    let (_, contents) = lines::compact(&bytes).expect("whole");
    assert_eq!(contents.records[0].twin.reported_version(), 2);
}
