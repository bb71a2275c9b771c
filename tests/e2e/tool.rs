// SPDX-License-Identifier: MIT OR Apache-2.0

//! `sipoauth check-config` reads a Kamailio configuration as Kamailio does: both say the same sentence of the same
//! file, with the value as it came out of quotes, definitions, conditions and included files.

use std::path::Path;
use std::process::Command;

use crate::support::kamailio::Kamailio;
use crate::support::temporary::Directory;
use crate::support::tool::tool;

const BASE: &str = "#!KAMAILIO\nlisten=udp:127.0.0.1:PORT\nloadmodule \"tm.so\"\nloadmodule \"sl.so\"\nloadmodule \"pv.so\"\nloadmodule \"auth_oauth.so\"\n";
const PROVIDER: &str =
    "modparam(\"auth_oauth\", \"provider\", \"name=a;issuer=https://as.example;audience=x;aor={sip}\")\n";

/// The tool's sentence of a configuration file.
fn sentence(cfg: &Path) -> String {
    let mut command = Command::new(tool());
    command.args(["check-config", "--offline", "--json", "-A", "PORT=5060", "-A", "GIVEN=\"from the options\""]);
    let output = command.arg("--kamailio").arg(cfg).output().expect("built");
    let findings: serde_json::Value = serde_json::from_slice(&output.stdout).expect("a list");
    let failed = findings.as_array().expect("a list").iter().find(|f| f["status"] == "failed");
    failed.unwrap_or_else(|| panic!("{findings}"))["message"].as_str().expect("a text").to_owned()
}

#[test]
fn the_tool_reads_what_kamailio_reads() {
    let directory = Directory::new("tool-kamailio");
    directory.write("more.cfg", "#!ifdef GIVEN\n#!define INCLUDED \"in\" \"cluded\"\n#!endif\n");
    for (name, script, value) in [
        ("escapes", r#"modparam("auth_oauth", "location", "a\"b\x41\101\d \\ 'c'")"#, r#"a"baa\d \ 'c'"#),
        ("neighbours", "modparam(\"auth_oauth\", \"location\", \"a#\" \n\t\"//b\" # c\n)", "a#//b"),
        ("ticks", r#"modparam('auth_oauth', 'location', 'a\n"b"')"#, r#"a\n"b""#),
        ("definition", "#!define L \"x\" \\\n \"y\"\nmodparam(\"auth_oauth\", \"location\", L)", "xy"),
        (
            "options",
            "#!ifndef GIVEN\n#!define GIVEN \"here\"\n#!endif\nmodparam(\"auth_oauth\", \"location\", GIVEN)",
            "from the options",
        ),
        (
            "condition",
            "#!ifdef NOWHERE\nmodparam(\"auth_oauth\", \"location\", \"no, 'this\n#!else\nmodparam(\"nobody|auth_oauth\", \"location\", \"else\")\n#!endif",
            "else",
        ),
        ("module", "#!ifdef MOD_auth_oauth\nmodparam(\"auth_oauth\", \"location\", \"loaded\")\n#!endif", "loaded"),
        ("included", "include_file \"more.cfg\"\nmodparam(\"auth_oauth\", \"location\", INCLUDED)", "included"),
        (
            "substituted",
            "#!substdef \"!WHERE!there!g\"\nmodparam(\"auth_oauth\", \"location\", \"WHERE or WHERE\")",
            "there or there",
        ),
        (
            "quoted substitution",
            "#!substdefs \"!WHERE!over there!\"\nmodparam(\"auth_oauth\", \"location\", WHERE)",
            "over there",
        ),
        (
            "redefined",
            "#!define L \"one\"\n#!trydef L \"two\"\n#!redefine L \"three\"\nmodparam(\"auth_oauth\", \"location\", L)",
            "three",
        ),
        ("comment", "/* /* \" */ */ // '\n# \"\nmodparam(\"auth_oauth\", /* x */ \"location\", \"seen\")", "seen"),
        ("number", "modparam(\"auth_oauth\", \"location\", 0x10)", "16"),
    ] {
        let text = format!("{BASE}{PROVIDER}{script}\nrequest_route {{ if ($(hdr(X){{s.rm,\"}}) == 1) exit; }}\n");
        let cfg = directory.write(&format!("{}.cfg", name.replace(' ', "-")), text);
        let wanted = format!("location: '{value}' is not possible, write no, yes or 302");
        assert_eq!(sentence(&cfg), wanted, "{name}: the tool");
        let log = Kamailio::with(&cfg).define("GIVEN", "\"from the options\"").start_refused();
        assert!(log.contains(&wanted), "{name}: Kamailio\n{log}");
    }
    // Some parameters the module knows alone.
    let text = format!(
        "{BASE}{PROVIDER}modparam(\"auth_oauth\", \"location_table\", \"x\")\nmodparam(\"auth_oauth\", \"proxy_accepts_authorization\", 1)\nmodparam(\"auth_oauth\", \"leeway\", -1)\n"
    );
    let cfg = directory.write("module-only.cfg", text);
    let found = sentence(&cfg);
    assert!(found.contains("module-only.cfg:10: modparam: leeway: ") && found.contains("-1"), "{found}");
    let log = Kamailio::with(&cfg).start_refused();
    assert!(log.contains("leeway: ") && log.contains("-1"), "{log}");
}
