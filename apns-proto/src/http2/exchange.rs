//! What the provider API takes: notifications, broadcasts, requests about channels.

use std::sync::Arc;

use bytes::Bytes;

use super::broadcast::Broadcast;
use super::channels::{ChannelCall, MAX_CHANNEL_LIST};
use super::outgoing::Head;
use super::request::{Header, Indexing, Method};
use super::requests::{channel, check_size, expiration, priority, request_id};
use super::{Api, RequestWarning, Requests, Response};
use crate::payload::PayloadLimit;
use crate::{ApnsId, Expiration, InvalidNotification, Message, Notification, Outcome, WallTime};

/// A [`Message`] that is one exchange with the provider API: a [`Notification`], a [`Broadcast`] or a [`ChannelCall`].
///
/// Nobody else can implement it.
pub trait Exchange: Message + Parts {}

impl<M: Message + Parts> Exchange for M {}

/// How such a message becomes a request, and an answer its end.
pub trait Parts: Message {
    /// The part of the API that answers.
    const API: Api;
    /// The most bytes that are kept of an answer's body.
    const MAX_BODY: usize = super::MAX_BODY;

    /// What its request has in common with others, and what is to be told about it; or why no service would take it.
    fn examine(&self, requests: &mut Requests) -> Result<(Arc<Head>, Vec<RequestWarning>), InvalidNotification>;

    /// Appends the path of its request.
    fn path(&self, out: &mut String);

    /// Appends the fields that its request shares with no other.
    fn varying(&self, now: WallTime, out: &mut Vec<Header>);

    /// The body of its request.
    fn body(&self) -> &Bytes;

    /// How it ended by this answer.
    fn read(response: Response) -> (Outcome, Self::Answer);
}

impl Parts for Notification {
    const API: Api = Api::Device;

    fn examine(&self, requests: &mut Requests) -> Result<(Arc<Head>, Vec<RequestWarning>), InvalidNotification> {
        requests.examine(self)
    }

    fn path(&self, out: &mut String) {
        out.push_str("/3/device/");
        self.token().push_hex(out);
    }

    fn varying(&self, now: WallTime, out: &mut Vec<Header>) {
        if let Some(id) = self.apns_id() {
            out.push(Header::new("apns-id", id.to_string().into(), Indexing::Without));
        }
        out.extend(expiration(self.expiration(), now));
        if let Some(id) = self.collapse_id() {
            let value = Bytes::copy_from_slice(id.as_str().as_bytes());
            out.push(Header::new("apns-collapse-id", value, Indexing::Without));
        }
    }

    fn body(&self) -> &Bytes {
        self.payload().shared()
    }

    fn read(response: Response) -> (Outcome, ()) {
        (response.into_outcome(), ())
    }
}

impl Message for Broadcast {
    /// The `apns-request-id` of the answer: the one that the broadcast was given, otherwise one that the service made.
    type Answer = Option<ApnsId>;

    fn expiration(&self) -> Expiration {
        self.expiration()
    }

    fn set_expiration(&mut self, expiration: Expiration) {
        self.set_expiration(expiration);
    }
}

impl Parts for Broadcast {
    const API: Api = Api::Broadcast;

    fn examine(&self, _: &mut Requests) -> Result<(Arc<Head>, Vec<RequestWarning>), InvalidNotification> {
        check_size(self.payload().size(), PayloadLimit::BROADCAST)?;
        self.expiration().check()?;
        let headers = vec![
            channel(self.channel()),
            Header::new("apns-push-type", Bytes::from_static(b"liveactivity"), Indexing::Incremental),
            priority(self.priority()),
        ];
        Ok((Arc::new(Head { method: Method::Post, headers }), Vec::new()))
    }

    fn path(&self, out: &mut String) {
        out.push_str("/4/broadcasts/apps/");
        out.push_str(self.bundle_id().as_str());
    }

    fn varying(&self, now: WallTime, out: &mut Vec<Header>) {
        // It is required here, and a channel without storage takes no expiration but 0.
        let expires = match self.expiration() {
            Expiration::Omitted => Expiration::Immediately,
            set @ (Expiration::Immediately | Expiration::At(_) | Expiration::After(_)) => set,
        };
        out.extend(expiration(expires, now));
        out.extend(self.request_id().map(request_id));
    }

    fn body(&self) -> &Bytes {
        self.payload().shared()
    }

    fn read(response: Response) -> (Outcome, Option<ApnsId>) {
        let id = response.request_id();
        (response.into_outcome(), id)
    }
}

impl Message for ChannelCall {
    /// The answer, good or bad, for [`ChannelRequest::answer`](super::ChannelRequest::answer) to read; `None` where none
    /// came.
    type Answer = Option<Box<Response>>;

    /// None.
    fn expiration(&self) -> Expiration {
        Expiration::Omitted
    }

    fn set_expiration(&mut self, _: Expiration) {}
}

impl ChannelCall {
    pub(super) fn head(&self) -> Head {
        let headers = self.request.channel().map(channel).into_iter().collect();
        Head { method: self.request.method(), headers }
    }
}

impl Parts for ChannelCall {
    const API: Api = Api::Broadcast;
    const MAX_BODY: usize = MAX_CHANNEL_LIST;

    fn examine(&self, _: &mut Requests) -> Result<(Arc<Head>, Vec<RequestWarning>), InvalidNotification> {
        Ok((Arc::new(self.head()), Vec::new()))
    }

    fn path(&self, out: &mut String) {
        for part in ["/1/apps/", self.bundle_id.as_str(), "/", self.request.collection()] {
            out.push_str(part);
        }
    }

    fn varying(&self, _: WallTime, out: &mut Vec<Header>) {
        out.extend(self.id.map(request_id));
    }

    fn body(&self) -> &Bytes {
        self.request.body()
    }

    fn read(response: Response) -> (Outcome, Option<Box<Response>>) {
        (response.clone().into_outcome(), Some(Box::new(response)))
    }
}
