// SPDX-License-Identifier: MIT OR Apache-2.0

//! cfg-examples/kamailio/mixed-fleet.cfg with one account that has a password, `desk`.

use crate::stack::{Stack, configured, provider};
use crate::support::authorization_server::AuthorizationServer;
use crate::support::kit;
use crate::support::temporary::Directory;

pub const PASSWORD: &str = "a-password-of-a-desk-phone";

/// The rules of the example.
pub fn rules() -> String {
    std::fs::read_to_string(kit::path("cfg-examples/kamailio/mixed-fleet.toml")).expect("it is there")
}

/// The same for an operator who offers both to all whom no rule names.
pub fn rules_with_both_for_others() -> String {
    let rules = rules();
    let (all_but_last, _) = rules.rsplit_once("[[offer]]").expect("rules");
    format!("{all_but_last}[[offer]]\noffer = \"both\"\n")
}

pub fn start(rules: &str, domain: &str) -> (AuthorizationServer, Stack) {
    let (server, directory) = (AuthorizationServer::start(), Directory::new("offers"));
    let rules = directory.write("offers.toml", rules);
    let stack = Stack::new(
        configured("mixed-fleet.cfg", &provider(server.issuer()).replace("example.test", domain))
            .define_string("DOMAIN", domain)
            .define_string("CONFIG_FILE", rules.to_str().expect("UTF-8"))
            .define_string("DESK_USER", "desk")
            .define_string("DESK_PASSWORD", PASSWORD),
    );
    stack.secrets.keep(PASSWORD);
    stack.wait_for_keys();
    (server, stack)
}
