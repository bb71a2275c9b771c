// SPDX-License-Identifier: MIT OR Apache-2.0

//! A wrong configuration stops the start with a sentence that names the place, the key and the fix.

use crate::stack::configured;
use crate::support::kamailio::Kamailio;
use crate::support::temporary::Directory;

fn refused(provider: &str, words: &[&str]) {
    let log = configured("registrar-sso.cfg", provider).start_refused();
    for word in words {
        assert!(log.lines().any(|l| l.contains("auth_oauth") && l.contains(word)), "{word}: {log}");
    }
}

#[test]
fn a_wrong_provider_stops_the_start() {
    refused("name=corp;isuer=https://as.example", &["unknown key 'isuer', did you mean 'issuer'?"]);
    refused("name=corp;issuer=https://as.example;aor={sip}", &["provider 'corp': audience: is missing"]);
    refused("name=corp;issuer=http://as.example;audience=a;aor={sip}", &["write https://"]);
    refused(
        "name=corp;issuer=https://as.example;audience=a;aor={sip};pem_file=/nonexistent/key.pem",
        &["pem_file: cannot read /nonexistent/key.pem"],
    );
}

#[test]
fn a_wrong_file_stops_the_start_with_its_line() {
    let directory = Directory::new("configuration");
    let file = directory.write("auth_oauth.toml", "leeway = 10\nretry_after = \"soon\"\n");
    let path = file.to_str().expect("UTF-8");
    let builder = configured("registrar-sso.cfg", &crate::stack::provider("https://as.example"));
    let log = builder.define_string("CONFIG_FILE", path).start_refused();
    assert!(log.contains("auth_oauth.toml, line 2") && log.contains("soon"), "{log}");
}

#[test]
fn mistakes_in_the_script_stop_the_start() {
    let base = "loadmodule \"tm.so\"\nloadmodule \"sl.so\"\nloadmodule \"pv.so\"\nloadmodule \"auth_oauth.so\"\n";
    let provider =
        "modparam(\"auth_oauth\", \"provider\", \"name=a;issuer=https://as.example;audience=x;aor={sip}\")\n";
    let directory = Directory::new("scripts");
    for (name, script, word) in [
        ("no provider", base.to_owned(), "no provider is configured"),
        ("setting", format!("{base}{provider}modparam(\"auth_oauth\", \"leeway\", 9999)\n"), "leeway: 9999"),
        ("resume route", format!("{base}{provider}request_route {{ oauth_check(\"x\", \"NOWHERE\"); }}\n"), "NOWHERE"),
        ("variable", format!("{base}{provider}request_route {{ $var(x) = $oauth(colour); }}\n"), "colour"),
    ] {
        let cfg = directory.write(
            &format!("{}.cfg", name.replace(' ', "-")),
            format!("#!KAMAILIO\nlisten=udp:127.0.0.1:PORT\n{script}"),
        );
        let log = Kamailio::with(cfg).start_refused();
        assert!(log.contains(word), "{name}: {log}");
    }
}
