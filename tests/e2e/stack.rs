// SPDX-License-Identifier: MIT OR Apache-2.0

//! One of the example configurations, started with a provider, and watched for leaks: at the end of each test the
//! log at debug level 3, every RPC answer and every reply must be free of tokens and secrets.

use std::cell::RefCell;

use crate::support::authorization_server::AuthorizationServer;
use crate::support::kamailio::{Builder, Kamailio};
use crate::support::leak::Secrets;
use crate::support::patience::{self, PATIENCE};
use crate::support::scripted_server::ScriptedServer;
use crate::support::sip::{Client, Reply, Request};

pub const AUDIENCES: &str =
    "https://sip.example.test/rs256,https://sip.example.test/es256,https://sip.example.test/eddsa";

/// A provider line for an issuer whose tokens have the `sip` claim of the test kit.
pub fn provider(issuer: &str) -> String {
    format!("name=test;issuer={issuer};audience={AUDIENCES};aor={{sip}};domain=example.test")
}

/// A provider line for a scripted server, whose tokens are for the audience "sip".
pub fn scripted_provider(server: &ScriptedServer) -> String {
    format!("name=test;issuer={};audience=sip;aor={{sip}};domain=example.test", server.issuer())
}

/// An example of `cfg-examples/kamailio`, at debug level 3.
pub fn example(name: &str, issuer: &str) -> Builder {
    configured(name, &provider(issuer))
}

/// The same with a provider line of one's own.
pub fn configured(name: &str, provider: &str) -> Builder {
    let cfg = if name.contains('/') { name.to_owned() } else { format!("cfg-examples/kamailio/{name}") };
    Kamailio::with(cfg).define_string("PROVIDER", provider).define("DEBUG", 3)
}

/// A running example.
pub struct Stack {
    pub kamailio: Kamailio,
    pub secrets: Secrets,
    answers: RefCell<String>,
}

impl Stack {
    pub fn new(builder: Builder) -> Stack {
        Stack { kamailio: builder.start(), secrets: Secrets::new(), answers: RefCell::default() }
    }

    /// An example with the real authorization server; its keys are there when this returns.
    pub fn with_server(name: &str) -> (AuthorizationServer, Stack) {
        let server = AuthorizationServer::start();
        let stack = Stack::new(example(name, server.issuer()));
        stack.wait_for_keys();
        (server, stack)
    }

    pub fn udp(&self) -> Client {
        Client::udp(self.kamailio.port())
    }

    pub fn tcp(&self) -> Client {
        Client::tcp(self.kamailio.port())
    }

    pub fn ws(&self) -> Client {
        Client::ws(self.kamailio.websocket_port())
    }

    /// Registers with a token and remembers it as secret.
    pub fn register(&self, client: &mut Client, aor: &str, token: &str) -> Reply {
        self.secrets.keep(token);
        self.note(client.register(aor, Some(&format!("Bearer {token}"))).expect("an answer"))
    }

    /// Sends a request, remembers its proof as secret and keeps the reply for the leak check.
    pub fn request(&self, client: &mut Client, request: &Request) -> Reply {
        let body = String::from_utf8_lossy(&request.body);
        for text in [&*body, request.header("Authorization").unwrap_or_default()] {
            if let Some(pop) = text.split("pop=").nth(1) {
                self.secrets.keep(pop.trim_matches('"'));
            }
        }
        self.note(client.request(request).expect("an answer"))
    }

    /// Keeps a reply for the leak check.
    pub fn note(&self, reply: Reply) -> Reply {
        for (name, value) in &reply.headers {
            self.answers.borrow_mut().push_str(&format!("{name}: {value}\n"));
        }
        reply
    }

    pub fn rpc(&self, method: &str, arguments: &[&str]) -> Result<String, String> {
        let answer = self.kamailio.rpc(method, arguments);
        let text = answer.as_ref().unwrap_or_else(|e| e);
        self.answers.borrow_mut().push_str(text);
        answer
    }

    /// A statistic of the module.
    pub fn counter(&self, name: &str) -> u64 {
        let stats = self.rpc("auth_oauth.stats", &[]).expect("the RPC exists");
        let line = stats.lines().find(|l| l.trim().split(':').next() == Some(name));
        let line = line.unwrap_or_else(|| panic!("no statistic {name} in {stats}"));
        line.split(':').nth(1).and_then(|v| v.trim().parse().ok()).expect("a number")
    }

    /// Waits until the first key fetch has ended well.
    pub fn wait_for_keys(&self) {
        self.wait_until("keys are fetched", || {
            self.rpc("auth_oauth.providers", &[]).is_ok_and(|text| text.contains("state: fresh"))
        });
    }

    /// Polls a condition; panics with the log when it does not hold in time.
    pub fn wait_until(&self, what: &str, condition: impl FnMut() -> bool) {
        assert!(patience::until(PATIENCE, condition), "{what}: not in time\n{}", self.module_log());
    }

    /// The lines that this module has logged.
    pub fn module_log(&self) -> String {
        own_lines(&self.kamailio.log())
    }

    /// The log of a proxy that was killed: nothing of it is left, and no secret may be seen.
    pub fn bury(self) -> String {
        let own = own_lines(&self.kamailio.bury());
        self.secrets.assert_absent("the log of auth_oauth", &own);
        self.secrets.assert_absent("an answer", &self.answers.borrow());
        own
    }

    /// Ends the proxy: it must end cleanly, and nothing that our module wrote may show a secret.
    pub fn finish(self) {
        let log = self.kamailio.stop().unwrap_or_else(|e| panic!("{e}"));
        let own = own_lines(&log);
        assert!(!own.is_empty(), "the module has logged nothing at debug level 3");
        self.secrets.assert_absent("the log of auth_oauth", &own);
        self.secrets.assert_absent("an answer", &self.answers.borrow());
    }
}

fn own_lines(log: &str) -> String {
    log.lines().filter(|l| l.contains("auth_oauth")).map(|l| format!("{l}\n")).collect()
}
