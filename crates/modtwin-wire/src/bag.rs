//! Property bags: the `k=v&k2=v2` at the end of topics.

use percent_encoding::percent_decode_str;

/// The value of `key` in `bag`, percent-decoded; the first one where it stands twice.
pub(crate) fn value(bag: &str, key: &str) -> Option<String> {
    bag.split('&').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        let name = percent_decode_str(name).decode_utf8().ok()?;
        if name != key {
            return None;
        }
        percent_decode_str(value).decode_utf8().ok().map(Into::into)
    })
}
