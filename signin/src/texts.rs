// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the page says, in each language: a file of `texts/` for each.

use std::sync::LazyLock;

/// Makes the structure of all texts. A file that lacks one, or has one more, is refused.
macro_rules! texts {
    ($($key:ident,)*) => {
        /// The texts of a language.
        #[derive(Clone, Copy, Debug)]
        #[allow(missing_docs, reason = "the files say what each text is")]
        pub struct Texts { $(pub $key: &'static str,)* }

        impl Texts {
            fn read(file: &str) -> Result<Texts, String> {
                let mut table: toml::Table = toml::from_str(file).map_err(|e| e.to_string())?;
                let texts = Texts { $($key: take(&mut table, stringify!($key))?,)* };
                match table.keys().next() {
                    Some(key) => Err(format!("'{key}' is not shown anywhere")),
                    None => Ok(texts),
                }
            }
        }
    };
}

/// The text lives as long as the program, as all of them do.
fn take(table: &mut toml::Table, key: &str) -> Result<&'static str, String> {
    match table.remove(key) {
        Some(toml::Value::String(text)) => Ok(Box::leak(text.into_boxed_str())),
        _ => Err(format!("'{key}' is missing")),
    }
}

texts! {
    language,
    title,
    skip,
    date,
    just_now,
    minutes_ago,
    hours_ago,
    over,
    back,
    start,
    choose_heading,
    choose_text,
    choose_provider,
    choose_several,
    signed_out_note,
    everywhere_note,
    signed_in_as,
    log_out,
    phones_heading,
    phones_none,
    phone_nameless,
    kind_device,
    kind_typed_code,
    kind_code,
    kind_password,
    kind_token,
    phone_added,
    phone_last,
    phone_never,
    phone_source,
    phone_software,
    phone_user,
    phone_until,
    phone_change,
    phone_name,
    phone_rename,
    phone_sign_out,
    all_summary,
    all_text,
    all_button,
    everywhere_summary,
    everywhere_text,
    everywhere_button,
    add_heading,
    add_device_heading,
    add_device_text,
    add_device_button,
    add_code_heading,
    add_code_text,
    add_code_button,
    add_name,
    add_name_hint,
    add_too_many,
    add_no_codes,
    add_again,
    note_renamed,
    note_signed_out,
    note_all_signed_out,
    note_not_renewed,
    note_over,
    device_heading,
    device_once,
    device_user,
    device_account,
    device_password,
    device_domain,
    device_proxy,
    device_transport,
    device_values,
    device_qr_heading,
    device_qr_text,
    device_qr_alternative,
    device_address,
    device_plain,
    copy,
    copied,
    code_heading,
    code_text,
    code_until,
    code_digits,
    error_heading,
    error_foreign,
    error_replayed,
    error_mixed_up,
    error_cancelled,
    error_declined,
    error_refused,
    error_unfit,
    error_no_address,
    error_misconfigured,
    error_unavailable,
    error_store,
    error_limit,
    error_csrf,
    error_not_found,
    error_form,
    error_slow,
}

/// A language of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// English, also for browsers that ask for neither.
    English,
    /// German.
    German,
}

impl Language {
    /// All of them.
    pub const ALL: [Language; 2] = [Language::English, Language::German];

    /// Its code (BCP 47).
    pub fn code(self) -> &'static str {
        match self {
            Language::English => "en",
            Language::German => "de",
        }
    }

    /// The language with this code.
    pub fn from_code(code: &str) -> Option<Language> {
        Language::ALL.into_iter().find(|language| language.code() == code)
    }

    /// Its texts.
    pub fn texts(self) -> &'static Texts {
        static ALL: LazyLock<[Texts; 2]> = LazyLock::new(|| {
            [include_str!("../texts/en.toml"), include_str!("../texts/de.toml")]
                .map(|file| Texts::read(file).expect("a test reads the files"))
        });
        &ALL[self as usize]
    }

    /// The language that a browser likes best (Accept-Language, RFC 9110 section 12.5.4).
    pub fn preferred(accepted: &str) -> Language {
        let mut best = (0, Language::English);
        for range in accepted.split(',').take(16) {
            let mut parts = range.split(';').map(str::trim);
            let code = parts.next().unwrap_or_default().split('-').next().unwrap_or_default().to_ascii_lowercase();
            let weight = parts.find_map(|part| part.strip_prefix("q=")).map_or(Some(1000), thousandths);
            if let (Some(language), Some(weight)) = (Language::from_code(&code), weight)
                && weight > best.0
            {
                best = (weight, language);
            }
        }
        best.1
    }
}

fn thousandths(weight: &str) -> Option<u32> {
    weight.parse::<f32>().ok().filter(|weight| (0.0..=1.0).contains(weight)).map(|weight| (weight * 1000.0) as u32)
}

/// Fills a text in.
pub fn fill(text: &str, name: &str, value: &str) -> String {
    text.replace(&format!("{{{name}}}"), value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_language_has_every_text_with_the_same_places_to_fill_in() {
        let read = |file: &str| toml::from_str::<toml::Table>(file).unwrap();
        let files = [include_str!("../texts/en.toml"), include_str!("../texts/de.toml")];
        let [english, german] = files.map(read);
        let places = |text: &toml::Value| {
            let text = text.as_str().unwrap().to_owned();
            let mut places: Vec<String> =
                text.split('{').skip(1).map(|rest| rest.split('}').next().unwrap().to_owned()).collect();
            places.sort();
            places
        };
        for (key, text) in &english {
            assert_eq!(places(text), places(&german[key]), "{key}");
            assert!(!german[key].as_str().unwrap().is_empty(), "{key}");
        }
        assert!(files.iter().all(|file| Texts::read(file).is_ok()));
        assert!(Texts::read(&files[0].replace("skip = ", "skap = ")).unwrap_err().contains("'skip' is missing"));
        assert!(Texts::read(&format!("{}\nmore = \"\"", files[0])).unwrap_err().contains("'more'"));
        assert_eq!((Language::German.texts().language, Language::English.texts().language), ("Deutsch", "English"));
    }

    proptest::proptest! {
        #[test]
        fn any_wish_is_some_language(wish in "[a-z,;=q0-9. *-]{0,80}") {
            Language::preferred(&wish);
        }
    }

    #[test]
    fn the_browser_chooses() {
        for (accepted, language) in [
            ("", Language::English),
            ("fr", Language::English),
            ("de", Language::German),
            ("de-AT,en;q=0.9", Language::German),
            ("en-GB, de;q=0.5", Language::English),
            ("fr, en;q=0.3, de;q=0.8", Language::German),
            ("de;q=0", Language::English),
            ("DE;q=x", Language::English),
        ] {
            assert_eq!(Language::preferred(accepted), language, "{accepted}");
        }
    }
}
