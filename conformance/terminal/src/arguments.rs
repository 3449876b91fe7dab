//! What a command says of the arguments that it refuses.

use std::ffi::OsString;

/// A message about arguments, without those parts of them that may hold a secret (ERR-2): what refuses arguments quotes
/// them as they are, also a URL that stands in the wrong place. A part is an argument, or what follows the `=` in one.
///
/// ```
/// use kv_terminal::arguments::without_secrets;
/// let arguments = ["--to=redis://:hush@host".into(), "twice".into()];
/// let message = "unexpected: --to=redis://:hush@host, redis://:hush@host, twice";
/// let shown = without_secrets(message, arguments, |part| part.contains('@'));
/// assert_eq!(shown, "unexpected: ..., ..., twice");
/// ```
#[must_use]
pub fn without_secrets(
    message: &str,
    arguments: impl IntoIterator<Item = OsString>,
    may_hold_a_secret: impl Fn(&str) -> bool,
) -> String {
    let mut message = message.to_owned();
    for argument in arguments {
        let argument = argument.to_string_lossy();
        let value = argument.split_once('=').map_or("", |(_, value)| value);
        for part in [&*argument, value] {
            if may_hold_a_secret(part) {
                message = message.replace(part, "...");
            }
        }
    }
    message
}
