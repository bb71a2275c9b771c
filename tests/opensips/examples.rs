// SPDX-License-Identifier: MIT OR Apache-2.0

//! Each example starts, and so does each configuration of the guide.

use std::fs;

use crate::stack::{Stack, configured};
use crate::support::kamailio::Kamailio;
use crate::support::kit;
use crate::support::redis::Redis;
use crate::support::sip::{Client, Request};
use crate::support::temporary::Directory;
use crate::support::token::signing_key;

/// Files that others include.
const PARTS: [&str; 4] = ["common.cfg", "calls.cfg", "registrar.cfg", "registrar-websocket.cfg"];

#[test]
fn every_example_starts() {
    let mut count = 0;
    for entry in fs::read_dir(kit::path("cfg-examples/opensips")).expect("part of the project").flatten() {
        let name = entry.file_name().into_string().expect("UTF-8");
        if PARTS.contains(&&*name) {
            continue;
        }
        let directory = Directory::new("example");
        let key = directory.write("store.key", "a secret of the tests, thirty-two octets and more");
        let signing = directory.write("signing.pem", signing_key());
        let store = directory.file("store");
        fs::create_dir(&store).expect("a folder");
        let redis = Redis::start(&[]);
        let store = match &*name {
            "cluster.cfg" => format!("redis://127.0.0.1:{}/0", redis.port()),
            _ => store.display().to_string(),
        };
        let text = fs::read_to_string(entry.path()).expect("text");
        let with_client =
            crate::stack::provider("https://login.example.com") + ";client_id=proxy;client_secret=of-the-proxy";
        let provider = match &*name {
            "password-tokens.cfg" => format!(
                "name=local;issuer=https://sip.example.test;audience=sip;domain=example.test;scope=sip;\
                 password_grant=issue;signing_key_files={}",
                signing.display()
            ),
            _ if text.contains("\"store\"") => with_client,
            _ => crate::stack::provider("https://login.example.com"),
        };
        let rules = kit::path("cfg-examples/kamailio/mixed-fleet.toml");
        let mut builder = configured(&name, &provider).define("DEBUG", 2);
        if text.contains("\"store\"") {
            builder =
                builder.define_string("STORE", &store).define_string("STORE_KEY_FILE", key.to_str().expect("UTF-8"));
        }
        if name == "mixed-fleet.cfg" {
            builder = builder.define_string("CONFIG_FILE", rules.to_str().expect("UTF-8"));
        }
        if name == "sign-in-page.cfg" {
            let (store, key) = (store.as_str(), key.display());
            let settings = format!("store = \"{store}\"\nstore_key_file = \"{key}\"\ntyped_codes = true\n");
            builder = builder
                .define_string("CONFIG_FILE", directory.write("settings.toml", settings).to_str().expect("UTF-8"));
        }
        let stack = Stack::new(builder);
        assert!(stack.counter("accepted") == 0, "{name}");
        stack.finish();
        count += 1;
    }
    assert!(count >= 11, "{count}");
}

/// Blocks of the guide that are whole configurations.
#[test]
fn the_guides_configuration_starts() {
    let guide = fs::read_to_string(kit::path("docs/guide/opensips.md")).expect("part of the project");
    let blocks = guide.split("```opensips\n").skip(1).filter_map(|rest| rest.split("```").next());
    let whole: Vec<_> = blocks.filter(|block| block.contains("loadmodule")).collect();
    assert_eq!(whole.len(), 1, "the smallest registrar");
    let directory = Directory::new("guide");
    let text = whole[0].replace("192.0.2.10:5060", "127.0.0.1:5060");
    let kamailio = Kamailio::with(directory.write("guide.cfg", text)).start();
    // Only a REGISTER may bind anybody.
    let mut phone = Client::udp(kamailio.port());
    let reply = phone.request(&Request::new("INVITE", "sip:example.com", "sip:bob@example.com")).expect("an answer");
    assert_eq!(reply.status, 405, "{reply:?}");
    kamailio.stop().unwrap_or_else(|e| panic!("{e}"));
}
