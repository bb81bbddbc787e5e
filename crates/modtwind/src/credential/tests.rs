//! Which of two credentials is used.

use std::fs;
use std::path::Path;

use modtwin_core::ids::{DeviceId, ModuleId};
use modtwin_credentials::authority::self_signed;
use modtwin_credentials::request::{KeyKind, PrivateKey, generate_key, write_private};
use modtwin_credentials::{CertificateFiles, CredentialFiles};
use tempfile::TempDir;

use super::*;

const DAY: Duration = Duration::from_secs(86_400);

struct Bench {
    folder: TempDir,
    keeper: Keeper,
}

fn ids() -> (DeviceId, ModuleId) {
    (DeviceId::new("d").unwrap(), ModuleId::new("m").unwrap())
}

fn write_key(folder: &Path, key: &PrivateKey) {
    write_private(&folder.join("m.key"), &key.to_pem().unwrap(), true).unwrap();
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (device, module) = ids();
        let files = CredentialFiles::X509(CertificateFiles {
            certificate: folder.path().join("m.pem"),
            private_key: folder.path().join("m.key"),
            private_key_password_file: None,
        });
        let source = ModuleCredential::new(device, module, "hub.example".to_owned(), files);
        let keeper = Keeper::new(Ok(source), Arc::new(Semaphore::new(1)));
        Self { folder, keeper }
    }

    /// Writes a new pair, good from now for so long; returns the certificate.
    fn write(&self, good_for: Duration) -> String {
        let key = generate_key(KeyKind::EcP256).unwrap();
        let (device, module) = ids();
        let now = SystemTime::now();
        let pem = self_signed(&key, &device, &module, now - DAY..now + good_for).unwrap();
        fs::write(self.folder.path().join("m.pem"), &pem).unwrap();
        write_key(self.folder.path(), &key);
        pem
    }

    /// The certificate that the next connect uses.
    fn load(&self) -> Result<String, Reason> {
        match self.keeper.load() {
            Ok(Credential::X509 { certificate, .. }) => {
                Ok(fs::read_to_string(certificate).unwrap())
            }
            Ok(Credential::Token { .. }) => panic!("a certificate was expected"),
            Err(fault) => Err(fault.reason),
        }
    }

    fn words(&self) -> String {
        self.keeper.words().borrow().join("; ")
    }
}

fn no() -> Fault {
    Fault::new(Reason::BadCredential, "the hub said no")
}

#[tokio::test]
async fn new_files_are_used_and_what_they_replace_is_forgotten_once_they_work() {
    let bench = Bench::new();
    let first = bench.write(DAY);
    assert_eq!(bench.load(), Ok(first));
    bench.keeper.accepted();
    assert_eq!(bench.keeper.look(), News::None);
    let second = bench.write(DAY);
    assert_eq!(bench.keeper.look(), News::Usable);
    assert_eq!(bench.load(), Ok(second.clone()));
    bench.keeper.accepted();
    assert_eq!(bench.keeper.look(), News::None);
    // What is refused now was good a moment ago: there is no older one.
    assert!(!bench.keeper.refused(&no()));
    assert_eq!(bench.load(), Ok(second));
    assert_eq!(bench.words(), "");
}

#[tokio::test]
async fn files_that_cannot_be_used_leave_what_works_in_use() {
    let bench = Bench::new();
    let first = bench.write(DAY);
    assert_eq!(bench.load(), Ok(first.clone()));
    bench.keeper.accepted();
    write_key(bench.folder.path(), &generate_key(KeyKind::EcP256).unwrap());
    let News::Unusable(why) = bench.keeper.look() else { panic!("expected another's key") };
    assert!(why.contains("does not belong to the certificate"), "{why}");
    assert_eq!(bench.load(), Ok(first.clone()));
    let words = bench.words();
    assert!(words.contains("can't be used") && words.contains("going on with the one before"));
    fs::remove_file(bench.folder.path().join("m.pem")).unwrap();
    assert_eq!(bench.load(), Ok(first));
    let second = bench.write(DAY);
    assert_eq!((bench.load(), bench.words()), (Ok(second), String::new()));
}

#[tokio::test]
async fn a_refused_pair_makes_way_for_the_one_before_until_somebody_asks_again() {
    let bench = Bench::new();
    let first = bench.write(DAY);
    bench.load().unwrap();
    bench.keeper.accepted();
    let second = bench.write(DAY);
    assert_eq!(bench.load(), Ok(second.clone()));
    assert!(bench.keeper.refused(&no()), "there is one to go back to");
    assert_eq!(bench.load(), Ok(first.clone()));
    let words = bench.words();
    assert!(words.contains("the hub refused the new one: the hub said no"), "{words}");
    bench.keeper.accepted();
    assert_eq!((bench.keeper.look(), bench.load()), (News::None, Ok(first)));
    assert!(!bench.keeper.is_due_again());
    bench.keeper.reconsider();
    assert_eq!((bench.keeper.look(), bench.load()), (News::Usable, Ok(second)));
}

#[tokio::test(start_paused = true)]
async fn a_refused_pair_is_tried_again_after_an_hour() {
    let bench = Bench::new();
    bench.write(DAY);
    bench.load().unwrap();
    bench.keeper.accepted();
    let second = bench.write(DAY);
    bench.load().unwrap();
    assert!(bench.keeper.refused(&no()));
    bench.load().unwrap();
    bench.keeper.accepted();
    tokio::time::advance(REFUSED_FOR).await;
    assert!(bench.keeper.is_due_again());
    assert_eq!((bench.keeper.look(), bench.load()), (News::Usable, Ok(second)));
    bench.keeper.accepted();
    assert!(!bench.keeper.is_due_again());
}

#[tokio::test]
async fn what_is_over_is_not_gone_back_to() {
    let bench = Bench::new();
    bench.write(Duration::from_secs(1));
    bench.load().unwrap();
    bench.keeper.accepted();
    let second = bench.write(DAY);
    assert_eq!(bench.load(), Ok(second.clone()));
    let end = std::time::Instant::now() + Duration::from_secs(10);
    let is_over = || {
        let state = bench.keeper.state();
        !state.proven.as_ref().unwrap().is_in_time(SystemTime::now())
    };
    while !is_over() {
        assert!(std::time::Instant::now() < end, "the first certificate never ends");
        std::thread::yield_now();
    }
    assert!(!bench.keeper.refused(&no()));
    assert_eq!(bench.load(), Ok(second));
    bench.write(Duration::ZERO);
    fs::remove_file(bench.folder.path().join("m.key")).unwrap();
    assert_eq!(bench.load(), Err(Reason::Config));
}

#[tokio::test]
async fn where_the_old_one_is_refused_as_well_the_new_one_has_its_chance_again() {
    let bench = Bench::new();
    let first = bench.write(DAY);
    bench.load().unwrap();
    bench.keeper.accepted();
    let second = bench.write(DAY);
    bench.load().unwrap();
    assert!(bench.keeper.refused(&no()));
    assert_eq!(bench.load(), Ok(first));
    assert!(!bench.keeper.refused(&no()), "both are refused: wait, and do not go in circles");
    assert_eq!(bench.load(), Ok(second));
}

#[tokio::test]
async fn a_first_pair_that_is_bad_has_nothing_to_go_back_to() {
    let bench = Bench::new();
    assert_eq!(bench.load(), Err(Reason::Config));
    bench.write(DAY);
    bench.load().unwrap();
    assert!(!bench.keeper.refused(&no()));
}
