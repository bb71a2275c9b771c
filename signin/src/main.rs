// SPDX-License-Identifier: MIT OR Apache-2.0
//! The server of the sign-in page.

#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::sync::Arc;

use sipoauth_core::ports::Level;
use sipoauth_signin::{Site, connections};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

const HELP: &str = "\
sipoauth-signin: the page at which users sign in with a browser and add their phones

    sipoauth-signin --config FILE     serves; FILE is the config_file of the proxies, with [sign_in_page]
    sipoauth-signin --check --config FILE     only reads the configuration
    sipoauth-signin --version

It shares the store with the proxies, so run it as their user.
";

/// Threads for work that blocks: questions to servers, and the store.
const THREADS: usize = 128;

fn main() -> ExitCode {
    let (mut file, mut only_checks) = (None, false);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--config" => file = arguments.next(),
            "--check" => only_checks = true,
            "--version" => {
                println!("sipoauth-signin {}", env!("CARGO_PKG_VERSION"));
                return ExitCode::SUCCESS;
            }
            "--help" | "-h" => {
                print!("{HELP}");
                return ExitCode::SUCCESS;
            }
            _ => return failed(&format!("'{argument}' is not an option\n\n{HELP}")),
        }
    }
    let Some(file) = file else { return failed(&format!("--config FILE is missing\n\n{HELP}")) };
    match run(&file, only_checks) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => failed(&why),
    }
}

fn failed(why: &str) -> ExitCode {
    eprintln!("sipoauth-signin: {why}");
    ExitCode::from(2)
}

fn run(file: &str, only_checks: bool) -> Result<(), String> {
    let site = Arc::new(Site::new(file).map_err(|e| e.0)?);
    let tls = connections::tls_of(&site)?;
    if only_checks {
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().max_blocking_threads(THREADS).build();
    let runtime = runtime.map_err(|e| e.to_string())?;
    runtime.block_on(async {
        let address = site.page.listen;
        let listener = TcpListener::bind(address).await;
        let listener = listener.map_err(|e| format!("sign_in_page: listen: cannot listen at {address}: {e}"))?;
        let mut ends = signal(SignalKind::terminate()).map_err(|e| e.to_string())?;
        let end = async move {
            tokio::select! {
                _ = ends.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
        };
        site.log(Level::Info, &format!("serving {} at {address}", site.page.base));
        tokio::spawn(Arc::clone(&site).keep_current());
        connections::serve(site, listener, tls, end).await;
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::HELP;

    const MANUAL: &str = include_str!("../../docs/man/sipoauth-signin.8");

    #[test]
    fn the_manual_page_is_of_this_program() {
        let manual = MANUAL.replace('\\', "");
        assert!(manual.contains(concat!("\"sipoauth ", env!("CARGO_PKG_VERSION"), "\"")));
        for option in HELP.split_whitespace().filter(|word| word.starts_with("--")) {
            assert!(manual.contains(option), "{option}");
        }
    }
}
