//! What a text of SQL would change, by its words. No parser: it knows what is a word and what is quoted.

/// No word that matters is longer.
const WORD_BYTES: usize = 16;

/// A longer tag of a dollar quote is not recognised, and what is in it is taken for words.
const TAG_BYTES: usize = 64;

/// What the statements of a text do, as far as their words say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Effects {
    /// It changes something, or may.
    pub(crate) writes: bool,
    /// It begins a transaction block.
    pub(crate) begins: bool,
    /// It commits one.
    pub(crate) commits: bool,
    /// It ends one without.
    pub(crate) rolls_back: bool,
    /// It sets up the session.
    pub(crate) sets: bool,
    /// It looks at something.
    pub(crate) reads: bool,
}

impl Effects {
    /// Of a text that is not known.
    pub(crate) const UNKNOWN: Self =
        Self { writes: true, begins: false, commits: false, rolls_back: false, sets: false, reads: false };

    /// Whether it does nothing but set up the session.
    pub(crate) const fn only_sets(self) -> bool {
        self.sets && !self.writes && !self.begins && !self.commits && !self.rolls_back && !self.reads
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum In {
    #[default]
    Text,
    Word,
    /// After one `-`.
    Dash,
    LineComment,
    /// After one `/`.
    Slash,
    /// So deep, and after a `*` or `/` or neither.
    BlockComment(u32, u8),
    /// With backslashes that escape, and after one.
    Quote(bool, bool),
    Name,
    /// A tag that has begun.
    Tag,
    /// Up to the same tag, of which so much has come; nothing has for `None`.
    DollarQuote(Option<usize>),
}

/// Reads a text as it comes.
#[derive(Debug)]
pub(crate) struct Sql {
    state: In,
    word: [u8; WORD_BYTES],
    word_length: usize,
    tag: [u8; TAG_BYTES],
    tag_length: usize,
    is_first: bool,
    /// The statement began with `WITH`, and what it is comes later.
    is_with: bool,
    /// The word before was `FOR` or `KEY`: an `UPDATE` after it is a lock.
    locks: bool,
    effects: Effects,
}

impl Sql {
    pub(crate) const fn new() -> Self {
        Self {
            state: In::Text,
            word: [0; WORD_BYTES],
            word_length: 0,
            tag: [0; TAG_BYTES],
            tag_length: 0,
            is_first: true,
            is_with: false,
            locks: false,
            effects: Effects {
                writes: false,
                begins: false,
                commits: false,
                rolls_back: false,
                sets: false,
                reads: false,
            },
        }
    }

    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.step(*byte);
        }
    }

    /// What it does, up to here.
    pub(crate) fn effects(&mut self) -> Effects {
        if self.state == In::Word {
            self.end_word();
            self.state = In::Text;
        }
        self.effects
    }

    fn step(&mut self, byte: u8) {
        self.state = match self.state {
            In::Text => self.in_text(byte),
            In::Word if byte == b'_' || byte == b'$' || byte.is_ascii_alphanumeric() || !byte.is_ascii() => {
                self.push(byte);
                In::Word
            }
            In::Word => {
                let escapes = self.word_length == 1 && self.word[0] == b'E';
                if byte == b'\'' && escapes {
                    In::Quote(true, false)
                } else {
                    self.end_word();
                    self.in_text(byte)
                }
            }
            In::Dash if byte == b'-' => In::LineComment,
            In::Slash if byte == b'*' => In::BlockComment(1, 0),
            In::Dash | In::Slash => self.in_text(byte),
            In::LineComment => {
                if byte == b'\n' {
                    In::Text
                } else {
                    In::LineComment
                }
            }
            In::BlockComment(depth, before) => match (before, byte) {
                (b'*', b'/') if depth == 1 => In::Text,
                (b'*', b'/') => In::BlockComment(depth - 1, 0),
                (b'/', b'*') => In::BlockComment(depth.saturating_add(1), 0),
                _ => In::BlockComment(depth, byte),
            },
            In::Quote(escapes, true) => In::Quote(escapes, false),
            In::Quote(true, false) if byte == b'\\' => In::Quote(true, true),
            // A doubled quote ends it and begins it again.
            In::Quote(..) if byte == b'\'' => In::Text,
            In::Name if byte == b'"' => In::Text,
            In::Quote(..) | In::Name => self.state,
            In::Tag => self.in_tag(byte),
            In::DollarQuote(matched) => match (matched, byte) {
                (Some(count), b'$') if count == self.tag_length => In::Text,
                (_, b'$') => In::DollarQuote(Some(0)),
                (Some(count), byte) if count < self.tag_length && self.tag[count] == byte => {
                    In::DollarQuote(Some(count + 1))
                }
                _ => In::DollarQuote(None),
            },
        };
    }

    fn in_text(&mut self, byte: u8) -> In {
        match byte {
            b'-' => In::Dash,
            b'/' => In::Slash,
            b'\'' => In::Quote(false, false),
            b'"' => In::Name,
            b'$' => {
                self.tag_length = 0;
                In::Tag
            }
            b';' => {
                (self.is_first, self.is_with, self.locks) = (true, false, false);
                In::Text
            }
            b'_' | b'a'..=b'z' | b'A'..=b'Z' | 0x80.. => {
                self.word_length = 0;
                self.push(byte);
                In::Word
            }
            _ => In::Text,
        }
    }

    /// After `$`: a parameter, or the tag of a quote.
    fn in_tag(&mut self, byte: u8) -> In {
        match byte {
            b'$' => In::DollarQuote(None),
            b'0'..=b'9' if self.tag_length == 0 => In::Text,
            b'_' | b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | 0x80.. if self.tag_length < TAG_BYTES => {
                self.tag[self.tag_length] = byte;
                self.tag_length += 1;
                In::Tag
            }
            _ => self.in_text(byte),
        }
    }

    fn push(&mut self, byte: u8) {
        if self.word_length < WORD_BYTES {
            self.word[self.word_length] = byte.to_ascii_uppercase();
        }
        self.word_length += 1;
    }

    fn end_word(&mut self) {
        let word = self.word.get(..self.word_length).unwrap_or_default();
        let effects = &mut self.effects;
        if self.is_first {
            self.is_first = false;
            match word {
                b"WITH" => {
                    self.is_with = true;
                    effects.reads = true;
                }
                b"BEGIN" | b"START" => effects.begins = true,
                b"COMMIT" | b"END" => effects.commits = true,
                b"ROLLBACK" | b"ABORT" => effects.rolls_back = true,
                b"SET" | b"RESET" | b"SHOW" | b"DISCARD" | b"DEALLOCATE" => effects.sets = true,
                b"SELECT" | b"VALUES" | b"TABLE" | b"EXPLAIN" | b"DECLARE" | b"FETCH" | b"MOVE" | b"CLOSE"
                | b"LISTEN" | b"UNLISTEN" | b"LOCK" | b"SAVEPOINT" | b"RELEASE" | b"PREPARE" | b"ANALYZE" => {
                    effects.reads = true;
                }
                // What is not known may write.
                _ => effects.writes = true,
            }
        } else if self.is_with {
            match word {
                b"INSERT" | b"DELETE" | b"MERGE" => effects.writes = true,
                b"UPDATE" if !self.locks => effects.writes = true,
                _ => {}
            }
        }
        self.locks = matches!(word, b"FOR" | b"KEY");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn effects(text: &str) -> Effects {
        let mut sql = Sql::new();
        sql.feed(text.as_bytes());
        sql.effects()
    }

    const WRITES: &[&str] = &[
        "insert into t values (1)",
        "  -- a comment\n /* and /* another */ select */ UPDATE t set a = 1",
        "delete\nfrom t",
        "select 1; truncate t",
        "with a as (select 1 for update) insert into t select * from a",
        "WITH gone AS (DELETE FROM t RETURNING *) SELECT count(*) FROM gone",
        "with a as (select 1) update t set x = 1",
        "create table t ()",
        "do $$ begin; select 1; end $$",
        "call p()",
        "execute s",
        "/* - */insert into t values ('it''s', E'\\'', \"a;b\", $1)",
        "copy t from stdin",
        "select $1; merge into t using s on true when matched then delete",
    ];

    const READS: &[&str] = &[
        "",
        ";;",
        "select 'insert into t' from \"update\"",
        "select 1 from t for update",
        "select ';delete from t'",
        "select E'\\'; delete from t; '",
        "select $a$ ; delete $b$ ; insert $a $a$ , $1",
        "(select 1) union (select 2)",
        "with a as (select 1 from t for no key update), b as (select 1 for update) select * from a",
        "with a as (select 'insert', \"delete\", $$update$$ /* merge */ -- insert\n) select 1",
        "values (1)",
        "-- insert\n",
        "/* SQLx ping */",
        "begin",
        "start transaction; set local x = 1; commit",
        "rollback",
        "show x",
        "select 1-2/3",
    ];

    #[test]
    fn words_tell_what_writes() {
        for text in WRITES {
            assert!(effects(text).writes, "{text}");
        }
        for text in READS {
            assert!(!effects(text).writes, "{text}");
        }
    }

    #[test]
    fn blocks_and_set_up_are_seen() {
        let block = effects("begin; insert into t values (1); commit");
        assert!(block.begins && block.writes && block.commits && !block.rolls_back);
        assert!(effects("set a = 1; reset b").only_sets());
        assert!(!effects("set a = 1; select 1").only_sets());
        assert!(!effects("").only_sets());
        assert!(effects("ROLLBACK").rolls_back);
        assert!(effects("end").commits);
    }

    proptest! {
        #[test]
        fn any_pieces_say_the_same(
            texts in prop::collection::vec(prop::sample::select([WRITES, READS].concat()), 1..4),
            size in 1..9_usize,
        ) {
            let text = texts.join(";");
            let mut sql = Sql::new();
            for piece in text.as_bytes().chunks(size) {
                sql.feed(piece);
            }
            prop_assert_eq!(sql.effects(), effects(&text));
        }

        #[test]
        fn no_bytes_are_too_much(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut sql = Sql::new();
            sql.feed(&bytes);
            sql.effects();
        }
    }
}
