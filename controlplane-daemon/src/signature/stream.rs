//! A stream of messages between nodes: its opening is signed as any call with an empty body, each message by itself.
//!
//! ```text
//!   key of the stream = HMAC(cluster's secret, "stream" · the opening's signature)      no two openings are the same
//!   tag of a message  = HMAC(key of the stream, u64 place in the stream · message)
//! ```
//!
//! So a message cannot be left out, repeated, moved or taken into another stream, and a captured stream cannot be opened
//! again. Nothing is hashed twice: a message's own hash, as a call's header has it, would only be needed to refuse a body
//! before it is read, and here each message stands alone and has a limit.

use aws_lc_rs::hmac;
use vocab::{ClusterId, NodeId};

use super::{Call, Receiver, Refusal, Signatures};

/// Comes with a request whose opening was verified.
#[derive(Clone, Debug)]
pub struct Opened {
    pub sender: NodeId,
    pub cluster: Option<ClusterId>,
    key: hmac::Key,
}

/// One end of a stream: signs what goes out in order, or checks what comes in.
#[derive(Clone, Debug)]
pub struct Tags {
    key: hmac::Key,
    place: u64,
}

impl Signatures {
    /// The header that opens a stream to `receiver`, and what signs its messages; `None` when there is no secret.
    pub fn open_stream(&self, receiver: NodeId, call: Call<'_>) -> Option<(String, Tags)> {
        let header = self.sign(Receiver::Node(receiver), call, &[])?;
        let tags = Tags { key: stream_key(self.shared.keys.first()?, &header), place: 0 };
        Some((header, tags))
    }

    /// Who opens the stream.
    pub(super) fn admit_stream(&self, header: Option<&str>, call: Call<'_>) -> Result<Opened, Refusal> {
        let admitted = self.admit(header, call, self.this_node())?;
        let key = stream_key(&admitted.secret, header.ok_or(Refusal::Unsigned)?);
        Ok(Opened { sender: admitted.check(&[])?, cluster: admitted.cluster, key })
    }
}

impl Opened {
    pub fn tags(&self) -> Tags {
        Tags { key: self.key.clone(), place: 0 }
    }
}

impl Tags {
    /// The tag of the next message.
    pub fn sign(&mut self, message: &[u8]) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(&self.take_place().to_be_bytes());
        context.update(message);
        context.sign()
    }

    /// Whether this is the next message.
    pub fn check(&mut self, message: &[u8], tag: &[u8]) -> Result<(), Refusal> {
        let expected = self.sign(message);
        let same: bool = subtle::ConstantTimeEq::ct_eq(expected.as_ref(), tag).into();
        if same { Ok(()) } else { Err(Refusal::Mismatch) }
    }

    fn take_place(&mut self) -> u64 {
        let place = self.place;
        // 2^64 messages do not pass through one connection.
        self.place = place.wrapping_add(1);
        place
    }
}

fn stream_key(secret: &hmac::Key, opening: &str) -> hmac::Key {
    let derived = hmac::sign(secret, &[b"stream", opening.as_bytes()].concat());
    hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use vocab::{ManualClock, Secret, Timestamp};

    use super::*;

    const CALL: Call<'_> = Call { method: "POST", target: "/stream" };

    fn node(id: u64, secrets: &[&str]) -> Signatures {
        let secrets: Vec<_> = secrets.iter().map(|secret| Secret::new((*secret).to_owned())).collect();
        let cluster = tokio::sync::watch::Sender::new(None).subscribe();
        Signatures::new(NodeId(id), &secrets, cluster, Arc::new(ManualClock::at(Timestamp::from_millis(1))))
    }

    #[test]
    fn messages_pass_once_each_in_their_order_and_in_their_stream() {
        // The receiver is in the middle of replacing the secret.
        let (sender, receiver) = (node(1, &["old"]), node(2, &["new", "old"]));
        let (header, mut out) = sender.open_stream(NodeId(2), CALL).unwrap();
        let opened = receiver.admit_stream(Some(&header), CALL).unwrap();
        assert_eq!(opened.sender, NodeId(1));
        let sent: Vec<_> = [b"one", b"two"].map(|message| (message, out.sign(message))).into();
        let check = |order: &[usize]| {
            let mut tags = opened.tags();
            order.iter().map(|place| tags.check(sent[*place].0, sent[*place].1.as_ref())).collect::<Vec<_>>()
        };
        let refused = Err(Refusal::Mismatch);
        assert_eq!(check(&[0, 1]), [Ok(()), Ok(())]);
        assert_eq!(check(&[0, 0]), [Ok(()), refused]);
        assert_eq!(check(&[1]), [refused]);
        assert_eq!(opened.tags().check(b"One", sent[0].1.as_ref()), refused);
        assert_eq!(opened.tags().check(b"one", &[]), refused);

        assert_eq!(receiver.admit_stream(Some(&header), CALL).unwrap_err(), Refusal::Replayed);
        let (header, _) = sender.open_stream(NodeId(2), CALL).unwrap();
        let another = receiver.admit_stream(Some(&header), CALL).unwrap();
        assert_eq!(another.tags().check(sent[0].0, sent[0].1.as_ref()), refused);
        let with_body = sender.sign(Receiver::Node(NodeId(2)), CALL, b"body").unwrap();
        assert_eq!(receiver.admit_stream(Some(&with_body), CALL).unwrap_err(), Refusal::OtherBody);
        assert_eq!(receiver.admit_stream(None, CALL).unwrap_err(), Refusal::Unsigned);
    }
}
