// SPDX-License-Identifier: MIT OR Apache-2.0

//! Configurations of OpenSIPS, beside those of Kamailio: good ones, and the mistakes of people.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::check_config::{check, failed, failure};
use crate::support::temporary::Directory;
use crate::{run, run_with};

const HEAD: &str = "\
#!/usr/sbin/opensips -f
log_level=3          # what is logged
socket=udp:127.0.0.1:5060

/* modules */
mpath=\"/usr/lib/x86_64-linux-gnu/opensips/modules/\"
loadmodule \"proto_udp.so\"
loadmodule \"signaling.so\"
loadmodule \"usrloc.so\"
loadmodule \"registrar.so\"
loadmodule \"auth_oauth.so\"
";

const ROUTE: &str = "\
route {
    if ($hdr(Authorization) =~ \"^Bearer '\" && is_method(\"REGISTER\")) xlog(\"modparam($ru)\\n\");
    exit;
}
";

const PROVIDER: &str = "modparam(\"auth_oauth\", \"provider\",
    \"name=corp;issuer=https://as.example.test;\"   /* the second part has the rules */
    'audience=sip;aor={sip};domain=example.test')
";

const USE_DOMAIN: &str = "modparam(\"usrloc\", \"use_domain\", 1)\n";

fn path(file: &std::path::Path) -> &str {
    file.to_str().expect("UTF-8")
}

fn good() -> String {
    let own = "modparam(\"auth_oauth\", \"leeway\", 5)\nmodparam(\"auth_oauth\", \"location_table\", \"location\")\n";
    [HEAD, USE_DOMAIN, PROVIDER, own, ROUTE].concat()
}

fn messages(findings: &[Value], status: &str) -> Vec<String> {
    let of = findings.iter().filter(|f| f["status"] == status);
    of.map(|f| format!("{} / {}", f["message"].as_str().unwrap_or(""), f["fix"].as_str().unwrap_or(""))).collect()
}

#[test]
fn a_good_file_is_told_by_what_is_in_it() {
    let directory = Directory::new("check-config-opensips");
    let file = directory.write("opensips.cfg", good());
    for named in [&[path(&file)][..], &["--opensips", path(&file)]] {
        let findings = check(&[named, &["--offline"]].concat());
        assert_eq!((failed(&findings).len(), messages(&findings, "warning")), (0, vec![]), "{findings:?}");
        let told = messages(&findings, "ok");
        assert!(told[0].starts_with(&format!("{}: 1 provider(s), without sessions", file.display())), "{told:?}");
    }
    let kamailio = format!("#!KAMAILIO\nloadmodule \"auth_oauth.so\"\n{}", PROVIDER.replace('\'', "\""));
    let kamailio = kamailio.replace("/* the second part has the rules */", "");
    let file = directory.write("kamailio.cfg", kamailio);
    assert_eq!(failed(&check(&[path(&file), "--offline"])), Vec::<&Value>::new());
    // A preprocessor writes it to standard input.
    let piped = run_with(&["check-config", "--offline", "--opensips", "/dev/stdin"], &good());
    assert!(piped.code == 0 && piped.out.contains("Everything is as it should be."), "{}{}", piped.out, piped.err);
}

#[test]
fn included_files_are_read_beside_the_one_that_includes_them() {
    let directory = Directory::new("check-config-opensips-include");
    let secret = "modparam(\"auth_oauth\", \"store_key\", \"0123456789abcdef0123456789abcdef\")\n";
    let oauth = directory.write("oauth.cfg", [PROVIDER, secret].concat());
    fs::set_permissions(&oauth, fs::Permissions::from_mode(0o644)).expect("our own file");
    let store = format!("modparam(\"auth_oauth\", \"store\", \"{}\")\n", directory.file("store").display());
    let main = [HEAD, USE_DOMAIN, "include_file \"oauth.cfg\"\n", &store, ROUTE].concat();
    let file = directory.write("opensips.cfg", main);
    let findings = check(&[path(&file), "--offline"]);
    assert_eq!(failed(&findings), Vec::<&Value>::new());
    let told = messages(&findings, "warning");
    assert!(told.iter().any(|m| m.starts_with(&format!("{} holds a secret", oauth.display()))), "{told:?}");
    let (_, message, fix) = failure(&[path(&file), "--offline", "--set", "store=/nonexistent/deep/store"]);
    assert!(message.contains("/nonexistent/deep does not exist") && fix.contains("-o opensips -g opensips"), "{fix}");
}

/// Each has one sentence, with its file and line, and says what to do.
#[test]
fn mistakes_have_their_own_sentences() {
    let directory = Directory::new("check-config-opensips-broken");
    let expect = |name: &str, lines: &str, message: &str, fix: &str| {
        let file = directory.write(&format!("{name}.cfg"), [HEAD, USE_DOMAIN, lines].concat());
        let (check_name, found, found_fix) = failure(&[path(&file), "--offline"]);
        assert_eq!(check_name, "configuration", "{name}: {found}");
        assert!(found.contains(message) && found_fix.contains(fix), "{name}: {found}: {found_fix}");
    };
    let parameter = |key: &str, value: &str| format!("modparam(\"auth_oauth\", \"{key}\", {value})\n");
    let typo = "typo.cfg:13: modparam: leway: unknown key 'leway', did you mean 'leeway'?";
    expect("typo", &parameter("leway", "3"), typo, "");
    let near = "near.cfg:13: modparam: unknown key 'locaton_table', did you mean 'location_table'?";
    expect("near", &parameter("locaton_table", "\"x\""), near, "");
    let kemi = "kemi.cfg:13: modparam: event_callback: OpenSIPS's module has no such parameter";
    expect("kemi", &parameter("event_callback", "\"x\""), kemi, "remove this line");
    let open = "open.cfg:13: the text that begins here has no closing '\"'";
    expect("open", "modparam(\"auth_oauth\", \"realm, 3)\n", open, "");
    let ticked = "ticked.cfg:13: the text that begins here has no closing \"'\"";
    expect("ticked", "modparam('auth_oauth', 'realm, 3)\n", ticked, "");
    let comment = "comment.cfg:14: the comment that begins here has no end";
    expect("comment", "\n/* unfinished\n", comment, "");
    let bare = "bare.cfg:13: modparam: 'REALM' is neither a text in quotes nor a number";
    expect("bare", &parameter("realm", "REALM"), bare, "what the preprocessor of OpenSIPS (-p) prints");
    let missing = format!("missing.cfg:13: the included file cannot be read: {}", directory.file("no.cfg").display());
    expect("missing", "import_file \"no.cfg\"\n", &missing, "");
    let unquoted = "unquoted.cfg:13: OpenSIPS includes no file here";
    expect("unquoted", "include_file no.cfg\n", unquoted, "at the beginning of a line, with quotes");
    let itself = "itself.cfg:13: too many included files at itself.cfg";
    expect("itself", "include_file \"itself.cfg\"\n", itself, "does a file include itself?");
    let slashes = "slashes.cfg:13: OpenSIPS has no comments with //";
    expect("slashes", "// the provider's line\n", slashes, "write #");
    let goes_on = "goes_on.cfg:13: modparam: realm: OpenSIPS puts '__OSSPP_LINE__' into a text";
    expect("goes_on", &parameter("realm", "\"one \\\ntwo\""), goes_on, "open another one in the next line");
    let provider = "provider.cfg:13: modparam: provider: unknown key 'isuer', did you mean 'issuer'?";
    expect("provider", &parameter("provider", "\"name=corp;isuer=https://as.example.test\""), provider, "");
    let nothing = run(&["check-config", "/nonexistent.cfg"]);
    assert!(nothing.code == 1 && nothing.out.contains("/nonexistent.cfg: cannot be read"), "{}", nothing.out);
}

#[test]
fn a_file_of_the_other_proxy_is_noticed() {
    let directory = Directory::new("check-config-other-proxy");
    let expect = |text: &str, option: &[&str], message: &str, fix: &str| {
        let file = directory.write("proxy.cfg", text);
        let (_, found, found_fix) = failure(&[option, &[path(&file), "--offline"]].concat());
        let fix = fix.replace("FILE", path(&file));
        assert!(found.contains(message) && found_fix.contains(&fix), "{found}: {found_fix}");
    };
    let module = "loadmodule \"auth_oauth.so\"\n";
    let opensips = "proxy.cfg:2: 'log_level' shows that this is a configuration of OpenSIPS, not of Kamailio";
    expect(&good(), &["--kamailio"], opensips, "write --opensips FILE");
    let kamailio = format!("#!KAMAILIO\n{module}request_route {{ exit; }}\n");
    let shown = "proxy.cfg:1: '#!KAMAILIO' shows that this is a configuration of Kamailio, not of OpenSIPS";
    expect(&kamailio, &["--opensips"], shown, "write --kamailio FILE");
    let neither = "nothing in this file itself shows whether it is a configuration of Kamailio or of OpenSIPS";
    expect(module, &[], neither, "write --kamailio FILE or --opensips FILE");
    let both = "has words of Kamailio ('request_route' in line 2) and of OpenSIPS ('socket=' in line 1)";
    let mixed = format!("socket=udp:127.0.0.1:5060\nrequest_route {{ exit; }}\n{module}");
    expect(&mixed, &[], both, "write --kamailio FILE or --opensips FILE");
    expect(&good(), &["-A", "WITH_TLS"], "-A WITH_TLS: OpenSIPS has no definitions", "leave -A out");
    let two = run(&["check-config", "proxy.cfg", "--opensips", "proxy.cfg"]);
    assert!(two.code == 1 && two.err.contains("cannot be used with"), "{}", two.err);
}

/// The default of use_domain is another one in OpenSIPS 4.0, and the file does not show the version.
#[test]
fn the_location_service_is_asked_for_its_domains() {
    let directory = Directory::new("check-config-opensips-domains");
    let two = "modparam(\"auth_oauth\", \"provider\", \"name=corp;issuer=https://as.example.test;audience=sip;aor={sip};domains=a.test,b.test\")\n";
    let check_with = |usrloc: &str, provider: &str| {
        let file = directory.write("opensips.cfg", [HEAD, usrloc, provider].concat());
        check(&[path(&file), "--offline"])
    };
    assert_eq!(failed(&check_with(USE_DOMAIN, two)), Vec::<&Value>::new());
    let mixed = check_with("", two);
    assert!(messages(&mixed, "failed")[0].contains("the location service mixes up domains"), "{mixed:?}");
    for findings in [mixed, check_with("", PROVIDER)] {
        let told = messages(&findings, "warning");
        let words =
            "usrloc has no use_domain, whose default is 0 up to OpenSIPS 3.6 and 1 from 4.0: this tool takes 0 / write";
        assert!(told.iter().any(|m| m.contains(words)), "{told:?}");
    }
}
