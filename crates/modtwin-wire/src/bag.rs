//! Property bags: the `k=v&k2=v2` at the end of topics.

use percent_encoding::percent_decode_str;

/// The value of `key` in `bag`, percent-decoded; the first one where it stands twice.
pub(crate) fn value(bag: &str, key: &str) -> Option<String> {
    percent_decode_str(raw_value(bag, key)?).decode_utf8().ok().map(Into::into)
}

/// The value of `key` in `bag` as it stands there; the first one where it stands twice.
pub(crate) fn raw_value<'a>(bag: &'a str, key: &str) -> Option<&'a str> {
    bag.split('&').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        let name = percent_decode_str(name).decode_utf8().ok()?;
        (name == key).then_some(value)
    })
}
