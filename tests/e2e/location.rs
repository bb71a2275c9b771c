// SPDX-License-Identifier: MIT OR Apache-2.0

//! What usrloc and the registrar make of addresses: whoever is let in must not get somebody else's bindings. The script is
//! the smallest configuration of the README.

use serde_json::json;

use crate::stack::{Stack, configured, scripted_provider};
use crate::support::kamailio::Builder;
use crate::support::scripted_server::{self, ScriptedServer};
use crate::support::sip::Request;
use crate::support::temporary::Directory;
use crate::support::token::{self, TestKey};

const LOCATION: &str = "loadmodule \"usrloc.so\"\nloadmodule \"registrar.so\"\n";
const OURS: &str = "loadmodule \"auth_oauth.so\"\n";

fn script(modules: &str, settings: &str, save: &str) -> String {
    format!(
        "#!KAMAILIO\ndebug=DEBUG\nchildren=2\nauto_aliases=no\nlisten=udp:127.0.0.1:PORT\nlisten=tcp:127.0.0.1:PORT\n\
         loadmodule \"tm.so\"\nloadmodule \"sl.so\"\nloadmodule \"pv.so\"\nloadmodule \"textops.so\"\nloadmodule \"ctl.so\"\n\
         {modules}modparam(\"ctl\", \"binrpc\", CTL_SOCKET)\nmodparam(\"auth_oauth\", \"provider\", PROVIDER)\n{settings}\
         request_route {{\n if (is_method(\"REGISTER\")) route(REGISTER);\n sl_send_reply(\"404\", \"Not Found\");\n}}\n\
         route[REGISTER] {{\n if (!oauth_check(\"example.test\", \"REGISTER\")) {{\n oauth_reply();\n exit;\n }}\n {save}\n exit;\n}}\n"
    )
}

struct Plant {
    key: TestKey,
    server: ScriptedServer,
    directory: Directory,
}

impl Plant {
    fn new() -> Plant {
        let key = TestKey::p256("k");
        let server = ScriptedServer::start(scripted_server::key_set(&[key.jwk()]));
        Plant { key, server, directory: Directory::new("location") }
    }

    fn builder(&self, aor: &str, script: &str) -> Builder {
        let cfg = self.directory.write("kamailio.cfg", script);
        let provider = scripted_provider(&self.server).replace("aor={sip};domain=example.test", aor);
        configured(cfg.to_str().expect("UTF-8"), &provider)
    }

    fn register(&self, stack: &Stack, name: &str, user: &str) -> u16 {
        let mut claims = token::claims(&self.server.issuer(), "sip", "somebody", 300);
        claims["preferred_username"] = json!(name);
        let token = stack.secrets.keep(self.key.token("ES256", &claims));
        let mut phone = stack.udp();
        let mut request = Request::register(&format!("sip:{user}@example.test"));
        request = request.with("Authorization", format!("Bearer {token}"));
        request.set("Contact", format!("<sip:{name}@127.0.0.1:{}>", phone.local_port()));
        stack.request(&mut phone, &request).status
    }
}

const NAMED: &str = "aor=sip:{preferred_username}@{domain};domain=example.test";

#[test]
fn an_account_in_capitals_gets_nobodys_bindings_in_any_order_of_modules() {
    for modules in [format!("{LOCATION}{OURS}"), format!("{OURS}{LOCATION}")] {
        let plant = Plant::new();
        let stack = Stack::new(plant.builder(NAMED, &script(&modules, "", "save(\"location\");")));
        stack.wait_for_keys();
        for (name, user) in
            [("ALICE", "ALICE"), ("ALICE", "alice"), ("Alice", "Alice"), ("bob", "alice"), ("bob", "ALICE")]
        {
            assert_eq!(plant.register(&stack, name, user), 403, "{name} as {user}\n{}", stack.module_log());
        }
        let dump = stack.rpc("ul.dump", &[]).expect("usrloc");
        assert!(!dump.contains("alice") && !dump.contains("ALICE"), "{dump}");
        for user in ["alice", "ALICE"] {
            assert_eq!(plant.register(&stack, "alice", user), 200, "{user}\n{}", stack.module_log());
        }
        stack.finish();
    }
}

#[test]
fn where_the_registrar_keeps_case_accounts_differ_in_it() {
    let plant = Plant::new();
    let settings = "modparam(\"registrar\", \"case_sensitive\", 1)\n";
    let script = script(&format!("{OURS}{LOCATION}"), settings, "save(\"location\");");
    let stack = Stack::new(plant.builder(NAMED, &script));
    stack.wait_for_keys();
    assert_eq!(plant.register(&stack, "ALICE", "ALICE"), 200, "{}", stack.module_log());
    assert_eq!(plant.register(&stack, "ALICE", "alice"), 403, "{}", stack.module_log());
    assert_eq!(plant.register(&stack, "alice", "alice"), 200, "{}", stack.module_log());
    stack.finish();
}

#[test]
fn several_domains_need_a_location_service_that_tells_them_apart() {
    let plant = Plant::new();
    let open = "aor={sip};domains=example.test,b.test";
    let both = format!("{OURS}{LOCATION}");
    for aor in [open, "aor={sip}"] {
        let log = plant.builder(aor, &script(&both, "", "save(\"location\");")).start_refused();
        assert!(log.contains("use_domain") && log.contains("shared_user_names"), "{log}");
    }
    let prefix = "modparam(\"usrloc\", \"use_domain\", 1)\nmodparam(\"registrar\", \"realm_prefix\", \"sip.\")\n";
    let log = plant.builder(open, &script(&both, prefix, "save(\"location\");")).start_refused();
    assert!(log.contains("realm_prefix") && log.contains("shared_user_names"), "{log}");
    for settings in
        ["modparam(\"usrloc\", \"use_domain\", 1)\n", "modparam(\"auth_oauth\", \"allow\", \"shared_user_names\")\n"]
    {
        let stack = Stack::new(plant.builder(open, &script(&both, settings, "save(\"location\");")));
        stack.wait_for_keys();
        stack.finish();
    }
    // Without these modules there is nothing to look at.
    let stack = Stack::new(plant.builder(open, &script(OURS, "", "sl_send_reply(\"200\", \"OK\");")));
    stack.wait_for_keys();
    assert_eq!(plant.register(&stack, "ALICE", "somebody"), 200, "{}", stack.module_log());
    stack.finish();
}
