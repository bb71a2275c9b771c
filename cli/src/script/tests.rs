use std::collections::BTreeMap;
use std::io::ErrorKind;

use proptest::prelude::*;

use super::*;

pub(super) struct Fake(pub BTreeMap<&'static str, String>);

impl IncludedFiles for Fake {
    fn read(&self, path: &Path) -> std::io::Result<Vec<u8>> {
        let found = self.0.get(path.to_str().unwrap()).map(|text| text.clone().into_bytes());
        found.ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn environment(&self, name: &str) -> Option<String> {
        (name == "SECRET_FILE").then(|| "/etc/secret".to_owned())
    }
}

const LOAD: &str = "loadmodule \"auth_oauth.so\"\n";

fn script(text: &str, defines: &[&str]) -> Result<Script, String> {
    let files = Fake(BTreeMap::from([
        ("/etc/k/kamailio.cfg", text.to_owned()),
        ("/etc/k/more.cfg", format!("{LOAD}modparam(\"auth_oauth\", \"realm\", \"more\")\n")),
        ("/etc/k/loop.cfg", "include_file \"loop.cfg\"\n".to_owned()),
        ("/abs/defs.cfg", "#!define REALM \"from-defs\"\n".to_owned()),
    ]));
    let defines: Vec<String> = defines.iter().map(|d| (*d).to_owned()).collect();
    read(Path::new("/etc/k/kamailio.cfg"), Some(Proxy::Kamailio), &defines, &files).map_err(|e| e.0)
}

/// The values of all parameters of a script after the module is loaded.
fn values(text: &str, defines: &[&str]) -> Vec<String> {
    let script = script(&format!("{LOAD}{text}"), defines).unwrap_or_else(|e| panic!("{text}: {e}"));
    script.parameters.into_iter().map(|p| p.value).collect()
}

fn value(argument: &str) -> String {
    values(&format!("modparam(\"auth_oauth\", \"realm\", {argument})"), &[]).remove(0)
}

#[test]
fn texts_are_read_as_kamailio_reads_them() {
    for (argument, wanted) in [
        (r#""plain""#, "plain"),
        (r#""a" "b""#, "ab"),
        ("\"a\"\n\t\"b\"", "ab"),
        (r#""say \"hi\" \\ \x41\x4a \101 \d \$""#, "say \"hi\" \\ AJ A \\d \\$"),
        ("\"one \\\nline\"", "one line"),
        ("\"a#b//c/*d*/\"", "a#b//c/*d*/"),
        (r"'raw \n $x'", r"raw \n $x"),
        ("30", "30"),
        ("-3", "-3"),
        ("0x1f", "31"),
        ("010", "8"),
        ("yes", "1"),
        ("\"\"", ""),
    ] {
        assert_eq!(value(argument), wanted, "{argument}");
    }
}

#[test]
fn only_this_modules_parameters_count() {
    let text = "modparam(\"tm|auth_oauth\", \"realm\", \"a\") # modparam(\"auth_oauth\", \"realm\", \"b\")
        /* modparam(\"auth_oauth\", \"realm\", \"c\") /* nested */ */
        // modparam(\"auth_oauth\", \"realm\", \"d\")
        modparam(\"usrloc\", \"realm\", \"e\")
        route { if (!!is_method(\"X\") && $hdr(a) =~ \"modparam('\" && $(hdr(x){re.subst,/\"/y/}) == 1) xlog(\"$var(x)\"); }
        modparam('auth_oauth', 'realm', 'f')";
    assert_eq!(values(text, &[]), ["a", "f"]);
    let read = script(&format!("{LOAD}\n\nmodparam(\"auth_oauth\",\n\"leeway\", 5)"), &[]).unwrap();
    let wanted = Parameter { key: "leeway".into(), value: "5".into(), place: "/etc/k/kamailio.cfg:4".into() };
    assert_eq!(read.parameters, [wanted]);
}

#[test]
fn definitions_and_conditions() {
    let text = |definition: &str| format!("{definition}\nmodparam(\"auth_oauth\", \"realm\", R)");
    assert_eq!(values(&text("#!define R \"x\""), &[]), ["x"]);
    assert_eq!(values(&text("!!define R \"x\""), &[]), ["x"]);
    assert_eq!(values(&text("#!define R \"x\\\ny\""), &[]), ["xy"]);
    assert_eq!(values(&text("#!define S \"x\"\n#!def R S"), &[]), ["x"]);
    assert_eq!(values(&text("#!ifndef R\n#!define R \"x\"\n#!endif"), &["R=\"cli\""]), ["cli"]);
    assert_eq!(values(&text("#!ifndef R\n#!define R \"x\"\n#!endif"), &[]), ["x"]);
    assert_eq!(values(&text("#!trydef R \"x\""), &["R=7"]), ["7"]);
    assert_eq!(values(&text("#!define R \"x\"\n#!redefine R \"y\""), &[]), ["y"]);
}

#[test]
fn substitutions_and_environment() {
    let realm = |text: &str| values(&format!("{text}\nmodparam(\"auth_oauth\", \"realm\", \"a HOST b HOST\")"), &[]);
    assert_eq!(realm("#!subst \"/HOST/h/\""), ["a h b HOST"]);
    assert_eq!(realm("#!substdef \"!HOST!h!g\""), ["a h b h"]);
    assert_eq!(values("#!substdefs \"/R/x y/\"\nmodparam(\"auth_oauth\", \"realm\", R)", &[]), ["x y"]);
    let file = "modparam(\"auth_oauth\", \"ca_file\", F)";
    assert_eq!(values(&format!("#!defenvs F=SECRET_FILE\n{file}"), &[]), ["/etc/secret"]);
    assert_eq!(
        values(&format!("#!substdef \"!X!$env(SECRET_FILE)!\"\n#!define F \"X\"\n{file}"), &[]),
        ["/etc/secret"]
    );
    assert_eq!(values("modparamx(\"auth_oauth\", \"ca_file\", \"$env(SECRET_FILE)/x\")", &[]), ["/etc/secret/x"]);
    assert!(
        script(&format!("#!defenv F=MISSING\n{LOAD}"), &[]).unwrap_err().contains("kamailio.cfg:1: #!defenv: MISSING")
    );
    let noted = script(&format!("#!subst \"/a.*/b/\"\n{LOAD}"), &[]).unwrap();
    assert!(noted.notes[0].contains("kamailio.cfg:1") && noted.notes[0].contains("regular expression"));
}

#[test]
fn conditions_choose() {
    let text = "#!ifdef A\n  #!ifdef B\nmodparam(\"auth_oauth\", \"realm\", \"ab\")\n#!else \nmodparam(\"auth_oauth\", \"realm\", \"a\")\n#!endif\n#!else\nmodparam(\"auth_oauth\", \"realm\", \"none\") # #!define X\n\" an open text\n#!endif\n";
    assert_eq!(values(text, &["A", "B"]), ["ab"]);
    assert_eq!(values(text, &["A"]), ["a"]);
    let loaded = "#!ifdef MOD_auth_oauth\nmodparam(\"auth_oauth\", \"realm\", \"x\")\n#!endif";
    assert_eq!(values(loaded, &[]), ["x"]);
}

#[test]
fn files_are_included() {
    let realm = |text: &str| script(text, &[]).unwrap().parameters[0].clone();
    let more = realm("include_file \"more.cfg\"\n");
    assert_eq!((more.value.as_str(), more.place.as_str()), ("more", "/etc/k/more.cfg:2"));
    assert_eq!(realm("#!include_file \"more.cfg\"").value, "more");
    let text = format!(
        "import_file \"missing.cfg\"\n!!import_file \"/abs/defs.cfg\"\n{LOAD}modparam(\"auth_oauth\", \"realm\", REALM)"
    );
    assert_eq!(realm(&text).value, "from-defs");
}

#[test]
fn mistakes_name_file_line_and_fix() {
    for (text, words) in [
        ("modparam(\"auth_oauth\", \"realm\", \"x\")", "kamailio.cfg:1: modparam of auth_oauth before"),
        ("loadmodule \"tm.so\"", "does not load auth_oauth.so"),
        (
            "\nloadmodule \"auth_oauth.so\"\nmodparam(\"auth_oauth\", \"realm\")",
            "kamailio.cfg:3: modparam: cannot be read",
        ),
        (
            "loadmodule \"auth_oauth.so\"\nmodparam(\"auth_oauth\", \"realm\", REALM)",
            "kamailio.cfg:2: modparam: 'REALM' is neither",
        ),
        ("loadmodule \"auth_oauth.so\"\nmodparam(\"auth_oauth\", \"realm, 1)", "no closing '\"'"),
        ("loadmodule tm", "kamailio.cfg:1: loadmodule: write"),
        ("/* x", "kamailio.cfg:1: the comment"),
        ("#!define A 1\n#!define A 2\n", "kamailio.cfg:2: A is defined already"),
        ("#!define A-B 1\n", "needs a name"),
        ("#!define A A\nA", "stands for itself"),
        ("\n#!ifdef A\n", "has no #!endif"),
        ("#!subst \"/a\"\n", "#!subst: write"),
        ("\ninclude_file \"missing.cfg\"\n", "kamailio.cfg:2: the included file cannot be read: /etc/k/missing.cfg"),
        ("include_file missing.cfg\n", "stands in quotes"),
        ("include_file \"loop.cfg\"\n", "does a file include itself?"),
    ] {
        let error = script(text, &[]).expect_err(text);
        assert!(error.contains(words), "{text}: {error}");
    }
    let unquoted = script(&format!("{LOAD}modparam(\"auth_oauth\", \"store_key\", hushhushhush)"), &[]).unwrap_err();
    assert!(unquoted.contains("cannot be read") && !unquoted.contains("hush"), "{unquoted}");
    assert!(script(LOAD, &["A B"]).unwrap_err().contains("-A A B"));
    assert!(
        read(Path::new("/none"), None, &[], &Fake(BTreeMap::new())).unwrap_err().0.contains("/none: cannot be read")
    );
}

proptest! {
    #[test]
    fn never_panics(parts in proptest::collection::vec(prop_oneof![
        Just("#!define A "), Just("#!ifdef A\n"), Just("#!else\n"), Just("#!endif\n"), Just("\""), Just("'"), Just("\\"),
        Just("A"), Just("modparam("), Just("\"auth_oauth\""), Just(","), Just("loadmodule"), Just("/*"), Just("*/"),
        Just("$("), Just("\n"), Just("#!subst"), Just("\"/a/b/\""), Just("include_file \"more.cfg\"\n"), Just("\\x4"), Just("\u{e9}"),
    ], 0..40)) {
        let _ = script(&parts.concat(), &["A=A A"]);
    }
}
