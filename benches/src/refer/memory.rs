// SPDX-License-Identifier: MIT OR Apache-2.0
//! Memory of a proxy, by its parts.

use std::fs;

use super::site::Site;

/// Kamailio's own shared memory is larger than this, and ours is not.
const LARGE: u64 = 1 << 30;
/// What the module calls its own process.
const IO_PROCESS: &str = "auth_oauth io";

/// Octets.
#[derive(Clone, Copy, Debug, Default)]
pub struct Memory {
    /// Shared memory of the library that was ever touched.
    pub arena: f64,
    /// Private memory of the module's own process.
    pub io_process: f64,
    /// Private memory of all other processes.
    pub others: f64,
    /// Kamailio's shared memory in use.
    pub kamailio: f64,
}

impl Memory {
    /// That of a running proxy.
    pub fn of(site: &Site) -> Result<Memory, String> {
        let io_process = io_process(site)?;
        let mut memory = Memory { kamailio: used(site)?, ..Memory::default() };
        for pid in site.proxy.processes()? {
            memory.arena += arena(pid).unwrap_or(0.0);
            let own = private(pid).unwrap_or(0.0);
            if i64::from(pid) == io_process { memory.io_process += own } else { memory.others += own }
        }
        Ok(memory)
    }

    /// What has come since then.
    pub fn since(&self, before: &Memory) -> Memory {
        Memory {
            arena: self.arena - before.arena,
            io_process: self.io_process - before.io_process,
            others: self.others - before.others,
            kamailio: self.kamailio - before.kamailio,
        }
    }

    /// All parts.
    pub fn total(&self) -> f64 {
        self.arena + self.io_process + self.others + self.kamailio
    }

    /// What may be given back: the library's shared memory has its size for good, and places in it are used in turn.
    pub fn without_arena(&self) -> f64 {
        self.total() - self.arena
    }
}

/// Kamailio's shared memory in use.
pub fn used(site: &Site) -> Result<f64, String> {
    let answer = site.ask("core.shmmem")?;
    answer["used"].as_f64().ok_or_else(|| format!("core.shmmem says {answer}"))
}

fn io_process(site: &Site) -> Result<i64, String> {
    let answer = site.ask("core.psx")?;
    let all = answer.as_array().ok_or_else(|| format!("core.psx says {answer}"))?;
    let own = all.iter().find(|process| process["DSC"] == IO_PROCESS);
    own.and_then(|process| process["PID"].as_i64()).ok_or_else(|| format!("core.psx says {answer}"))
}

/// Memory that a process shares with nobody, and that is no part of a file.
pub fn private(pid: i32) -> Option<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    kib(text.lines().find_map(|line| line.strip_prefix("RssAnon:"))?)
}

fn kib(text: &str) -> Option<f64> {
    Some(text.split_whitespace().next()?.parse::<f64>().ok()? * 1024.0)
}

/// This process's part of the library's shared memory: what several processes have touched counts once.
fn arena(pid: i32) -> Option<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps")).ok()?;
    let (mut is_ours, mut sum) = (false, 0.0);
    for line in text.lines() {
        let first = line.split_whitespace().next()?;
        if let Some((begin, end)) = first.split_once('-').filter(|_| !first.ends_with(':')) {
            let size = u64::from_str_radix(end, 16).ok()? - u64::from_str_radix(begin, 16).ok()?;
            is_ours = line.contains("/dev/zero") && size < LARGE;
        } else if let Some(rest) = line.strip_prefix("Pss:").filter(|_| is_ours) {
            sum += kib(rest)?;
        }
    }
    Some(sum)
}
