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
    let with = |body: &str| {
        let route = format!("loadmodule \"textops.so\"\n{provider}request_route {{ {body} }}\n");
        let circle = "if ($var(x)) route(CIRCLE); if ($var(y)) route(CIRCLE);";
        format!(
            "{base}{route}route[CHECKED] {{ if (!oauth_check(\"x\")) exit; }}\nroute[CIRCLE] {{ {circle} route(CHECKED); }}\n"
        )
    };
    // Kamailio calls what follows a check that has to wait, and goes on by its result.
    let follows = "this condition calls another function after oauth_check";
    for (name, script, word) in [
        ("and", with("if (!oauth_check(\"x\") && !is_method(\"ACK\")) exit;"), follows),
        ("or", with("if (oauth_check(\"x\") || is_method(\"ACK\")) exit;"), follows),
        ("variable between", with("if (oauth_check(\"x\") || $var(x) == 1 || isflagset(1)) exit;"), follows),
        ("compared", with("if (oauth_check(\"x\") == is_method(\"ACK\")) exit;"), follows),
        ("in a circle", with("if (route(CIRCLE) || isflagset(1)) exit;"), follows),
        ("in a route", with("if (!(route(CHECKED) && $var(x) > 1) && isflagset(1)) exit;"), follows),
        (
            "deeper",
            with(
                "switch ($rm) { case \"ACK\": while (1) { if ($var(x)) { if (!oauth_check(\"x\") && isflagset(1)) exit; } } }",
            ),
            follows,
        ),
        ("assigned", with("$var(x) = oauth_check(\"x\") + is_method(\"ACK\");"), follows),
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
    // Nothing is called after these, because a check that has to wait counts as false.
    for well in [
        "if (oauth_check(\"x\") && is_method(\"ACK\")) exit;",
        "if (is_method(\"ACK\") || !oauth_check(\"x\") || isflagset(1)) exit;",
        "if (is_method(\"ACK\") && !oauth_check(\"x\")) exit;",
        "if (!(oauth_check(\"x\") && isflagset(1)) || isflagset(2)) exit;",
        "if (!oauth_check(\"x\") && $rU == \"x\") exit;",
        "$var(x) = oauth_check(\"x\");",
        "if (!is_method(\"ACK\")) route(CHECKED); if (isflagset(1)) exit;",
    ] {
        let cfg = directory.write(
            "well.cfg",
            format!(
                "#!KAMAILIO\nlisten=udp:127.0.0.1:PORT\n{}",
                with(&format!("sl_send_reply(\"200\", \"OK\"); {well}"))
            ),
        );
        Kamailio::with(cfg).start().stop().unwrap_or_else(|e| panic!("{well}: {e}"));
    }
}
