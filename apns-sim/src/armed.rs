//! What is armed by hand: the fate of the next push to a device, decided before the script is asked.

use crate::script::{Action, Http2Step, TokenPattern};

/// What happens to the next push for these device tokens, whatever the script says.
///
/// ```
/// use apns_sim::{Armed, Http2Answer, TokenPattern};
///
/// let busy = Http2Answer::new(429, "TooManyRequests").retry_after("3");
/// let twice = Armed::new(TokenPattern::any()).http2([busy.into()]).times(2);
/// # let _ = twice;
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Armed {
    token: TokenPattern,
    http2: Option<Vec<Http2Step>>,
    gateway: Option<Action>,
    times: u64,
    label: Option<Box<str>>,
}

impl Armed {
    /// Nothing yet, once, for these device tokens.
    #[must_use]
    pub const fn new(token: TokenPattern) -> Self {
        Self { token, http2: None, gateway: None, times: 1, label: None }
    }

    /// What the HTTP/2 provider API does. Default: a push over it does not count.
    #[must_use]
    pub fn http2(mut self, steps: impl IntoIterator<Item = Http2Step>) -> Self {
        self.http2 = Some(steps.into_iter().collect());
        self
    }

    /// What the gateway of the binary protocol does. Default: a push over it does not count.
    #[must_use]
    pub fn gateway(mut self, action: Action) -> Self {
        self.gateway = Some(action);
        self
    }

    /// For how many pushes. Default: 1.
    #[must_use]
    pub const fn times(mut self, times: u64) -> Self {
        self.times = times;
        self
    }

    /// What it is called, for those who look at what is armed. Default: nothing.
    #[must_use]
    pub fn labelled(mut self, label: impl Into<Box<str>>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// What it is called.
    #[must_use]
    pub fn label(&self) -> Option<&str> {
        self.label.as_deref()
    }

    /// Which device tokens it is for.
    #[must_use]
    pub const fn token(&self) -> &TokenPattern {
        &self.token
    }

    /// How many pushes are left.
    #[must_use]
    pub const fn left(&self) -> u64 {
        self.times
    }
}

/// All that is armed, at most one for the same tokens.
#[derive(Debug, Default)]
pub(crate) struct ArmedList(Vec<Armed>);

impl ArmedList {
    /// Puts it in the place of what is armed for the same tokens.
    pub(crate) fn arm(&mut self, armed: Armed) {
        self.disarm(&armed.token);
        if armed.times > 0 {
            self.0.push(armed);
        }
    }

    pub(crate) fn disarm(&mut self, token: &TokenPattern) -> bool {
        let before = self.0.len();
        self.0.retain(|armed| armed.token != *token);
        self.0.len() != before
    }

    pub(crate) fn all(&self) -> &[Armed] {
        &self.0
    }

    /// What the provider API does with a push to this device, if something is armed. What names the device comes before
    /// what is for many.
    pub(crate) fn take_http2(&mut self, token: &[u8]) -> Option<Vec<Http2Step>> {
        self.take(token, |armed| armed.http2.clone())
    }

    /// What the gateway does with a push to this device, if something is armed.
    pub(crate) fn take_gateway(&mut self, token: &[u8]) -> Option<Action> {
        self.take(token, |armed| armed.gateway.clone())
    }

    fn take<T>(&mut self, token: &[u8], what: impl Fn(&Armed) -> Option<T>) -> Option<T> {
        if self.0.is_empty() {
            return None;
        }
        let fits = |armed: &Armed| armed.token.matches(token) && what(armed).is_some();
        let exact = |armed: &Armed| armed.token.as_exact().is_some();
        let place = self.0.iter().position(|armed| exact(armed) && fits(armed));
        let place = place.or_else(|| self.0.iter().position(fits))?;
        let armed = &mut self.0[place];
        let taken = what(armed);
        armed.times -= 1;
        if armed.times == 0 {
            self.0.remove(place);
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::Http2Answer;

    fn answered(status: u16) -> Vec<Http2Step> {
        vec![Http2Answer::new(status, "InternalServerError").into()]
    }

    #[test]
    fn what_is_armed_counts_down_and_the_one_that_names_the_device_comes_first() {
        let mut list = ArmedList::default();
        list.arm(Armed::new(TokenPattern::any()).http2(answered(500)).times(2));
        list.arm(Armed::new(TokenPattern::exact([1])).http2(answered(503)));
        assert_eq!(list.take_gateway(&[1]), None, "nothing is armed for the gateway");
        assert_eq!(list.take_http2(&[1]), Some(answered(503)));
        assert_eq!(list.take_http2(&[1]), Some(answered(500)));
        assert_eq!(list.all().iter().map(Armed::left).collect::<Vec<_>>(), [1]);
        assert_eq!(list.take_http2(&[2]), Some(answered(500)));
        assert_eq!(list.take_http2(&[2]), None);
        assert!(list.all().is_empty());
    }

    #[test]
    fn arming_replaces_what_was_armed_for_the_same_tokens() {
        let mut list = ArmedList::default();
        list.arm(Armed::new(TokenPattern::exact([1])).http2(answered(500)));
        list.arm(Armed::new(TokenPattern::exact([1])).gateway(Action::Close));
        assert_eq!((list.take_http2(&[1]), list.take_gateway(&[1])), (None, Some(Action::Close)));
        list.arm(Armed::new(TokenPattern::exact([1])).gateway(Action::Close));
        assert!(list.disarm(&TokenPattern::exact([1])) && !list.disarm(&TokenPattern::exact([1])));
    }
}
