//! The program `modtwinctl`; everything it does is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    modtwinctl::run(std::env::args_os())
}
