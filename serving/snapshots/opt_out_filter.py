"""The hidden users of a home, read again whenever they change: every process applies opt-outs without a restart."""

from functools import lru_cache

from features.errors import CloutError
from training.home import Home
from training.records.cached import CachedRecords
from training.records.opt_outs import CHANGES, OptedOutUsers, load_opted_out_users


class HiddenUserError(CloutError):
    """A user's score is hidden: the user opted out, or their data was deleted."""


def check_visible(user: str, hidden: OptedOutUsers) -> None:
    """Check that a user is not hidden.

    Raises
    ------
    HiddenUserError : the user is; the message reveals neither which of the two reasons applies nor whether a score ever
        existed

    """
    if user in hidden:
        raise HiddenUserError(f"no score of {user!r} is shown: the person asked not to be scored, or to be forgotten.")


class HiddenUsers(CachedRecords[OptedOutUsers]):
    """The users who are hidden now; while the records cannot be read, the users last read stay hidden."""

    def __init__(self, home: Home):
        super().__init__(home, CHANGES, load_opted_out_users, _stale_message)


def _stale_message(users: OptedOutUsers | None) -> str:
    return f"The {len(users or ())} users last known to be hidden stay hidden."


@lru_cache(maxsize=16)
def hidden_users(home: Home) -> HiddenUsers:
    """Return the hidden users of a home, shared by the whole process."""
    return HiddenUsers(home)
