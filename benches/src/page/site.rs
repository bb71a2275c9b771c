// SPDX-License-Identifier: MIT OR Apache-2.0
//! The server of the page, as operators run it: the release build with its defaults, below a reverse proxy.

use std::net::{Ipv4Addr, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::devices::phones::Phones;
use crate::proxies::USERS;
use crate::proxies::ground::{Ground, Way};
use crate::proxies::process::{Proxy, free_port, project};
use crate::refer::memory::private;

const START: Duration = Duration::from_secs(30);

/// A running page.
pub struct Site {
    /// Its process.
    pub process: Proxy,
}

/// Octets.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// Its own.
    pub private: f64,
    /// All, with what it has read of the store's file.
    pub all: f64,
}

impl Site {
    /// Starts it. Half of the users have signed in before, and have a phone.
    pub fn start(ground: &Ground) -> Result<Site, String> {
        let program = project().join("target/release/sipoauth-signin");
        if !program.exists() {
            return Err(format!("{} is missing: run make first", program.display()));
        }
        let port = free_port()?;
        let config = ground.config("page", Way::Page(port))?;
        Phones::of_store(&config, USERS / 2)?;
        // It ends when this process does, however that ends.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "TERM", "--"]).arg(program).arg("--config").arg(&config);
        let process = Proxy::spawn("sipoauth-signin", port, command, ground.base().join("page.log"));
        let mut site = Site { process: process.map_err(|e| format!("sipoauth-signin: {e}"))? };
        let until = Instant::now() + START;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            site.process.check()?;
            if Instant::now() > until {
                return Err(format!("sipoauth-signin: it does not answer\n{}", site.process.tail()));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(site)
    }

    /// Its memory now.
    pub fn memory(&self) -> Result<Memory, String> {
        let own = self.process.processes()?.into_iter().filter_map(private).sum();
        Ok(Memory { private: own, all: self.process.memory()? })
    }
}
