// SPDX-License-Identifier: MIT OR Apache-2.0
//! Refer-Events-At: the URI at which one subscribes to the fate of a REFER (RFC 7614 section 4.8).

use crate::header;
use crate::message::Response;
use crate::plan::is_uri_text;

/// The header field's name.
pub const NAME: &str = "Refer-Events-At";

/// The URI of an answer, or the rule that the answer breaks.
pub fn uri_of(answer: &Response) -> Result<String, String> {
    let values: Vec<&[u8]> = answer.all(NAME).flat_map(header::list).filter(|value| !value.is_empty()).collect();
    let value = match values[..] {
        [] => return Err(format!("the answer has no {NAME}, so nobody can subscribe (RFC 7614 section 4.3)")),
        [value] => String::from_utf8_lossy(value).into_owned(),
        _ => {
            return Err(format!(
                "the answer has {} values of {NAME}; one is allowed (RFC 7614 section 4.2)",
                values.len()
            ));
        }
    };
    let brackets = value.strip_prefix('<').and_then(|rest| rest.split_once('>'));
    let Some((uri, parameters)) = brackets else {
        return Err(format!("{NAME}: {value} lacks the angle brackets around the URI (RFC 7614 section 4.8)"));
    };
    let rest = uri.split_once(':').filter(|(scheme, _)| ["sip", "sips"].iter().any(|s| s.eq_ignore_ascii_case(scheme)));
    if !is_uri_text(uri) || rest.is_none_or(|(_, rest)| rest.is_empty()) {
        return Err(format!("{NAME}: {value} has no sip or sips URI (RFC 7614 section 4.8)"));
    }
    let parameters = parameters.trim_ascii();
    if !parameters.is_empty() && !parameters.starts_with(';') {
        return Err(format!(
            "{NAME}: {value} has something other than parameters after the URI (RFC 7614 section 4.8)"
        ));
    }
    Ok(uri.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(headers: &str) -> Result<String, String> {
        uri_of(&Response::parse(format!("SIP/2.0 200 OK\r\n{headers}\r\n").as_bytes()).unwrap())
    }

    #[test]
    fn takes_one_uri_in_brackets() {
        for (value, uri) in [
            ("<sips:vPT3izGmo8NTxaPADRZvEAY22BKx@example.com;gr>", "sips:vPT3izGmo8NTxaPADRZvEAY22BKx@example.com;gr"),
            ("<SIP:a@x>;p=q", "SIP:a@x"),
            ("<sip:a,b@x>", "sip:a,b@x"),
        ] {
            assert_eq!(read(&format!("{NAME}: {value}\r\n")).as_deref(), Ok(uri));
        }
    }

    #[test]
    fn says_what_is_wrong() {
        let line = |value: &str| format!("{NAME}: {value}\r\n");
        for (headers, why) in [
            (String::new(), "has no Refer-Events-At"),
            (line(""), "has no Refer-Events-At"),
            (line("<sip:a@x>, <sip:b@x>"), "2 values"),
            (line("<sip:a@x>") + &line("<sip:b@x>"), "2 values"),
            (line("sip:wsXa9mkHtPcGu8@example.com"), "angle brackets"),
            (line("\"A\" <sip:a@x>"), "angle brackets"),
            (line("<tel:+1>"), "sip or sips"),
            (line("<sip:>"), "sip or sips"),
            (line("<sip:a b@x>"), "sip or sips"),
            (line("<sip:a@x> y"), "parameters"),
        ] {
            let error = read(&headers).unwrap_err();
            assert!(error.contains(why), "{headers}: {error}");
        }
    }

    proptest! {
        #[test]
        fn what_it_takes_can_stand_in_a_request_line(value in "[ -~\t\r]{0,20}>?") {
            if let Ok(uri) = read(&format!("{NAME}: <sip:{value}\r\n")) {
                prop_assert!(is_uri_text(&uri), "{uri:?}");
            }
        }
    }
}
