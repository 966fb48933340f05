//! The command line client. Everything that it does is in `cli`.

use std::process::ExitCode;

fn main() -> ExitCode {
    resetd::cli::run()
}
