//! What the provider API takes: notifications, broadcasts, requests about channels.

use std::sync::Arc;

use super::broadcast::Broadcast;
use super::channels::{ChannelCall, MAX_CHANNEL_LIST};
use super::outgoing::{Head, Outgoing};
use super::{Api, ProviderToken, RequestWarning, Requests, Response};
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

    /// Its request, with that head.
    fn outgoing<'a>(
        &'a self,
        requests: &'a mut Requests,
        head: &'a Arc<Head>,
        token: Option<&'a ProviderToken>,
        now: WallTime,
    ) -> Outgoing<'a>;

    /// How it ended by this answer.
    fn read(response: Response) -> (Outcome, Self::Answer);
}

impl Parts for Notification {
    const API: Api = Api::Device;

    fn examine(&self, requests: &mut Requests) -> Result<(Arc<Head>, Vec<RequestWarning>), InvalidNotification> {
        requests.examine(self)
    }

    fn outgoing<'a>(
        &'a self,
        requests: &'a mut Requests,
        head: &'a Arc<Head>,
        token: Option<&'a ProviderToken>,
        now: WallTime,
    ) -> Outgoing<'a> {
        requests.outgoing(head, self, token, now)
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

    fn hand_over(&mut self, now: WallTime) {
        *self = self.clone().with_expiration(self.expiration().handed_over(now));
    }

    fn resolve_expiration(&mut self, now: WallTime) {
        *self = self.clone().with_expiration(self.expiration().resolve(now));
    }

    fn with_expiration(self, expiration: Expiration) -> Self {
        self.with_expiration(expiration)
    }
}

impl Parts for Broadcast {
    const API: Api = Api::Broadcast;

    fn examine(&self, _: &mut Requests) -> Result<(Arc<Head>, Vec<RequestWarning>), InvalidNotification> {
        Ok((Arc::new(Requests::broadcast_head(self)?), Vec::new()))
    }

    fn outgoing<'a>(
        &'a self,
        requests: &'a mut Requests,
        head: &'a Arc<Head>,
        token: Option<&'a ProviderToken>,
        now: WallTime,
    ) -> Outgoing<'a> {
        requests.outgoing_broadcast(head, self, token, now)
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

    fn hand_over(&mut self, _now: WallTime) {}

    fn resolve_expiration(&mut self, _now: WallTime) {}

    fn with_expiration(self, _expiration: Expiration) -> Self {
        self
    }
}

impl Parts for ChannelCall {
    const API: Api = Api::Broadcast;
    const MAX_BODY: usize = MAX_CHANNEL_LIST;

    fn examine(&self, _: &mut Requests) -> Result<(Arc<Head>, Vec<RequestWarning>), InvalidNotification> {
        Ok((Arc::new(Requests::channel_head(&self.request)), Vec::new()))
    }

    fn outgoing<'a>(
        &'a self,
        requests: &'a mut Requests,
        head: &'a Arc<Head>,
        token: Option<&'a ProviderToken>,
        _: WallTime,
    ) -> Outgoing<'a> {
        requests.outgoing_channel(head, self, token)
    }

    fn read(response: Response) -> (Outcome, Option<Box<Response>>) {
        (response.clone().into_outcome(), Some(Box::new(response)))
    }
}
