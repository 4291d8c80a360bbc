//! What a store says of itself that is moved to another one, by numbers in its table `meta`.

/// The name of the number of a move that has begun.
pub(super) const LEAVING: &str = "moving";
/// The name of the number of one that is done.
pub(super) const LEFT: &str = "moved";

/// The name of the last place, of outcomes and of invalid tokens, in the store that all this was moved from. Places here are
/// later ones, so a cursor up to there is one from before the move, and is read by the column `before`.
pub(super) const PLACES_BEFORE: &str = "places_before";

/// Why a store is not to be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Moved {
    #[error("what it had was moved to another store by `apns store move`: configure that one")]
    Left,
    #[error("a move of it to another store has begun: finish it with `apns store move`, or cancel it with `--cancel`")]
    Leaving,
}

/// Refuses a store whose content is elsewhere, or on its way, by the numbers under [`LEFT`] and [`LEAVING`].
pub(super) const fn ensure_here(left: Option<i64>, leaving: Option<i64>) -> Result<(), Moved> {
    match (left, leaving) {
        (Some(_), _) => Err(Moved::Left),
        (None, Some(_)) => Err(Moved::Leaving),
        (None, None) => Ok(()),
    }
}
