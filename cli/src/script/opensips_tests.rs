use std::collections::BTreeMap;

use proptest::prelude::*;

use super::tests::Fake;
use super::*;

const LOAD: &str = "loadmodule \"auth_oauth.so\"\n";
const CFG: &str = "/etc/o/opensips.cfg";

fn read_as(text: &str, named: Option<Proxy>, defines: &[String]) -> Result<Script, String> {
    let files = Fake(BTreeMap::from([
        (CFG, text.to_owned()),
        ("/etc/o/more.cfg", format!("{LOAD}modparam(\"auth_oauth\", \"realm\", \"more\")\n")),
        ("/etc/o/loop.cfg", "# twice\ninclude_file \"loop.cfg\"\ninclude_file \"loop.cfg\"\n".to_owned()),
        ("/etc/o/opens.cfg", "/* a comment that ends elsewhere".to_owned()),
        ("/etc/o/sub/one.cfg", "include_file \"two.cfg\"".to_owned()),
        ("/etc/o/sub/two.cfg", "\nmodparam(\"auth_oauth\", \"realm\", \"two\")".to_owned()),
    ]));
    read(Path::new(CFG), named, defines, &files).map_err(|e| e.0)
}

fn script(text: &str) -> Result<Script, String> {
    read_as(text, Some(Proxy::OpenSips), &[])
}

/// The values of all parameters of a script after the module is loaded.
fn values(text: &str) -> Vec<String> {
    let script = script(&format!("{LOAD}{text}")).unwrap_or_else(|e| panic!("{text}: {e}"));
    script.parameters.into_iter().map(|p| p.value).collect()
}

/// What OpenSIPS makes of them: 3.4, 3.6 and 4.0 show it in their errors for unknown parameters.
#[test]
fn texts_and_numbers_are_read_as_opensips_reads_them() {
    for (argument, wanted) in [
        (r#""plain""#, "plain"),
        ("\"a\" 'b' /* and */ \"c\"\n\"d\"", "abcd"),
        (r#""say \"hi\" \\ \x41\x4a \101 \7 \d \$""#, "say \"hi\" \\ AJ A \\7 \\d \\$"),
        ("\"one\ntwo\"", "one\ntwo"),
        ("\"a#b//c/*d*/\"", "a#b//c/*d*/"),
        (r"'raw \n $x'", r"raw \n $x"),
        ("30", "30"),
        ("-3", "-3"),
        ("+3", "3"),
        ("0x1F", "31"),
        ("010", "8"),
        ("enable", "1"),
        ("off", "0"),
        ("\"\"", ""),
    ] {
        assert_eq!(values(&format!("modparam(\"auth_oauth\", \"realm\", {argument})")), [wanted], "{argument}");
    }
}

#[test]
fn only_this_modules_parameters_count() {
    // What Kamailio's preprocessor acts on is a comment.
    let text = "socket=udp:127.0.0.1:5060\n#!define R \"x\"\n#!ifdef R
        modparam(\"tm|Auth_OAuth\", \"realm\", \"a\") # modparam(\"auth_oauth\", \"realm\", \"b\")
        /* modparam(\"auth_oauth\", \"realm\", \"c\") /* nested */ */
        modparam(\"usrloc\", \"realm\", \"e\")
        route { if (!is_method(\"X\") && $hdr(a) =~ \"modparam('\" && $(hdr(x){re.subst,/\"/y/}) == 1) xlog(\"$var(x)\\
        \"); }
        modparam('auth_oauth', 'realm', 'f')";
    assert_eq!(values(text), ["a", "f"]);
}

#[test]
fn files_are_included_line_by_line() {
    let first = |text: &str| script(text).unwrap_or_else(|e| panic!("{text}: {e}")).parameters[0].clone();
    for text in ["include_file \"more.cfg\"", "\n \timport_file'more.cfg' and what not\r\n"] {
        let more = first(text);
        assert_eq!((more.value.as_str(), more.place.as_str()), ("more", "/etc/o/more.cfg:2"));
    }
    let nested = first(&format!("{LOAD}include_file \"sub/one.cfg\"\n"));
    assert_eq!(nested.place, "/etc/o/sub/two.cfg:2");
    let behind = first(&format!("{LOAD}include_file \"sub/one.cfg\"\nmodparam(\"auth_oauth\", \"leeway\", 1)\n"));
    assert_eq!(behind.value, "two");
    let after = script("include_file \"more.cfg\"\n\nmodparam(\"auth_oauth\",\n\"leeway\", 1)").expect("good");
    assert_eq!(after.parameters[1].place, format!("{CFG}:3"));
    // A comment may end in another file, and a line in a comment includes its file all the same.
    let comment = format!("{LOAD}include_file \"opens.cfg\"\nmodparam(\"auth_oauth\", \"realm\", \"x\") */\n");
    assert_eq!(script(&comment).expect("good").parameters, []);
    assert!(script("/*\ninclude_file \"none.cfg\"\n*/").expect_err("missing").contains("opensips.cfg:2: the included"));
    assert_eq!(values("# include_file \"none.cfg\"\n/* include_file none */"), Vec::<String>::new());
}

#[test]
fn mistakes_name_file_line_and_fix() {
    let loaded = |text: &str| format!("{LOAD}{text}");
    for (text, words) in [
        ("modparam(\"auth_oauth\", \"realm\", \"x\")".to_owned(), "opensips.cfg:1: modparam of auth_oauth before"),
        (
            "loadmodule \"tm.so\"".to_owned(),
            "opensips.cfg: does not load auth_oauth.so; is this the proxy's configuration?",
        ),
        (loaded("modparam(\"auth_oauth\", \"realm\")"), "opensips.cfg:2: modparam: cannot be read"),
        (loaded("modparam(\"auth_oauth\", \"realm\", $var(x))"), "opensips.cfg:2: modparam: cannot be read"),
        (loaded("modparam(\"auth_oauth\", \"realm\", REALM)"), "'REALM' is neither a text in quotes nor a number"),
        (
            loaded("\nmodparam(\"auth_oauth\", \"realm, 1)"),
            "opensips.cfg:3: the text that begins here has no closing '\"'",
        ),
        (loaded("modparam(\"auth_oauth\", \"realm\", \"a\\\nb\")"), "opensips.cfg:2: modparam: realm: OpenSIPS puts"),
        ("loadmodule(\"tm.so\")".to_owned(), "opensips.cfg:1: loadmodule: write loadmodule \"NAME.so\""),
        ("\n/* x".to_owned(), "opensips.cfg:2: the comment that begins here has no end"),
        ("\n// don't\n".to_owned(), "opensips.cfg:2: OpenSIPS has no comments with //; write #"),
        (
            "\nimport_file \"none.cfg\"\n".to_owned(),
            "opensips.cfg:2: the included file cannot be read: /etc/o/none.cfg",
        ),
        ("include_file none.cfg\n".to_owned(), "opensips.cfg:1: OpenSIPS includes no file here; write include_file"),
        (loaded("mhomed=0 include_file \"more.cfg\""), "opensips.cfg:2: OpenSIPS includes no file here"),
        (
            "include_file \"loop.cfg\"\n".to_owned(),
            "loop.cfg:2: too many included files at loop.cfg; does a file include",
        ),
    ] {
        let error = script(&text).expect_err(&text);
        assert!(error.contains(words), "{text}: {error}");
    }
    let unquoted = script(&loaded("modparam(\"auth_oauth\", \"store_key\", hushhushhush)")).expect_err("no text");
    assert!(unquoted.contains("cannot be read") && !unquoted.contains("hush"), "{unquoted}");
    let defined = read_as(LOAD, Some(Proxy::OpenSips), &["A".to_owned()]).expect_err("no definitions");
    assert!(defined.contains("-A A: OpenSIPS has no definitions"), "{defined}");
}

#[test]
fn the_file_shows_whose_it_is() {
    let whose = |text: &str| read_as(&format!("{LOAD}{text}"), None, &[]).map(|script| script.proxy);
    for text in [
        "#!KAMAILIO",
        "  #!define WITH_TLS",
        "request_route { exit; }",
        "reply_route[X] { }",
        "modparamx(\"tm\", \"x\", 1)",
        "children=4",
        "loadmodule \"pv.so\"",
        "loadmodule(\"/usr/lib/kamailio/modules/kex.so\")",
        "socket = { bind = udp:127.0.0.1:5060; }\n# socket=udp:127.0.0.1\nloadmodule \"xlog\"",
    ] {
        assert_eq!(whose(text), Ok(Proxy::Kamailio), "{text}");
    }
    for text in [
        "#!/usr/sbin/opensips -f\nsocket=udp:127.0.0.1:5060",
        "socket = 127.0.0.1",
        "udp_workers=4 # children=4",
        "startup_route { }",
        "loadmodule \"proto_udp.so\"",
        "loadmodule \"signaling.so\"",
        "timer_route[x, 10] { xlog(\"request_route {\"); }",
    ] {
        assert_eq!(whose(text), Ok(Proxy::OpenSips), "{text}");
    }
    for text in [
        "listen=udp:127.0.0.1:5060\nmpath=\"/usr/lib\"\nroute { route(children); }\nroute[error_route] { }",
        "modparam(\"auth_oauth\", \"realm, 1)\nsocket=udp:127.0.0.1",
        "",
    ] {
        let error = whose(text).expect_err(text);
        assert!(error.contains("opensips.cfg: nothing in this file itself shows whether"), "{text}: {error}");
    }
    let both = whose("children=4\nsocket=udp:127.0.0.1:5060").expect_err("both");
    assert!(both.contains("of Kamailio ('children' in line 2) and of OpenSIPS ('socket=' in line 3)"), "{both}");
}

#[test]
fn what_the_operator_names_counts_unless_the_file_says_otherwise() {
    let named = |text: &str, proxy| read_as(&format!("{LOAD}{text}"), Some(proxy), &[]).map(|script| script.proxy);
    for proxy in [Proxy::Kamailio, Proxy::OpenSips] {
        assert_eq!(named("", proxy), Ok(proxy));
        assert_eq!(named("children=4\nudp_workers=4", proxy), Ok(proxy));
    }
    let kamailio = named("\n#!ifdef WITH_TLS\n", Proxy::OpenSips).expect_err("Kamailio's");
    let words = "opensips.cfg:3: '#!ifdef' shows that this is a configuration of Kamailio, not of OpenSIPS; write --kamailio /etc";
    assert!(kamailio.contains(words), "{kamailio}");
    let opensips = named("loadmodule \"proto_udp.so\"", Proxy::Kamailio).expect_err("of OpenSIPS");
    assert!(opensips.contains("opensips.cfg:2: 'loadmodule \"proto_udp.so\"' shows"), "{opensips}");
    assert!(opensips.contains("of OpenSIPS, not of Kamailio; write --opensips /etc"), "{opensips}");
}

#[test]
fn location_is_told_with_the_defaults_of_opensips() {
    let told = |text: &str| {
        let script = script(&format!("{LOAD}{text}")).unwrap_or_else(|e| panic!("{text}: {e}"));
        let settings: Vec<String> = script.location.iter().map(|(key, value)| format!("{key}={value}")).collect();
        (settings.join(" "), script.notes)
    };
    let both = "loadmodule \"registrar.so\"\nloadmodule \"usrloc.so\"\n";
    assert_eq!(told(""), (String::new(), vec![]));
    let (settings, notes) = told(both);
    assert_eq!(settings, "location_folds_case=no location_ignores_domain=yes");
    assert!(notes[0].contains("opensips.cfg: usrloc has no use_domain") && notes.len() == 1, "{notes:?}");
    let set = |text: &str| told(&format!("{both}{text}"));
    let domain = "modparam(\"usrloc\", \"use_domain\", yes)\n";
    assert_eq!(set(domain), ("location_folds_case=no location_ignores_domain=no".to_owned(), vec![]));
    let folds = format!("{domain}modparam(\"registrar\", \"case_sensitive\", 0)");
    assert_eq!(set(&folds).0, "location_folds_case=yes location_ignores_domain=no");
    let prefix = format!("{domain}modparam(\"registrar\", \"realm_prefix\", \"sip.\")");
    assert_eq!(set(&prefix).0, "location_folds_case=no location_ignores_domain=yes");
    let middle = "loadmodule \"mid_registrar.so\"\nmodparam(\"mid_registrar\", \"case_sensitive\", 0)";
    assert_eq!(told(middle).0, "location_folds_case=yes");
}

proptest! {
    #[test]
    fn never_panics(parts in proptest::collection::vec(prop_oneof![
        Just("#!define A "), Just("socket="), Just("\""), Just("'"), Just("\\"), Just("A"), Just("modparam("),
        Just("\"auth_oauth\""), Just(","), Just("loadmodule"), Just("/*"), Just("*/"), Just("$("), Just("\n"), Just("+"),
        Just("\ninclude_file \"more.cfg\"\n"), Just("import_file"), Just("yes"), Just("\\x4"), Just("\u{e9}"),
    ], 0..40)) {
        let text = parts.concat();
        let _ = (script(&text), read_as(&text, None, &[]));
    }
}
