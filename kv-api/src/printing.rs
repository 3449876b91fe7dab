//! Text from outside in front of a person: nothing in it may move the cursor or turn the line around (ERR-2).

use std::fmt::{self, Write};

/// Text from outside as a person may read it: control characters, line ends, and what changes the direction of text
/// are escaped as `\u{..}`. Everything else, quotes and backslashes too, stays as it is (ERR-2).
///
/// ```
/// use kv_api::Escaped;
/// assert_eq!(Escaped("a \"b\"\u{1b}[2J").to_string(), r#"a "b"\u{1b}[2J"#);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Escaped<'a>(pub &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            if is_harmless(character) {
                f.write_char(character)?;
            } else {
                write!(f, "{}", character.escape_unicode())?;
            }
        }
        Ok(())
    }
}

/// Not one of the control characters, of the separators of lines, or of the characters that have no picture and only
/// steer how others are shown (the directions among them).
fn is_harmless(character: char) -> bool {
    !character.is_control()
        && !matches!(
            character,
            '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn err_2_only_what_does_harm_is_escaped() {
        let plain = "C:\\data \"é\" e\u{301} 日本語 ☃ — 100 %";
        assert_eq!(Escaped(plain).to_string(), plain);
        for hostile in
            ['\0', '\n', '\u{1b}', '\u{7f}', '\u{85}', '\u{200f}', '\u{202e}', '\u{2028}', '\u{2067}', '\u{feff}']
        {
            let shown = Escaped(&hostile.to_string()).to_string();
            assert_eq!(shown, format!("\\u{{{:x}}}", u32::from(hostile)));
        }
    }
}
