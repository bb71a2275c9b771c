// SPDX-License-Identifier: MIT OR Apache-2.0
//! Telephone numbers in one spelling (ITU-T E.164, RFC 3966): what is dialled in a country becomes `+` and digits.

use std::borrow::Cow;

/// Most digits of an international number (E.164 section 6).
const MOST: usize = 15;
/// Fewer digits are an extension of a private branch exchange rather than a public number.
const LEAST: usize = 7;

/// Most layers of escapes that are removed from a user.
const MOST_ESCAPES: usize = 4;

/// Longest dialling prefix in digits.
const LONGEST_PREFIX: usize = 5;

/// Country codes, their trunk prefix and their international prefix, where both are the same all over the country.
/// Italy and San Marino have no trunk prefix: the leading 0 is part of the number.
const KNOWN: &[(&str, &str, &str)] = &[
    (
        "20 27 31 32 33 40 41 43 44 46 49 60 63 64 84 86 90 91 92 94 98 212 213 353 355 358 359 373 380 381 382 383 385 \
         386 387 389 421 961 962 963 966 971 972",
        "0",
        "00",
    ),
    ("30 34 39 45 47 48 351 352 354 356 357 371 372 376 377 378 420", "", "00"),
    ("1", "1", "011"),
    ("7", "8", "810"),
    ("36", "06", "00"),
    ("61", "0", "0011"),
    ("81", "0", "010"),
];

/// The country whose national spellings are understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Country {
    code: String,
    /// Prefix before an international number.
    international: String,
    /// Prefix before a national number, which is not part of the international number. Empty where national
    /// numbers have no prefix.
    trunk: String,
}

impl Country {
    /// Reads a country code with its dialling prefixes, `CODE/TRUNK/INTERNATIONAL`: "61/0/0011", or "34//00" without
    /// trunk prefix. The code alone is enough for countries that this module knows. The error says what is wrong.
    pub fn parse(text: &str) -> Result<Country, String> {
        let mut parts = text.split('/').map(str::trim);
        let code = parts.next().unwrap_or_default();
        let code = code.strip_prefix('+').unwrap_or(code);
        if code.is_empty() || code.len() > 3 || code.starts_with('0') || !is_digits(code) {
            return Err(format!("'{text}' has no country code: write its digits, for example 49 or 61/0/0011"));
        }
        let (trunk, international) = match (parts.next(), parts.next(), parts.next()) {
            (None, ..) => known_prefixes(code).ok_or_else(|| {
                format!(
                    "the dialling prefixes of country code {code} are not known here: write {code}/TRUNK/INTERNATIONAL, for \
                     example {code}/0/00, or {code}//00 when national numbers have no prefix"
                )
            })?,
            (Some(trunk), Some(international), None) => (trunk, international),
            _ => return Err(format!("'{text}' is not CODE/TRUNK/INTERNATIONAL, for example 61/0/0011")),
        };
        if international.is_empty() || [trunk, international].iter().any(|p| p.len() > LONGEST_PREFIX || !is_digits(p))
        {
            return Err(format!("'{text}': a dialling prefix has 1 to {LONGEST_PREFIX} digits, for example 61/0/0011"));
        }
        // One spelling must not have two readings.
        if !trunk.is_empty() && trunk.starts_with(international) {
            return Err(format!("'{text}': a number that begins with the trunk prefix {trunk} would be international"));
        }
        if trunk.is_empty() && !international.starts_with('0') {
            return Err(format!("'{text}': without a trunk prefix national numbers could begin with {international}"));
        }
        Ok(Country { code: code.to_owned(), international: international.to_owned(), trunk: trunk.to_owned() })
    }

    /// Returns `+` and the digits of a number that is written internationally (`+49 30…`, `0049 30…`) or nationally
    /// (`030…`), with the visual separators of RFC 3966 or without, perhaps as a `tel:` URI. None for everything else.
    /// A number without any prefix may belong to any place, unless the country has no trunk prefix.
    pub fn normalize(&self, text: &str) -> Option<String> {
        let text = without_scheme(text.trim_matches(' '));
        let (plus, rest) = text.strip_prefix('+').map_or((false, text), |rest| (true, rest));
        let mut digits = String::with_capacity(MOST + 1);
        for octet in rest.bytes() {
            match octet {
                b'0'..=b'9' if digits.len() < 2 * MOST => digits.push(char::from(octet)),
                b'-' | b'.' | b'(' | b')' | b' ' => {}
                _ => return None,
            }
        }
        let number = if plus {
            digits
        } else if let Some(number) = digits.strip_prefix(&self.international) {
            number.to_owned()
        } else if self.trunk.is_empty() {
            // Fewer digits may be an extension.
            (digits.len() >= LEAST).then(|| format!("{}{digits}", self.code))?
        } else {
            format!("{}{}", self.code, digits.strip_prefix(&self.trunk)?)
        };
        // "+49 (0)30 …" dials nothing: the trunk prefix has no place in an international number.
        let misplaced =
            self.trunk.starts_with('0') && number.strip_prefix(&self.code).is_some_and(|n| n.starts_with('0'));
        // With these country codes, all numbers have ten digits behind the code.
        let fixed = matches!(self.code.as_str(), "1" | "7") && number.starts_with(&self.code) && number.len() != 11;
        let valid = (LEAST..=MOST).contains(&number.len()) && !number.starts_with('0') && !misplaced && !fixed;
        valid.then(|| format!("+{number}"))
    }

    /// Like [`Country::normalize`], for the user part of a SIP URI, whose escapes are decoded.
    pub fn normalize_user(&self, user: &str) -> Option<String> {
        self.normalize(&unescaped(user)?)
    }

    /// True when a user may be taken for a telephone number, here or by a less strict reader: also when it is
    /// escaped more than once, has parameters or other white space, or is international and too long. True for
    /// everything that [`Country::normalize_user`] makes a number of.
    pub fn reads_as_number(&self, user: &str) -> bool {
        let mut text = Cow::Borrowed(user);
        for _ in 0..MOST_ESCAPES {
            match unescaped(&text) {
                Some(Cow::Owned(decoded)) => text = Cow::Owned(decoded),
                _ => break,
            }
        }
        let text = without_scheme(text.trim());
        let text = text.split(';').next().unwrap_or("");
        let plain: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        let digits: String = plain.chars().filter(|c| !"-.()".contains(*c)).collect();
        let international = digits.strip_prefix('+').or_else(|| digits.strip_prefix(&self.international));
        let is_long = |digits: &str| digits.len() >= LEAST && is_digits(digits);
        international.is_some_and(is_long) || self.normalize(&plain).is_some()
    }
}

/// Removes the scheme `tel:` of RFC 3966.
fn without_scheme(text: &str) -> &str {
    match text.get(..4) {
        Some(scheme) if scheme.eq_ignore_ascii_case("tel:") => &text[4..],
        _ => text,
    }
}

/// Removes one layer of escapes; None when the result is not UTF-8.
fn unescaped(user: &str) -> Option<Cow<'_, str>> {
    if !user.contains('%') {
        return Some(Cow::Borrowed(user));
    }
    let octets = user.as_bytes();
    let mut out = Vec::with_capacity(octets.len());
    let mut at = 0;
    while at < octets.len() {
        let digit = |offset: usize| octets.get(at + offset).and_then(|octet| char::from(*octet).to_digit(16));
        match (octets[at], digit(1), digit(2)) {
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                at += 3;
            }
            (octet, ..) => {
                out.push(octet);
                at += 1;
            }
        }
    }
    String::from_utf8(out).ok().map(Cow::Owned)
}

fn is_digits(text: &str) -> bool {
    text.bytes().all(|octet| octet.is_ascii_digit())
}

fn known_prefixes(code: &str) -> Option<(&'static str, &'static str)> {
    let has_code = |(codes, ..): &&(&str, &str, &str)| codes.split(' ').any(|known| known == code);
    KNOWN.iter().find(has_code).map(|(_, trunk, international)| (*trunk, *international))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn number(code: &str, text: &str) -> Option<String> {
        Country::parse(code).unwrap().normalize(text)
    }

    #[test]
    fn spellings_of_one_number() {
        for text in [
            "+4930123456",
            "004930123456",
            "030123456",
            "030 123-456",
            "(030) 12.34.56",
            "+49 (30) 123456",
            "0049-30-123456",
            "tel:+49-30-123456",
            "TEL:030123456",
            " 030123456 ",
        ] {
            assert_eq!(number("49", text).as_deref(), Some("+4930123456"), "{text}");
        }
        assert_eq!(number("49", "+1 202 555 0100").as_deref(), Some("+12025550100"));
        assert_eq!(number("1", "1 (202) 555-0100").as_deref(), Some("+12025550100"));
        assert_eq!(number("1", "011 49 30 123456").as_deref(), Some("+4930123456"));
        assert_eq!(number("7", "8 495 1234567").as_deref(), Some("+74951234567"));
        assert_eq!(number("39", "06 1234567").as_deref(), Some("+39061234567"));
        assert_eq!(number("39", "+39 06 1234567").as_deref(), Some("+39061234567"));
        assert_eq!(number("39", "0049 30 123456").as_deref(), Some("+4930123456"));
    }

    #[test]
    fn everything_else_is_no_number() {
        for text in [
            "",
            "+",
            "0",
            "00",
            "123456789",
            "0123",
            "+49 (0)30 123456",
            "0049 030 123456",
            "+0123456789",
            "+4930123456789012",
            "alice",
            "+49a30123456",
            "++4930123456",
            "030123456;ext=1",
            "tel:030123456;phone-context=+1",
            "tel:tel:030123456",
            "*030123456",
            "030123456#",
            "०३०१२३४५६",
            "sip:+4930123456",
        ] {
            assert_eq!(number("49", text), None, "{text}");
        }
    }

    #[test]
    fn an_extension_is_no_number_of_the_country() {
        for (code, text) in [("1", "1234567"), ("1", "+1202555"), ("7", "81234567"), ("49", "01234"), ("39", "0123")] {
            assert_eq!(number(code, text), None, "{code} {text}");
        }
    }

    #[test]
    fn country_codes() {
        assert!(Country::parse("+49") == Country::parse("49") && Country::parse("49/0/00") == Country::parse("49"));
        for (code, written) in [("1", "1/1/011"), ("34", "34//00"), ("36", "36 / 06 / 00"), ("61", "61/0/0011")] {
            assert!(Country::parse(code).is_ok() && Country::parse(code) == Country::parse(written), "{code}");
        }
        let mut known: Vec<_> = KNOWN.iter().flat_map(|(codes, ..)| codes.split(' ')).collect();
        assert!(known.iter().all(|code| Country::parse(code).is_ok()));
        known.sort_unstable();
        known.windows(2).for_each(|pair| assert_ne!(pair[0], pair[1], "has two sets of prefixes"));
        for code in ["", "0", "049", "4a", "1234", "+", "Germany", "/0/00"] {
            assert!(Country::parse(code).unwrap_err().contains("country code"), "{code}");
        }
    }

    #[test]
    fn prefixes_that_are_wrong_or_ambiguous_are_refused() {
        for (text, what) in [
            ("998", "write 998/TRUNK/INTERNATIONAL"),
            ("49/0", "is not CODE/TRUNK/INTERNATIONAL"),
            ("49/0/00/1", "is not CODE/TRUNK/INTERNATIONAL"),
            ("49/0/", "1 to 5 digits"),
            ("49/a/00", "1 to 5 digits"),
            ("49/0/000000", "1 to 5 digits"),
            ("49/0/0", "would be international"),
            ("49/00/0", "would be international"),
            ("53//119", "could begin with 119"),
        ] {
            assert!(Country::parse(text).unwrap_err().contains(what), "{text}: {:?}", Country::parse(text));
        }
    }

    #[test]
    fn countries_dial_in_their_own_ways() {
        for (country, text, wanted) in [
            ("61", "02 9876 5432", "+61298765432"),
            ("61/0/0011", "0011 49 30 123456", "+4930123456"),
            ("81", "010 49 30 123456", "+4930123456"),
            ("81", "03-1234-5678", "+81312345678"),
            ("34//00", "912 345 678", "+34912345678"),
            ("34//00", "0034 912345678", "+34912345678"),
            ("45", "32 12 34 56", "+4532123456"),
            ("36/06/00", "06 1 234 5678", "+3612345678"),
            ("36", "00 49 30 123456", "+4930123456"),
            ("375/80/810", "8 017 2345678", "+375172345678"),
            ("53/0/119", "119 49 30 123456", "+4930123456"),
            ("53/0/119", "07 8301234", "+5378301234"),
            ("39", "347 1234567", "+393471234567"),
            ("378", "0549 123456", "+3780549123456"),
        ] {
            assert_eq!(number(country, text).as_deref(), Some(wanted), "{country} {text}");
        }
        for (country, text) in [
            ("61", "0061 2 9876 5432"),
            ("34", "123456"),
            ("354", "1234"),
            ("36", "1 234 5678"),
            ("36", "+36 06 1 234 5678"),
            ("81", "00 49 30 123456"),
        ] {
            assert_eq!(number(country, text), None, "{country} {text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_made_a_number_reads_as_one(user in "(tel:|%2[bB]|\\+|0|00|[1-9])[0-9%. ()-]{0,9}(%2[dD]|%3[0-9]|[0-9]){3,9}", code in "49|1|7|39|34//00|61/0/0011") {
            let country = Country::parse(&code).unwrap();
            prop_assert!(country.normalize_user(&user).is_none() || country.reads_as_number(&user), "{user}");
        }

        #[test]
        fn one_spelling_for_each_number(digits in "[1-9][0-9]{6,11}", cuts in prop::collection::vec((0usize..12, "[-. ()]"), 0..5)) {
            let country = Country::parse("49").unwrap();
            let spelled = |prefix: &str| {
                let mut text = format!("{prefix}{digits}");
                for (place, separator) in &cuts {
                    text.insert_str((prefix.len() + place).min(text.len()), separator);
                }
                text
            };
            let wanted = Some(format!("+49{digits}"));
            for prefix in ["+49", "0049", "0", "tel:+49"] {
                prop_assert_eq!(country.normalize(&spelled(prefix)), wanted.clone(), "{}", prefix);
            }
        }

        #[test]
        fn a_result_is_its_own_spelling(text in "(tel:)?[+]?[-0-9 ().a]{0,24}|\\PC{0,24}", country in "[1-9][0-9]{0,2}/(0|1|8|06)?/0(0|11|10)") {
            let country = Country::parse(&country).unwrap();
            if let Some(number) = country.normalize(&text) {
                prop_assert!(number.len() <= MOST + 1 && number[1..].bytes().all(|b| b.is_ascii_digit()));
                prop_assert_eq!(country.normalize(&number), Some(number));
            }
        }
    }
}
