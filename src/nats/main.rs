//! The worker program.

use std::process::ExitCode;

use requests_futures_nats::worker::{HELP, Options, work};

fn main() -> ExitCode {
    let why = match Options::parse(std::env::args().skip(1)) {
        Ok(None) => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Ok(Some(options)) => match work(&options) {
            Ok(()) => return ExitCode::SUCCESS,
            Err(why) => why,
        },
        Err(why) => why,
    };
    eprintln!("requests-futures-nats-worker: {why}");
    ExitCode::FAILURE
}
