//! The eight bytes before every message of the Aerospike wire protocol.

/// The length of the header in bytes.
pub const HEADER_LEN: usize = 8;

/// The protocol version that all servers speak.
pub const VERSION: u8 = 2;

/// The kind of message that follows a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
// The tender itself sends no commands on records.
#[cfg_attr(not(feature = "sim"), allow(dead_code))]
pub enum MessageKind {
    /// Info commands and their replies: text.
    Info = 1,
    /// The admin protocol (login).
    Admin = 2,
    /// Commands on records.
    Record = 3,
}

/// `version:8 | type:8 | length:48`, big-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageHeader {
    /// [`VERSION`] in every valid message.
    pub version: u8,
    /// The number of a [`MessageKind`].
    pub kind: u8,
    /// The number of bytes that follow.
    pub length: u64,
}

impl MessageHeader {
    /// The header of a message of this kind and length.
    pub fn new(kind: MessageKind, length: usize) -> MessageHeader {
        MessageHeader { version: VERSION, kind: kind as u8, length: length as u64 }
    }

    /// Encodes the header; only the low 48 bits of the length are used.
    pub fn encode(self) -> [u8; HEADER_LEN] {
        let mut bytes = self.length.to_be_bytes();
        bytes[0] = self.version;
        bytes[1] = self.kind;
        bytes
    }

    /// Decodes a header. Every bit pattern decodes.
    pub fn decode(bytes: [u8; HEADER_LEN]) -> MessageHeader {
        let mut length = bytes;
        length[..2].fill(0);
        MessageHeader { version: bytes[0], kind: bytes[1], length: u64::from_be_bytes(length) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_comes_back_as_it_went() {
        for length in [0, 1, 684, 0xffff_ffff_ffff] {
            let header = MessageHeader::new(MessageKind::Info, length);
            assert_eq!(MessageHeader::decode(header.encode()), header);
        }
        assert_eq!(
            MessageHeader::new(MessageKind::Info, 0x0102).encode(),
            [2, 1, 0, 0, 0, 0, 1, 2]
        );
    }
}
