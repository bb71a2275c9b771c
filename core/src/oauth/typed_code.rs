// SPDX-License-Identifier: MIT OR Apache-2.0
//! Codes that the sign-in page makes and a person types into a phone: eight digits and a check digit (ISO 7064
//! MOD 11,10), which finds every wrong digit and nearly every swap of neighbours. A mistyped code costs no try.

use zeroize::Zeroizing;

/// Digits with the check digit.
pub const LENGTH: usize = 9;
/// Longest typed text in octets, with what people write between digits.
const MAX_TYPED: usize = 32;

/// The check digit of decimal digits.
fn check_digit(digits: &[u8]) -> u8 {
    let product = digits.iter().fold(10, |product, digit| {
        let sum = (product + u32::from(digit - b'0')) % 10;
        (if sum == 0 { 10 } else { sum }) * 2 % 11
    });
    b'0' + ((11 - product) % 10) as u8
}

/// Makes a code of a random number below 100,000,000.
pub fn make(number: u32) -> String {
    let mut digits = format!("{:08}", number % 100_000_000);
    digits.push(char::from(check_digit(digits.as_bytes())));
    digits
}

/// The code that somebody has typed, without what people write between digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Typed {
    /// Nine digits that fit each other, without what was between them.
    Code(String),
    /// Digits that do not, or one or two too few or too many.
    Mistyped,
    /// Something else.
    Other,
}

/// Reads a code.
pub fn read(text: &str) -> Typed {
    if !text.bytes().all(|octet| octet.is_ascii_digit() || matches!(octet, b' ' | b'-' | b'.' | b'_' | b'/')) {
        return Typed::Other;
    }
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    if !(LENGTH - 2..=LENGTH + 2).contains(&digits.len()) || text.len() > MAX_TYPED {
        return Typed::Other;
    }
    if digits.len() != LENGTH {
        return Typed::Mistyped;
    }
    let (number, check) = digits.as_bytes().split_at(LENGTH - 1);
    if check_digit(number) == check[0] { Typed::Code(digits) } else { Typed::Mistyped }
}

/// How a code was typed, with a 0 for each digit; empty if there are digits only. The phone makes its key of the text that it
/// sends, and this is no secret.
pub fn spelling(typed: &str) -> String {
    if typed.bytes().all(|octet| octet.is_ascii_digit()) {
        return String::new();
    }
    typed.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect()
}

/// The text that a phone sent for a code.
pub fn respelled(code: &str, spelling: &str) -> Zeroizing<String> {
    if spelling.is_empty() {
        return Zeroizing::new(code.to_owned());
    }
    let mut digits = code.chars();
    Zeroizing::new(spelling.chars().map(|c| if c == '0' { digits.next().unwrap_or(c) } else { c }).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_made_is_read() {
        // The example of ISO 7064 for MOD 11,10: 0794 has the check digit 5.
        assert_eq!(check_digit(b"0794"), b'5');
        for number in [0, 1, 12_345_678, 99_999_999, 100_000_000] {
            let code = make(number);
            assert_eq!(read(&code), Typed::Code(code.clone()));
            let spaced = format!("{} {}-{}", &code[..4], &code[4..8], &code[8..]);
            assert_eq!(read(&spaced), Typed::Code(code));
        }
    }

    #[test]
    fn every_wrong_digit_is_found() {
        let code = make(40_719_582);
        for place in 0..LENGTH {
            for digit in b'0'..=b'9' {
                let mut typed = code.clone().into_bytes();
                if std::mem::replace(&mut typed[place], digit) != digit {
                    assert_eq!(read(std::str::from_utf8(&typed).unwrap()), Typed::Mistyped);
                }
            }
        }
    }

    #[test]
    fn other_codes_are_none() {
        let long = format!("12345678{}9", " ".repeat(40));
        for text in ["", "123456", "123456789012", "abcdefghi", "12345678x", "１２３４５６７８９", &long] {
            assert_eq!(read(text), Typed::Other, "{text}");
        }
    }

    #[test]
    fn a_digit_too_few_or_too_many_is_a_mistake() {
        for text in ["1234567", "12345678", "1234 5678 90", "12345678901"] {
            assert_eq!(read(text), Typed::Mistyped, "{text}");
        }
    }

    #[test]
    fn the_spelling_of_a_code_is_kept_without_its_digits() {
        assert_eq!(spelling("123456789"), "");
        assert_eq!(spelling("1234 5678-9"), "0000 0000-0");
        for typed in ["1234 5678-9", "123456789", "12 34 56 78 9 "] {
            assert_eq!(*respelled("123456789", &spelling(typed)), typed);
        }
    }
}
