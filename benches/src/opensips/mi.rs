// SPDX-License-Identifier: MIT OR Apache-2.0
//! What OpenSIPS says of itself: statistics, asked over its management interface.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// tm lets go of a transaction 5 s after its answer, and looks once a second.
const QUIET: Duration = Duration::from_secs(20);

/// The sockets of one proxy: its own, and the one to which it answers.
pub struct Mi {
    socket: PathBuf,
    reply: PathBuf,
}

impl Mi {
    /// Neither has to be there yet.
    pub fn new(socket: PathBuf, reply: PathBuf) -> Mi {
        Mi { socket, reply }
    }

    /// Octets of shared memory in use.
    pub fn shared_memory(&self) -> Result<f64, String> {
        self.statistic("shmem", "real_used_size")
    }

    /// Waits until tm has let go of all transactions.
    pub fn settle(&self) -> Result<(), String> {
        let deadline = Instant::now() + QUIET;
        while self.statistic("tm", "inuse_transactions")? > 0.0 {
            if Instant::now() > deadline {
                return Err("tm does not let go of its transactions".into());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    fn statistic(&self, group: &str, name: &str) -> Result<f64, String> {
        let group = format!("{group}:");
        let answer = self.ask("get_statistics", &json!([[group]]))?;
        let name = group + name;
        answer[&name].as_f64().ok_or_else(|| format!("no {name} in {answer}"))
    }

    fn ask(&self, method: &str, parameters: &Value) -> Result<Value, String> {
        let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": parameters });
        let asked = || -> std::io::Result<Vec<u8>> {
            let _ = fs::remove_file(&self.reply);
            let own = UnixDatagram::bind(&self.reply)?;
            own.set_read_timeout(Some(PATIENCE))?;
            own.send_to(request.to_string().as_bytes(), &self.socket)?;
            let mut buffer = vec![0; 65_536];
            let length = own.recv(&mut buffer)?;
            buffer.truncate(length);
            Ok(buffer)
        };
        let octets = asked().map_err(|e| format!("{}: {e}", self.socket.display()))?;
        let mut answer: Value = serde_json::from_slice(&octets).map_err(|e| format!("an answer of OpenSIPS: {e}"))?;
        match answer.get("error") {
            Some(error) => Err(format!("OpenSIPS: {error}")),
            None => Ok(answer["result"].take()),
        }
    }
}
