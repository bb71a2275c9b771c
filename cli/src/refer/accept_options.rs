// SPDX-License-Identifier: MIT OR Apache-2.0
//! The options of `sipoauth refer accept`, as they are typed.

use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::course::Course;
use crate::options::seconds;

const EXIT_CODES: &str = "\
Examples:
  sipoauth refer accept --listen 192.0.2.2:5060
  sipoauth refer accept --listen 192.0.2.2:5060 --once --wait 60 --status '180 Ringing,486 Busy Here' --step-ms 2000

It calls nobody. NOTIFYs go back where the subscription came from. A REFER without Require gets an implicit subscription
(RFC 3515); explicitsub and nosub are those of RFC 7614. There are no calls here, so a REFER within one gets 481.

Exit codes: 0 the time was up, or with --once a REFER was accepted and all its subscribers got its end; 1 wrong options or
the network; 7 with --once: no REFER was accepted in time, or a NOTIFY was not answered with 2xx.";

/// Where to listen, and what to tell.
#[derive(Args)]
#[command(after_help = EXIT_CODES)]
pub struct AcceptOptions {
    /// The address to listen at; port 0 takes a free one
    #[arg(long, value_name = "HOST:PORT")]
    pub listen: String,
    /// How to listen
    #[arg(long, value_enum, default_value = "udp")]
    pub transport: ListenTransport,
    /// The course of the referred request, after 100 Trying; the last status is final
    #[arg(long, value_name = "STATUS,…", default_value = "180 Ringing,200 OK", value_parser = Course::parse)]
    pub status: Course,
    /// Milliseconds from one status to the next
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(..=3_600_000))]
    pub step_ms: u64,
    /// Seconds for which the last status is kept for new subscribers (2*64*T1, RFC 7614 section 4.7)
    #[arg(long, value_name = "SECONDS", default_value = "64", value_parser = seconds)]
    pub hold: Duration,
    /// Seconds until it ends [default: it does not end]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub wait: Option<Duration>,
    /// End when one REFER was accepted and its end was told
    #[arg(long)]
    pub once: bool,
    /// Print credentials and bodies in full
    #[arg(long)]
    pub show_secrets: bool,
}

/// How the accepting side listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ListenTransport {
    /// Datagrams.
    Udp,
    /// Streams.
    Tcp,
}

impl AcceptOptions {
    /// The address to listen at.
    pub fn address(&self) -> Result<SocketAddr, String> {
        let wrong = || format!("--listen {:?} is not HOST:PORT, such as 192.0.2.2:5060", self.listen);
        self.listen.to_socket_addrs().ok().and_then(|mut all| all.next()).ok_or_else(wrong)
    }

    /// The time from one status to the next.
    pub fn step(&self) -> Duration {
        Duration::from_millis(self.step_ms)
    }
}
