//! Where a notification may go next, as it is kept with what waits.

use apns_proto::Environment;

/// Which of Apple's environments a notification goes to, as far as its caller said so or it was found out.
///
/// A store keeps the number. Each route has a queue of its own: what waits for one environment is in nobody's way who goes to
/// the other. A notification moves to routes with higher numbers, so a walk through the routes in their order misses none that
/// moves meanwhile; but for what goes from one `Found` to the other, where the device token turned out to belong there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Route {
    /// Its caller named no environment: it goes where the app sends by default.
    #[default]
    Default,
    /// Its caller named this one.
    Named(Environment),
    /// The daemon has to find out where the device token belongs.
    Auto,
    /// As [`Auto`](Self::Auto), and nothing is known of the device token: it waits until the app may ask at a guess.
    Probe,
    /// As [`Auto`](Self::Auto), and this environment is the one to ask.
    Found(Environment),
    /// As [`Auto`](Self::Auto), and the other environment does not know the device token: this one has the last word.
    Last(Environment),
}

impl Route {
    /// All, in the order of their numbers.
    pub const ALL: [Self; 9] = [
        Self::Default,
        Self::Named(Environment::Production),
        Self::Named(Environment::Sandbox),
        Self::Auto,
        Self::Probe,
        Self::Found(Environment::Production),
        Self::Found(Environment::Sandbox),
        Self::Last(Environment::Production),
        Self::Last(Environment::Sandbox),
    ];

    /// The number that a store keeps, from 0 on.
    #[must_use]
    pub fn number(self) -> u8 {
        let place = Self::ALL.iter().position(|route| *route == self).expect("all routes are in the list");
        u8::try_from(place).expect("there are few routes")
    }

    /// The route of a number. One that is not known here is as good as none.
    #[must_use]
    pub fn from_number(number: i64) -> Self {
        usize::try_from(number).ok().and_then(|place| Self::ALL.get(place)).copied().unwrap_or_default()
    }
}

/// The numbers of all routes for a statement: with them the index of what waits, which has the route before the time, finds
/// what is due without a look at all the rest.
macro_rules! any_route {
    () => {
        "route IN (0, 1, 2, 3, 4, 5, 6, 7, 8)"
    };
}
pub(super) use any_route;

/// A set of routes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Routes(u16);

impl Routes {
    /// All routes.
    pub const ALL: Self = Self((1 << Route::ALL.len()) - 1);

    /// Those that lead to this environment and nowhere else.
    #[must_use]
    pub fn only_for(environment: Environment) -> Self {
        Self::from([Route::Named(environment), Route::Found(environment), Route::Last(environment)])
    }

    /// Whether a route is in both sets.
    #[must_use]
    pub const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// With one more.
    #[must_use]
    pub fn with(self, route: Route) -> Self {
        Self(self.0 | 1 << route.number())
    }

    /// Whether a route is one of them.
    #[must_use]
    pub fn has(self, route: Route) -> bool {
        self.0 & 1 << route.number() != 0
    }

    /// Those of both sets.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Their numbers, from the lowest on.
    pub(crate) fn numbers(self) -> impl Iterator<Item = u8> {
        Route::ALL.into_iter().filter(move |route| self.has(*route)).map(Route::number)
    }
}

impl<const N: usize> From<[Route; N]> for Routes {
    fn from(routes: [Route; N]) -> Self {
        routes.into_iter().fold(Self::default(), Self::with)
    }
}

/// How much a claim takes of some routes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// Of these, the oldest of all of them first.
    pub routes: Routes,
    /// At most so many.
    pub limit: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_leads_back_to_its_route() {
        for route in Route::ALL {
            assert_eq!(Route::from_number(route.number().into()), route);
            assert!(Routes::ALL.has(route));
            let alone = Routes::from([route]);
            assert_eq!(alone.numbers().collect::<Vec<_>>(), [route.number()]);
            assert_eq!(alone.and(Routes::ALL), Routes::ALL);
        }
        for odd in [-1, 9, i64::MAX] {
            assert_eq!(Route::from_number(odd), Route::Default);
        }
        assert_eq!(Routes::default().numbers().count(), 0);
        let (production, sandbox) = (Routes::only_for(Environment::Production), Routes::only_for(Environment::Sandbox));
        assert!(!production.meets(sandbox) && production.meets(Routes::ALL) && !production.meets(Routes::default()));
        let numbers: Vec<String> = Routes::ALL.numbers().map(|number| number.to_string()).collect();
        assert_eq!(any_route!(), format!("route IN ({})", numbers.join(", ")));
    }
}
