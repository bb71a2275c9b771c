// SPDX-License-Identifier: MIT OR Apache-2.0
//! The proxies: ours, and Kamailio's presence, which shares nothing with ours but Kamailio and tm.

use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use super::scene::Story;
use crate::kamailio::proxy::{has_module, launch_script};
use crate::proxies::ground::{Ground, Way};
use crate::proxies::process::Proxy;

/// A proxy, and the socket at which it answers questions.
pub struct Site {
    /// The proxy.
    pub proxy: Proxy,
    /// What it tells.
    pub story: Story,
    rpc: PathBuf,
}

impl Site {
    /// Starts a proxy for a story. `lifetime` is how long a REFER is followed, in seconds. None where Kamailio's module is
    /// missing.
    pub fn start(ground: &Ground, name: &'static str, story: Story, lifetime: u32) -> Result<Option<Site>, String> {
        let module = match story {
            Story::Refer => "auth_oauth.so",
            Story::Dialog => "presence_dialoginfo.so",
            Story::Summary => "presence_mwi.so",
        };
        if !has_module(module) {
            return Ok(None);
        }
        let rpc = ground.base().join(format!("{name}-rpc"));
        let mut defines = vec![format!("RPC_SOCKET=\"{}\"", rpc.display())];
        match story {
            Story::Refer => {
                let file = ground.config(name, Way::Refers(lifetime))?;
                defines.extend(["REFERS".to_owned(), format!("CONFIG_FILE=\"{}\"", file.display())]);
            }
            Story::Dialog => defines.extend([SERVER.to_owned(), "DIALOG".to_owned()]),
            Story::Summary => defines.push(SERVER.to_owned()),
        }
        let mut proxy = launch_script("refer.cfg", name, ground.base(), &defines)?;
        proxy.wait_until_ready()?;
        Ok(Some(Site { proxy, story, rpc }))
    }

    /// Asks the proxy by JSON-RPC.
    pub fn ask(&self, method: &str) -> Result<Value, String> {
        let own = self.rpc.with_extension("client");
        let asked = || -> std::io::Result<Vec<u8>> {
            let _ = std::fs::remove_file(&own);
            let socket = UnixDatagram::bind(&own)?;
            socket.set_read_timeout(Some(Duration::from_secs(5)))?;
            let question = json!({ "jsonrpc": "2.0", "method": method, "id": 1 }).to_string();
            socket.send_to(question.as_bytes(), &self.rpc)?;
            let mut answer = vec![0; 65_536];
            let length = socket.recv(&mut answer)?;
            answer.truncate(length);
            Ok(answer)
        };
        let answer = asked().map_err(|e| format!("{}: {method}: {e}", self.proxy.name))?;
        let mut value: Value = serde_json::from_slice(&answer).map_err(|e| format!("{method}: {e}"))?;
        Ok(value["result"].take())
    }
}

const SERVER: &str = "SERVER_ADDRESS=\"sip:presence@127.0.0.1\"";
