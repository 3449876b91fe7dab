//! What the log of the server says about a message.

use std::fmt;

/// One message that reached the fake, and how many answers it was given. No value is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Message {
    /// Which connection it came on: the first since the fake was served is 1.
    pub connection: u64,
    /// The name of the command, of several the one that is carried out. Empty without one: a message that is
    /// binary or empty, that is not JSON or has no object at its root.
    pub command: String,
    /// The keys it names: of SET and ADD sorted by their bytes, otherwise in the order of the message, repeated ones
    /// repeated.
    pub keys: Vec<String>,
    /// How long it is, in bytes.
    pub bytes: usize,
    /// How many messages it is answered with; less than the system gives where a fault says so.
    pub answers: usize,
}

/// `#1 GET "user_key_1" "user_key_2": 2 answers`.
impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let command = if self.command.is_empty() { "(no command)" } else { self.command.as_str() };
        // A command is whatever the client calls it, so it is escaped like a key where the system does not know it.
        write!(f, "#{} {}", self.connection, command.escape_debug())?;
        for key in &self.keys {
            write!(f, " {key:?}")?;
        }
        write!(f, ": {} answer{}", self.answers, if self.answers == 1 { "" } else { "s" })
    }
}
