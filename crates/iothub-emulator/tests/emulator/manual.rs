//! The manual page in the repository is the one that the program prints, and says all that it must.

use std::path::Path;
use std::process::Command;

fn printed() -> String {
    let page =
        Command::new(env!("CARGO_BIN_EXE_iothub-emulator")).arg("man").output().expect("run");
    assert!(page.status.success(), "{page:?}");
    String::from_utf8(page.stdout).expect("text")
}

#[test]
fn the_manual_in_the_repository_is_the_programs_own() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/man/iothub-emulator.1");
    let kept = std::fs::read_to_string(&file).expect("packaging/man/iothub-emulator.1");
    assert!(
        kept == printed(),
        "packaging/man/iothub-emulator.1 is out of date: \
         cargo run -p iothub-emulator -- man > packaging/man/iothub-emulator.1"
    );
}

#[test]
fn every_option_command_and_fault_is_in_the_manual() {
    let page = printed().replace("\\-", "-");
    let help =
        Command::new(env!("CARGO_BIN_EXE_iothub-emulator")).arg("--help").output().expect("run");
    let help = String::from_utf8(help.stdout).expect("text");
    let options = help.split_whitespace().filter(|word| word.starts_with("--") && word.len() > 2);
    let options: Vec<&str> = options.map(|word| word.trim_end_matches([',', ';', '.'])).collect();
    assert!(options.len() > 10, "{options:?}");
    for option in options {
        assert!(page.contains(option), "{option}");
    }
    for part in [
        ".SS export-ca",
        ".SS connection-string",
        ".SH IMITATED AND NOT",
        "AMQP",
        "reorder-desired",
        "lose-response",
        "refuse-message",
        "[[step]]",
        "emulator.json",
    ] {
        assert!(page.contains(part), "{part}");
    }
}
