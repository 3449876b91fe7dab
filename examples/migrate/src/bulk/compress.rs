//! Compressing what is written, in members that each can be read by itself.

use std::io::{self, Write};

use flate2::write::GzEncoder;
use zstd::stream::write::Encoder as ZstdEncoder;

use super::format::Compression;

/// Turns text into members of gzip or frames of zstd, one after the other. A file may be cut between two of them.
pub(super) struct Compressor {
    compression: Compression,
    member: Option<Member>,
}

/// A member that has begun. It compresses into memory, from where each call takes what there is.
enum Member {
    Plain,
    Gzip(Box<GzEncoder<Vec<u8>>>),
    Zstd(Box<ZstdEncoder<'static, Vec<u8>>>),
}

impl Compressor {
    /// How much is compressed before it is handed on.
    const PIECE_BYTES: usize = 64 * 1024;

    pub(super) const fn new(compression: Compression) -> Self {
        Self { compression, member: None }
    }

    /// Writes text, in a new member where none has begun.
    pub(super) fn write(&mut self, text: &[u8], output: &mut impl Write) -> io::Result<()> {
        match self.member()? {
            Member::Plain => output.write_all(text),
            Member::Gzip(encoder) => text.chunks(Self::PIECE_BYTES).try_for_each(|piece| {
                encoder.write_all(piece)?;
                hand_on(encoder.get_mut(), output)
            }),
            Member::Zstd(encoder) => text.chunks(Self::PIECE_BYTES).try_for_each(|piece| {
                encoder.write_all(piece)?;
                hand_on(encoder.get_mut(), output)
            }),
        }
    }

    /// Begins a member where none has begun: nothing at all is no compressed file.
    pub(super) fn begin(&mut self) -> io::Result<()> {
        self.member().map(drop)
    }

    /// Ends the member that has begun, if one has.
    pub(super) fn end(&mut self, output: &mut impl Write) -> io::Result<()> {
        match self.member.take() {
            None | Some(Member::Plain) => Ok(()),
            Some(Member::Gzip(encoder)) => output.write_all(&encoder.finish()?),
            Some(Member::Zstd(encoder)) => output.write_all(&encoder.finish()?),
        }
    }

    fn member(&mut self) -> io::Result<&mut Member> {
        match &mut self.member {
            Some(member) => Ok(member),
            slot => Ok(slot.insert(match self.compression {
                Compression::None => Member::Plain,
                Compression::Gzip => Member::Gzip(Box::new(GzEncoder::new(Vec::new(), flate2::Compression::default()))),
                Compression::Zstd => {
                    let mut encoder = ZstdEncoder::new(Vec::new(), zstd::DEFAULT_COMPRESSION_LEVEL)?;
                    // As zstd(1) does, so that damage is found.
                    encoder.include_checksum(true)?;
                    Member::Zstd(Box::new(encoder))
                }
            })),
        }
    }
}

fn hand_on(compressed: &mut Vec<u8>, output: &mut impl Write) -> io::Result<()> {
    output.write_all(compressed)?;
    compressed.clear();
    Ok(())
}
