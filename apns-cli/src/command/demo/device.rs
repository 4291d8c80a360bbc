//! Devices that do not exist.

use apns_proto::internal::to_hex;

/// The device token of the n-th notification: 32 bytes that look like one, and no two alike.
pub(super) fn token(n: u32) -> [u8; 32] {
    let mut bytes = [0; 32];
    let mut state = u64::from(n).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for chunk in bytes[..28].chunks_mut(4) {
        // One step of xorshift64 a chunk; good enough for the eye.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        chunk.copy_from_slice(&state.to_be_bytes()[..4]);
    }
    bytes[28..].copy_from_slice(&n.to_be_bytes());
    bytes
}

/// Its beginning and its end.
pub(super) fn short(n: u32) -> String {
    format!("{}…{}", to_hex(&token(n)[..4]), to_hex(&token(n)[28..]))
}
