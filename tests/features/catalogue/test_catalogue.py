import dataclasses
import json
import math
import re
from pathlib import Path
from typing import get_args

import pytest

from features.catalogue import CATALOGUE, SCORED
from features.catalogue.feature import Catalogue, Direction, Family, Feature, Relation
from features.catalogue.rewordings import EARLIER_FINGERPRINTS

FINGERPRINTS = json.loads(Path(__file__).with_name("fingerprints.json").read_text())
AFTER = 1 / 86_400  # a second, in days

# Events of `u`, as (days before as_of, actor, verb, target, object, result, content_hash, links, topics), and the value
# of a feature computed by hand.
WITHIN = {
    days: [
        (days, "a", "like", "u"),  # the edge is inside the window
        (days + AFTER, "b", "like", "u"),  # a second earlier is outside
        (1, "c", "reply", "u"),
        (2, "c", "block", "u"),  # the same person again; negative events count as engagement
        (1, None, "like", "u"),  # an unknown actor is no person
        (1, "u", "like", "u"),  # not by oneself
        (1, "d", "view", "u"),  # a view is no engagement
    ]
    for days in (7, 28, 90, 365)
}
MADE = {
    days: [
        (days, "u", "post", None),
        (days + AFTER, "u", "post", None),
        (1, "u", "reply", "a"),
        (1, "u", "quote", "u"),
        (1, "u", "like", "a"),
        (1, "a", "reply", "u"),
        (1, None, "reply", "u"),
    ]
    for days in (28, 90, 365)
}
GIVEN = {
    days: [
        (days, "u", "like", "a"),
        (3, "u", "follow", "a"),
        (4, "u", "block", "c"),
        (days + AFTER, "u", "like", "b"),
        (1, "u", "like", "u"),
        (1, "u", "view", "d"),
        (1, "u", "like", None),
    ]
    for days in (90, 365)
}
ON_PIECES = {
    days: [
        (1, "a", "like", "u", "o1"),
        (2, None, "reply", "u", "o1"),
        (days, "b", "like", "u", "o2"),
        (days + AFTER, "b", "like", "u", "o3"),
        (1, "b", "like", "u"),
        (1, "b", "follow", "u", "o4"),
        (1, "u", "like", "u", "o5"),
    ]
    for days in (28, 90)
}
ENGAGED = [(1, "a", "like", "u")]
NOT_ENGAGED = [(1, "u", "post", None), (1, "u", "like", "u"), (1, "a", "view", "u")]
UNKNOWN_ONLY = [(1, None, "like", "u"), (365 + AFTER, "a", "like", "u")]
POSTED = [(1, "u", "post", None)]
WATCHED = [(1, "u", "view", "a"), (1, "a", "like", "u")]
OLD_ENGAGEMENT = [(1, "u", "post", None), (90 + AFTER, "a", "like", "u", "o1", None, None, None, ["x"])]
OLD_PIECE = [(1, "a", "like", "u"), (90 + AFTER, "u", "post", None, "o1", None, "h", 1)]


def received(days, verbs, other):
    """Return events with each verb once, one at the edge of the window, one by an unknown actor, and uncounted ones."""
    return [
        (days, "a", verbs[0], "u"),
        (days + AFTER, "b", verbs[0], "u"),
        (1, None, verbs[-1], "u"),
        (1, "u", verbs[0], "u"),
        *((2, "c", verb, "u") for verb in verbs),
        *((1, "a", verb, "u") for verb in other),
    ]


def content(days, content_hash=None, links=None, verb="post"):
    return (days, "u", verb, None, None, None, content_hash, links)


def tagged(days, actor, *topics):
    return (days, actor, "like", "u", None, None, None, None, list(topics))


def late(days):
    """Return reactions `days` after the creation of posts, a second later than that, and at once."""
    return [
        (20, "u", "post", None, "o1"),
        (20 - days, "a", "repost", "u", "o1"),  # not more than `days` later
        (20 - days - AFTER, "a", "repost", "u", "o1"),
        (20 - days - AFTER, "a", "like", "u", "o1"),
        (1, None, "quote", "u", "o1"),
        (1, "u", "repost", "u", "o1"),
        (20, "u", "post", None, "o4"),
        (20 - days, "a", "like", "u", "o4"),
        (30, "u", "reply", "a", "o2", "r2"),
        (29.9, "b", "repost", "u", "r2"),
        (100, "u", "post", None, "o3"),
        (90, "b", "repost", "u", "o3"),
        (90 + AFTER, "b", "repost", "u", "o3"),
        (1, "b", "repost", "u"),  # on no post
        (1, "b", "follow", "u", "o1"),  # towards the user
    ]


AT_ONCE = [(20, "u", "post", None, "o1"), (20 - AFTER, "a", "repost", "u", "o1"), (1, "u", "repost", "u", "o1")]
WEEKS_ACTIVE = [  # as_of is a Sunday at 00:00, so the current week began six days before
    (6, "u", "view", "a"),
    (6 + AFTER, "u", "like", "u"),
    (13, "u", "post", None),
    (363, "u", "post", None),
    (363 + AFTER, "u", "post", None),
    (35, "a", "like", "u"),
]

# No user is established, so all are credible; a mutual engager weighs at most 0.4.
HALF = [(59, "g", "like", "u"), (1, "u", "repost", "g")]  # 0.4 (59 - 28) / (90 - 28)
MUTUAL = 0.2
SEVEN = [(1, name, "like", "u") for name in "abcdefg"]
NOBODY_YET = [(28, "h", "like", "u"), (1, "u", "like", "h")]
NO_RESPONSE = [
    (1, "x1", "follow", "u"),
    (1, "x2", "block", "u"),
    (1, "x3", "view", "u"),
    (1, "u", "like", "u"),
    (1, "x4", "dislike", "u"),
]
RESPONDED = {
    days: [
        (days, "a", "like", "u"),
        (days + AFTER, "b", "like", "u"),
        (1, "c", "reply", "u"),
        (2, "c", "mention", "u"),
        (1, None, "like", "u"),
        (1, "g", "quote", "u"),
        *HALF,
        *NO_RESPONSE,
    ]
    for days in (7, 28, 90, 365)
}
CREDIBLE_PIECES = {
    days: [
        (1, "a", "like", "u", "o1"),
        (1, "b", "repost", "u", "o1"),  # at most one
        (days, None, "reply", "u", "o2"),
        (days + AFTER, "a", "like", "u", "o3"),
        (1, "g", "like", "u", "o4"),
        (1, "h", "like", "u", "o5"),
        (1, "x4", "dislike", "u", "o6"),
        (1, "a", "mention", "u", "o7"),  # about the user, on no post
        *HALF,
        *NOBODY_YET,
        *NO_RESPONSE,
    ]
    for days in (28, 90)
}
CREDIBLE_LATE = {
    days: [
        (20, "u", "post", None, "o1"),
        (20 - days, "a", "like", "u", "o1"),  # not more than `days` later
        (20 - days - AFTER, "a", "like", "u", "o1"),
        (20, "u", "post", None, "o4"),
        (20 - days, "a", "like", "u", "o4"),
        (1, "g", "like", "u", "of old"),
        (90 + AFTER, "a", "like", "u", "of old"),
        (1, "x4", "dislike", "u", "of old too"),
        (1, "a", "like", "u"),
        *HALF,
    ]
    for days in (1, 7)
}

EXCHANGED = [
    *HALF,
    (1, "g", "quote", "u"),
    (28, "h", "like", "u"),
    (28 + AFTER, "i", "like", "u"),
    (1, "u", "like", "h"),
    (1, "u", "like", "i"),
    (1, "one way", "like", "u"),
    (1, None, "like", "u"),
]
RETURNED = [
    *((88 + AFTER, who, "view", None) for who in ("r", "s", "t")),
    *((28, who, "like", "u") for who in ("r", "s", "t", "new")),
    (1, "u", "like", "s"),
    (200, "t", "like", "u"),  # no stranger to u
]
LASTING = [*HALF, (52, "g", "like", "u")]
# All cases by hand are one community, so this one is separate: p is established, and no user to whom established
# users respond engages with u.
AMONG_THE_ESTABLISHED = [
    *((days, who, "post", None) for who in "pqrs" for days in (400, 40)),
    *((2, who, "like", "p") for who in "qrs"),
    (1, "x", "like", "u"),
    (28, "y", "like", "u"),
    (28 + AFTER, "z", "like", "u"),
    (1, None, "like", "u"),
]

BY_HAND = [
    # credible
    ("uncounted_exchange_28d", EXCHANGED, 1 - MUTUAL + 1),
    ("uncounted_exchange_365d", EXCHANGED, 1 - MUTUAL + 1 + 1 - 0.4 * AFTER / 62),
    ("uncounted_new_28d", EXCHANGED, 0),
    ("uncounted_returned_28d", RETURNED, 2),
    ("uncounted_returned_365d", RETURNED, 2),
    ("uncounted_exchange_365d", RETURNED, 0),
    ("credible_engagers_365d", RETURNED, 2),
    (
        "early_engagers",
        [
            (365, "a", "like", "u"),
            (365 + AFTER, "b", "follow", "u"),
            (1, "b", "like", "u"),
            (500, "c", "block", "u"),
            (400, "d", "view", "u"),
            (400, None, "like", "u"),
            (400, "u", "like", "u"),
        ],
        2,
    ),
    *((f"credible_engagers_{days}d", acts, 1 + 1 + MUTUAL) for days, acts in RESPONDED.items()),
    (
        "credible_engagers_decayed_28d",
        [
            (28, "a", "like", "u"),
            (300, "a", "like", "u"),
            (365, "b", "like", "u"),
            (365 + AFTER, "c", "like", "u"),
            (14, "g", "like", "u"),
            (1, None, "like", "u"),
            *HALF,
            *NO_RESPONSE,
        ],
        1 / 2 + 2 ** (-365 / 28) + 2**-0.5 * MUTUAL,
    ),
    (
        "credible_pace_28d",
        [
            (28, "a", "like", "u"),
            (1, "a", "like", "u"),
            (28 + AFTER, "b", "like", "u"),
            (168, "c", "like", "u"),
            (168 + AFTER, "d", "like", "u"),
            (1, None, "like", "u"),
            *HALF,  # in the third period
            *NO_RESPONSE,
        ],
        (1 + 1 / 2 + MUTUAL / 4 + 1 / 32) / (63 / 32),
    ),
    (
        "credible_returning_28d",
        [
            (28 + AFTER, "a", "like", "u"),
            (28, "a", "like", "u"),
            (28, "b", "like", "u"),
            (1, "b", "like", "u"),
            (40, "c", "like", "u"),
            (40, "d", "follow", "u"),  # followed earlier, did not respond
            (1, "d", "like", "u"),
            (1, None, "like", "u"),
            (1, "g", "like", "u"),
            *HALF,
            *NO_RESPONSE,
        ],
        1 + MUTUAL,
    ),
    (
        "credible_steady_168d",
        [
            *((days, "a", "like", "u") for days in (168, 140, 112)),
            *((days, "b", "like", "u") for days in (168 + AFTER, 140, 112)),
            *((days, "c", "like", "u") for days in (1, 2, 29)),
            *((days, "d", "follow", "u") for days in (1, 29, 57)),
            *((days, None, "like", "u") for days in (1, 29, 57)),
            *((days, "g", "like", "u") for days in (1, 30)),
            *HALF,
        ],
        1 + MUTUAL,
    ),
    ("credibility_365d", ENGAGED, 1),
    (
        "credible_attention_365d",
        [
            (365, "a", "like", "u"),
            (365 + AFTER, "c", "like", "u"),
            (1, "b", "like", "u"),
            (365, "b", "like", "c"),
            (1, "d", "like", "u"),
            (365 + AFTER, "d", "like", "e"),
            *((40, who, "view", None) for who in "bd"),  # so that they do not return from an absence
            (1, "f", "like", "u"),
            (1, "f", "follow", "e"),
            (1, "f", "like", None),
            (1, None, "like", "u"),
            *HALF,
            *NO_RESPONSE,
        ],
        1 + 1 / 2 + 1 + 1 + MUTUAL,
    ),
    *((f"credible_pieces_drawing_{days}d", acts, 1 + 1 + MUTUAL) for days, acts in CREDIBLE_PIECES.items()),
    ("credible_lasting_pieces_90d", CREDIBLE_LATE[7], 1 + MUTUAL),
    ("credible_lasting_pieces_90d", AT_ONCE, 0),
    ("credible_lasting_pieces_90d", [(97, "u", "post", None, "o1"), (90, "a", "repost", "u", "o1")], 0),
    ("credible_after_a_day_share_90d", CREDIBLE_LATE[1], (1 + MUTUAL) / (1 + 1 + 1 + MUTUAL)),
    ("credible_after_a_day_share_90d", [(1, None, "like", "u", "of old"), *AT_ONCE], 1 / 2),
    ("credible_after_a_day_share_90d", AT_ONCE, 0),
    ("credible_after_a_day_share_90d", [(1, "a", "like", "u"), *OLD_ENGAGEMENT], None),
    ("credible_after_a_day_share_90d", [(1, "x", "dislike", "u", "o1")], None),
    (
        "credible_engagers_per_piece_90d",
        [
            (90, "u", "post", None),
            (1, "u", "quote", None),
            (90 + AFTER, "u", "post", None),
            (90, "a", "like", "u"),
            (90 + AFTER, "b", "like", "u"),
            (1, "g", "like", "u"),
            (1, None, "like", "u"),
            *HALF,
            *NO_RESPONSE,
        ],
        (1 + MUTUAL) / 2,
    ),
    ("credible_engagers_per_piece_90d", [*POSTED, *NO_RESPONSE], 0),
    ("credible_engagers_per_piece_90d", OLD_PIECE, None),
    (
        "credible_periods_168d",
        [
            (1, None, "like", "u"),
            (28, "a", "like", "u"),
            (56 + AFTER, "b", "like", "u"),
            (112, "c", "follow", "u"),
            (168, "d", "like", "u"),
            (168 + AFTER, "d", "like", "u"),
            *NOBODY_YET,
        ],
        3,
    ),
    (
        "days_since_credible_engagement",
        [(3.5, "a", "like", "u"), (9, "b", "like", "u"), (1, "h", "like", "u"), *NOBODY_YET, *NO_RESPONSE],
        3.5,
    ),
    ("days_since_credible_engagement", [(2.25, None, "like", "u"), (9, "b", "like", "u")], 2.25),
    ("days_since_credible_engagement", [(365, "a", "like", "u")], 365),
    ("days_since_credible_engagement", [*HALF, (180, "a", "like", "u")], 59 - 30 * math.log2(MUTUAL)),
    ("credible_periods_168d", HALF, MUTUAL),
    ("established_periods_168d", LASTING, 1),
    ("established_periods_168d", HALF, 0),
    ("established_periods_168d", [(28, "a", "like", "u"), (56 + AFTER, None, "like", "u"), *NOBODY_YET], 2),
    # one person in four periods counts one, in two periods two; a period with an unknown person counts by itself
    ("responder_periods_168d", [*((28 * k + 1, "a", "like", "u") for k in range(4)), *NO_RESPONSE], 1),
    (
        "responder_periods_168d",
        [*((28 * k + 1, "a", "like", "u") for k in range(5)), (30, "b", "like", "u"), *NO_RESPONSE],
        2,
    ),
    (
        "responder_periods_168d",
        [*((28 * k + 1, "a", "like", "u") for k in range(5)), (30, None, "like", "u"), *NO_RESPONSE],
        2,
    ),
    ("responder_periods_168d", [*((1, who, "like", "u") for who in "abc"), *NO_RESPONSE], 1),
    ("responder_periods_168d", [(169, "a", "like", "u"), (1, "b", "like", "u"), (29, "b", "like", "u")], 1),
    ("responder_periods_168d", LASTING, 0.5),
    ("responder_periods_168d", HALF, 0),
    ("responder_periods_168d", NO_RESPONSE, 0),
    ("days_since_credible_engagement", [(1, "u", "post", None), (365 + AFTER, "a", "like", "u")], None),
    ("days_since_credible_engagement", NO_RESPONSE, None),
    ("days_absent", [(58.5, "u", "view", "a"), (90, "u", "post", None), (1, "a", "like", "u")], 2.5),
    ("days_absent", [(56, "u", "view", "a")], 0),
    ("days_absent", POSTED, 0),
    ("days_absent", ENGAGED, 0),
    ("days_absent", [(90, "a", "like", "u"), (1, "a", "like", "u")], 34),
    ("days_of_absence", [(58.5, "u", "view", "a"), (90, "u", "post", None), (1, "a", "like", "u")], 2.5),
    ("days_of_absence", [(80, "u", "post", None)] * 1_030, 24 + 30),
    ("days_of_absence", [(80, "u", "post", None)] * 1_000, 24),
    ("days_of_absence", [*((1, "u", "post", None) for _ in range(2_010)), (1, "a", "like", "u")], 10),
    ("days_of_absence", POSTED, 0),
    ("days_of_absence", ENGAGED, 0),
    ("credible_rate_365d", [(365, "a", "like", "u"), (365 + AFTER, "b", "like", "u"), *HALF], (1 + MUTUAL) * 28 / 365),
    ("credible_rate_365d", [(56, "u", "view", None), (1, "a", "like", "u"), *NO_RESPONSE], 28 / 56),
    ("credible_rate_365d", [(20, "u", "post", None), (10, "a", "like", "u"), (28, None, "like", "u")], 1),
    ("credible_rate_365d", NOT_ENGAGED, 0),
    ("established_rate_365d", [(20, "u", "post", None), (10, "a", "like", "u"), *HALF], (1 + MUTUAL) * 28 / 59),
    ("established_rate_365d", [(14, "u", "post", None), (10, "a", "like", "u")], 2),
    ("established_rate_365d", [(3, "u", "post", None), (1, "a", "like", "u")], 4),
    ("established_rate_365d", [(3, "u", "post", None)], 0),
    ("responder_rate_365d", [(20, "u", "post", None), (10, "a", "like", "u"), *HALF], (1 + MUTUAL) * 28 / 90),
    ("responder_rate_365d", [(120, "u", "post", None), (10, "a", "like", "u")], 28 / 120),
    ("responder_rate_365d", [(14, "u", "post", None), *SEVEN], 5 * 28 / 90 + 2 * 28 / 14),
    ("responder_rate_365d", [(3, "u", "post", None), *SEVEN], 5 * 28 / 90 + 2 * 28 / 7),
    ("responder_rate_365d", [(3, "u", "post", None)], 0),
    ("seniority_days", [(3, "u", "post", None), (200.5, None, "like", "u"), (300, "a", "view", "u")], 20.5),
    ("seniority_days", [(600, "u", "view", None), (200.5, "a", "like", "u")], 420),
    ("seniority_days", [(180, "u", "view", None)], 0),
    ("tenure_days", [(3, "u", "view", "a"), (200.5, "u", "post", None), (300, "a", "like", "u")], 200.5),
    ("tenure_days", ENGAGED, None),
    (
        "credible_posts_90d",
        [
            (1, "a", "like", "u", "o1"),
            (2, "a", "like", "u", "o2"),
            (3, "a", "like", "u", "o3"),  # one person counts for one post
            (90, None, "like", "u", "o4"),
            (1, "a", "like", "u", "o4"),
            (90 + AFTER, "b", "like", "u", "o5"),
            *NO_RESPONSE,
        ],
        1 + 1,
    ),
    ("credible_posts_90d", [(1, "a", "like", "u", "o1"), (1, "b", "reply", "u", "o1"), (1, "c", "like", "u")], 1),
    ("credible_posts_90d", NO_RESPONSE, 0),
    *((f"responders_{days}d", acts, 3) for days, acts in RESPONDED.items() if days == 365),
    ("responders_365d", NO_RESPONSE, 0),
    (
        "responders_decayed_28d",
        [(28, "a", "like", "u"), (84, "a", "like", "u"), (56, "b", "reply", "u"), (1, None, "like", "u"), *NO_RESPONSE],
        1 / 2 + 1 / 4,
    ),
    ("responders_decayed_28d", [(365 + AFTER, "a", "like", "u"), *NO_RESPONSE], 0),
    (
        "early_responders",
        [
            (365, "a", "like", "u"),
            (365 + AFTER, "b", "like", "u"),
            (1, "b", "like", "u"),
            (500, "c", "follow", "u"),
            (400, None, "like", "u"),
            (400, "u", "like", "u"),
        ],
        1,
    ),
    ("early_responders", NO_RESPONSE, 0),
    (
        "response_periods_168d",
        [(1, None, "like", "u"), (28, "a", "like", "u"), (56 + AFTER, "b", "like", "u"), (168, "c", "reply", "u")],
        3,
    ),
    ("response_periods_168d", [(168 + AFTER, "a", "like", "u"), *NO_RESPONSE], 0),
    (
        "response_attention_365d",
        [(365, "a", "like", "u"), (1, "b", "like", "u"), (365, "b", "like", "c"), (1, None, "like", "u")],
        1 + 1 / 2,
    ),
    ("response_attention_365d", NO_RESPONSE, 0),
    ("days_since_last_response", [(2.5, None, "like", "u"), (9, "b", "like", "u"), *NO_RESPONSE], 2.5),
    ("days_since_last_response", [(365 + AFTER, "a", "like", "u"), *NO_RESPONSE], None),
    (
        "days_since_established",
        [(3.5, "a", "like", "u"), (9, "b", "like", "u"), (1, "g", "like", "u"), *HALF, *NO_RESPONSE],
        3.5,
    ),
    ("days_since_established", [(2.25, None, "like", "u"), (9, "b", "like", "u")], 2.25),
    ("days_since_established", [(365, "a", "like", "u")], 365),
    ("days_since_established", [(365 + AFTER, "a", "like", "u"), *HALF, *NO_RESPONSE], None),
    ("days_without_established", [(28, "a", "like", "u"), (60, "b", "like", "u"), *HALF, *NO_RESPONSE], 0),
    ("days_without_established", [(29.5, None, "like", "u"), (60, "b", "like", "u")], 1.5),
    ("days_without_established", [(365, "a", "like", "u")], 337),
    ("days_without_established", [(365 + AFTER, "a", "like", "u"), *HALF, *NO_RESPONSE], None),
    ("days_of_silence", [(28, "a", "like", "u"), (60, "b", "like", "u"), *NOBODY_YET, *NO_RESPONSE], 0),
    ("days_of_silence", [(29.5, None, "like", "u"), (60, "b", "like", "u")], 1.5),
    ("days_of_silence", LASTING, 24),
    ("days_of_silence", HALF, 338),
    ("days_of_silence", [(59 - AFTER, "g", "like", "u"), (1, "u", "repost", "g")], 338),
    ("days_of_silence", [(365, "a", "like", "u")], 337),
    ("days_of_silence", [(365 + AFTER, "a", "like", "u"), *NOBODY_YET, *NO_RESPONSE], 338),
    # reach
    (
        "pace_28d",  # the weights 1, 1/2, 1/4, 1/8, 1/16, 1/32 sum to 63/32
        [
            (1, "a", "like", "u"),
            (2, "b", "like", "u"),
            (3, "a", "like", "u"),
            (29, "a", "like", "u"),
            (56 + AFTER, "c", "like", "u"),
            (168, "c", "like", "u"),
            (168 + AFTER, "d", "like", "u"),
            (1, None, "like", "u"),
            (1, "u", "like", "u"),
        ],
        (2 + 1 / 2 + 1 / 4 + 1 / 32) / (63 / 32),
    ),
    *((f"engagers_{days}d", WITHIN[days], 2) for days in WITHIN),
    (
        "engagers_ever",
        [
            (400, "a", "like", "u"),
            (800, "b", "flag", "u"),
            (1, "b", "like", "u"),
            (1, None, "like", "u"),
            (1, "u", "like", "u"),
        ],
        2,
    ),
    (
        "engagers_decayed_28d",
        [(28, "a", "like", "u"), (84, "a", "like", "u"), (56, "b", "like", "u"), (1, None, "like", "u")],
        1 / 2 + 1 / 4,
    ),
    (
        "new_engagers_28d",
        [
            (28, "a", "like", "u"),
            (3, "a", "like", "u"),
            (3, "b", "like", "u"),
            (28 + AFTER, "b", "like", "u"),
            (9, "c", "like", "u"),
            (9, None, "like", "u"),
            (9, "u", "like", "u"),
        ],
        2,
    ),
    (
        "returning_engagers_28d",
        [
            (28, "a", "like", "u"),
            (28 + AFTER, "a", "like", "u"),
            (3, "b", "like", "u"),
            (28, "b", "like", "u"),
            (40, "c", "like", "u"),
            (3, None, "like", "u"),
            (40, None, "like", "u"),
        ],
        1,
    ),
    (
        "steady_engagers_168d",
        [
            *((days, "a", "like", "u") for days in (28, 56, 84)),
            *((days, "b", "like", "u") for days in (28, 28 + AFTER, 56)),  # the second and third are in one period
            *((days, "c", "like", "u") for days in (100, 130, 168)),
            *((days, "d", "like", "u") for days in (100, 130, 168 + AFTER)),
            *((days, name, "like", "u") for days in (1, 30, 60) for name in (None, "u")),
        ],
        2,
    ),
    (
        "periods_drawing_168d",
        [
            (1, None, "like", "u"),
            (28, "a", "like", "u"),
            (28 + AFTER, "a", "like", "u"),
            (168, "a", "like", "u"),
            (168 + AFTER, "a", "like", "u"),
            (60, "u", "like", "u"),
        ],
        3,
    ),
    (
        "followers",
        [
            (10, "a", "follow", "u"),
            (10, "b", "follow", "u"),
            (5, "b", "unfollow", "u"),
            (12, "c", "unfollow", "u"),
            (10, "c", "follow", "u"),
            (3, "d", "unfollow", "u"),
            (4, "e", "follow", "u"),
            (4, "e", "unfollow", "u"),  # at the same instant, so the follow is not later
            (2, None, "follow", "u"),
            (2, "u", "follow", "u"),
            (900, "f", "follow", "u"),
        ],
        3,
    ),
    (
        "followers_gained_28d",
        [
            (28, "a", "follow", "u"),
            (28 + AFTER, "b", "follow", "u"),
            (1, "b", "follow", "u"),  # follows again
            (5, "c", "follow", "u"),
            (2, "c", "unfollow", "u"),
            (3, None, "follow", "u"),
            (3, "u", "follow", "u"),
        ],
        1,
    ),
    (
        "followers_lost_28d",
        [
            (50, "a", "follow", "u"),
            (28, "a", "unfollow", "u"),
            (28 + AFTER, "b", "unfollow", "u"),
            (5, "c", "unfollow", "u"),
            (2, "c", "follow", "u"),  # has returned
            (3, "d", "unfollow", "u"),  # followed before the first event
            (3, None, "unfollow", "u"),
            (3, "u", "unfollow", "u"),
        ],
        2,
    ),
    (
        "followers_per_followed",
        [
            (900, "a", "follow", "u"),
            (1, "b", "follow", "u"),
            (1, None, "follow", "u"),
            (1, "u", "follow", "u"),
            (1, "u", "follow", "c"),
        ],
        3 / 2,
    ),
    ("followers_per_followed", WATCHED, 1),
    # response
    *((f"engagements_{days}d", WITHIN[days], 4) for days in WITHIN),
    (
        "engagements_decayed_14d",
        [
            (14, "a", "like", "u"),
            (28, None, "block", "u"),
            (90, "a", "like", "u"),
            (90 + AFTER, "a", "like", "u"),
            (1, "u", "like", "u"),
        ],
        1 / 2 + 1 / 4 + 2 ** (-90 / 14),
    ),
    *((f"replies_{days}d", received(days, ["reply"], ["quote", "mention"]), 3) for days in (28, 90)),
    ("likes_90d", received(90, ["like"], ["repost", "dislike"]), 3),
    ("reposts_90d", received(90, ["repost", "quote"], ["like", "reply"]), 4),
    ("mentions_90d", received(90, ["mention"], ["reply", "like"]), 3),
    *(
        (f"endorsements_{days}d", received(days, ["like", "repost", "quote"], ["reply", "follow", "flag"]), 5)
        for days in (28, 90)
    ),
    ("disapprovals_90d", received(90, ["dislike", "flag", "unfollow", "block"], ["like", "follow", "mention"]), 6),
    (
        "disapproval_share_90d",
        [
            (90, "a", "flag", "u"),
            (90 + AFTER, "a", "block", "u"),
            (1, None, "like", "u"),
            (2, "b", "like", "u"),
            (3, "b", "follow", "u"),
            (1, "u", "dislike", "u"),
        ],
        1 / 4,
    ),
    ("disapproval_share_90d", ENGAGED, 0),
    ("disapproval_share_90d", OLD_ENGAGEMENT, None),
    (
        "unknown_share_90d",
        [
            (90, None, "like", "u"),
            (90 + AFTER, None, "like", "u"),
            (1, "a", "like", "u"),
            (2, "a", "like", "u"),
            (2, "u", "like", "u"),
            (2, None, "view", "u"),
        ],
        1 / 3,
    ),
    ("unknown_share_90d", ENGAGED, 0),
    ("unknown_share_90d", OLD_ENGAGEMENT, None),
    *((f"pieces_drawing_{days}d", ON_PIECES[days], 2) for days in (28, 90)),
    (
        "best_piece_90d",
        [
            (90, "a", "like", "u", "o1"),
            (1, None, "flag", "u", "o1"),
            (90 + AFTER, "a", "like", "u", "o1"),
            (1, "u", "like", "u", "o1"),
            (1, "b", "unfollow", "u", "o1"),
            (1, "b", "like", "u", "o2"),
            *((1, name, "like", "u") for name in "abcd"),  # on no post
        ],
        2,
    ),
    (
        "drawing_share_90d",
        [
            (90, "u", "post", None, "o1"),
            (10, "u", "reply", "a", "a1", "r1"),
            (5, "u", "quote", "a", "a1", "q1"),
            (90 + AFTER, "u", "post", None, "o0"),
            (1, "a", "like", "u", "o1"),
            (1, None, "like", "u", "r1"),
            (1, "u", "like", "u", "q1"),
            (1, "a", "like", "u", "o0"),
        ],
        2 / 3,
    ),
    ("drawing_share_90d", [(5, "u", "post", None, "o1"), (1, "a", "like", "u", "o2")], 0),
    ("drawing_share_90d", [*OLD_PIECE, (1, "a", "like", "u", "o1")], None),
    (
        "engagements_per_piece_14d",
        [
            (14, "u", "post", None),
            (90 + AFTER, "u", "post", None),
            (14, "a", "like", "u"),
            (28, None, "like", "u"),
            (90, "a", "like", "u"),
            (90 + AFTER, "a", "like", "u"),
            (1, "u", "like", "u"),
        ],
        (1 + 1 / 2 + 1 / 4 + 2 ** (-90 / 14)) / (1 + 1 / 2),
    ),
    ("engagements_per_piece_14d", OLD_PIECE, 1 + 2 ** (-1 / 14)),
    (
        "engagers_per_piece_90d",
        [
            (5, "u", "post", None),
            (90, "u", "reply", "c"),
            (90 + AFTER, "u", "post", None),
            (1, "a", "like", "u"),
            (90, "b", "like", "u"),
            (2, "c", "like", "u"),
            (2, None, "like", "u"),
        ],
        3 / 2,
    ),
    ("engagers_per_piece_90d", POSTED, 0),
    ("engagers_per_piece_90d", OLD_PIECE, None),
    # persistence
    (
        "lifetime_days_90d",
        [
            (20, "u", "post", None, "o1"),
            (15, "a", "like", "u", "o1"),
            (10, None, "like", "u", "o1"),
            (1, "u", "like", "u", "o1"),
            (1, "a", "follow", "u", "o1"),
            (90, "u", "reply", "a", "a1", "r1"),
            (86, "a", "like", "u", "r1"),
            (90 + AFTER, "u", "post", None, "o0"),
            (1, "a", "like", "u", "o0"),
            (2, "u", "post", None, "o2"),  # without engagement
        ],
        (10 + 4) / 2,
    ),
    ("lifetime_days_90d", [(20, "u", "post", None, "o1"), (25, "a", "like", "u", "o1")], 0),
    ("lifetime_days_90d", [*OLD_PIECE, (1, "a", "like", "u", "o1")], None),
    ("after_a_day_share_90d", late(1), 4 / 7),
    ("after_a_day_share_90d", AT_ONCE, 0),
    ("after_a_day_share_90d", [(1, "a", "like", "u"), *OLD_ENGAGEMENT], None),
    ("after_a_week_share_90d", late(7), 4 / 7),
    ("after_a_week_share_90d", AT_ONCE, 0),
    ("after_a_week_share_90d", [(1, "a", "like", "u"), *OLD_ENGAGEMENT], None),
    ("passed_on_late_90d", late(7), 3),
    ("passed_on_late_90d", AT_ONCE, 0),
    ("lasting_pieces_90d", late(7), 2),
    ("lasting_pieces_90d", AT_ONCE, 0),
    *(
        (name, [(days, "u", "post", None, "o1"), (90, "a", "repost", "u", "o1")], 0)  # older, but engaged with in time
        for name, days in (
            ("after_a_day_share_90d", 90 + AFTER),
            ("after_a_week_share_90d", 97),
            ("passed_on_late_90d", 97),
            ("lasting_pieces_90d", 97),
        )
    ),
    # network
    *(
        (
            name,  # a has two engagers within the year, b has none with a known id
            [
                (1, "a", "like", "u"),
                (1, "b", "like", "u"),
                (9, "c", "like", "a"),
                (365, "d", "like", "a"),
                (365 + AFTER, "e", "like", "a"),
                (9, None, "like", "b"),
                (9, "b", "like", "b"),
                (365 + AFTER, "d", "like", "u"),
                (1, None, "like", "u"),
            ],
            value,
        )
        for name, value in (("engager_prominence_365d", math.log(3) / 2),)
    ),
    (
        "engager_breadth_365d",  # a engaged with three users, b with one within the year
        [
            (1, "a", "like", "u"),
            (365, "a", "like", "b"),
            (9, "a", "flag", "c"),
            (9, "a", "like", "a"),
            (9, "a", "like", None),
            (1, "b", "like", "u"),
            (365 + AFTER, "b", "like", "c"),
            (1, None, "like", "u"),
        ],
        math.log(3) / 2,
    ),
    *(
        (name, acts, value)
        for name in ("engager_prominence_365d", "engager_breadth_365d")
        for acts, value in ((ENGAGED, 0), (UNKNOWN_ONLY, None))
    ),
    (
        "attention_365d",
        [
            (365, "a", "like", "u"),
            (1, "a", "reply", "u"),
            (1, "a", "like", "b"),
            (1, "b", "like", "u"),
            (1, "b", "like", "b"),
            (365 + AFTER, "b", "like", "c"),
            (1, None, "like", "u"),
        ],
        2 / 3 + 1,
    ),
    (
        "favoured_by_365d",
        [
            (1, "a", "like", "u"),
            (1, "a", "like", "b"),
            (365, "a", "like", "b"),
            (1, "b", "like", "u"),
            (1, "b", "like", "c"),  # equally often
            (1, "c", "like", "u"),
            (365 + AFTER, "c", "like", "a"),
            (365 + AFTER, "c", "reply", "a"),
            (1, None, "like", "u"),
            (1, "u", "like", "u"),
        ],
        2,
    ),
    (
        "one_way_engagers_365d",
        [
            (1, "a", "like", "u"),
            (365, "u", "like", "a"),
            (365, "b", "like", "u"),
            (365 + AFTER, "u", "like", "b"),
            (365 + AFTER, "c", "like", "u"),
            (365 + AFTER, "d", "like", "u"),
            (1, None, "like", "u"),
            (1, "u", "like", "u"),
        ],
        1,
    ),
    (
        "mutual_share_365d",
        [
            (1, "a", "like", "u"),
            (365, "b", "like", "u"),
            (2, "c", "like", "u"),
            (365, "u", "reply", "a"),
            (365 + AFTER, "u", "reply", "b"),
            (4, "u", "like", "d"),
            (4, None, "like", "u"),
        ],
        1 / 3,
    ),
    ("mutual_share_365d", ENGAGED, 0),
    ("mutual_share_365d", [*UNKNOWN_ONLY, (1, "u", "like", "a")], None),
    (
        "concentration_365d",
        [
            (1, "a", "like", "u"),
            (2, "a", "like", "u"),
            (365, "a", "reply", "u"),
            (365 + AFTER, "a", "like", "u"),
            (1, "b", "like", "u"),
            (1, None, "like", "u"),
            (1, "u", "like", "u"),
        ],
        (3**2 + 1**2) / 4**2,
    ),
    ("concentration_365d", UNKNOWN_ONLY, None),
    (
        "topics_drawing_90d",
        [
            tagged(90, "a", "x"),
            tagged(90 + AFTER, "a", "y"),
            tagged(1, None, "x", "y"),
            tagged(1, "b", "x"),
            tagged(1, "u", "z"),
            tagged(1, "b"),
        ],
        4**2 / (3**2 + 1**2),
    ),
    ("topics_drawing_90d", [*OLD_ENGAGEMENT, (1, "a", "like", "u"), tagged(1, "a")], None),
    *((f"people_engaged_{days}d", GIVEN[days], 2) for days in GIVEN),
    (
        "answered_share_365d",
        [
            (365, "u", "like", "a"),
            (365, "a", "like", "u"),
            (1, "u", "like", "b"),
            (365 + AFTER, "b", "like", "u"),
            (365 + AFTER, "u", "like", "c"),
            (1, "c", "like", "u"),
            (1, None, "like", "u"),
        ],
        1 / 2,
    ),
    ("answered_share_365d", [(1, "u", "like", "a")], 0),
    ("answered_share_365d", [(1, "u", "like", None), (1, "u", "like", "u"), (1, "a", "like", "u")], None),
    (
        "people_followed",
        [
            (900, "u", "follow", "a"),
            (9, "u", "follow", "b"),
            (8, "u", "unfollow", "b"),
            (9, "u", "unfollow", "c"),
            (8, "u", "follow", "c"),
            (1, "u", "follow", None),
            (1, "u", "follow", "u"),
            (1, None, "follow", "d"),
        ],
        2,
    ),
    # cadence
    *((f"created_{days}d", MADE[days], 3) for days in MADE),
    *(
        (
            f"created_decayed_{half}d",
            [
                (half, "u", "post", None),
                (2 * half, "u", "reply", "a"),
                (90, "u", "quote", "u"),
                (90 + AFTER, "u", "post", None),
                (1, "u", "like", "a"),
                (1, None, "post", None),
            ],
            1 / 2 + 1 / 4 + 2 ** (-90 / half),
        )
        for half in (7, 14)
    ),
    (
        "acts_365d",
        [
            (1, "u", "view", "a"),
            (1, "u", "like", "u"),
            (365, "u", "post", None),
            (365 + AFTER, "u", "post", None),
            (1, "a", "like", "u"),
            (1, None, "like", "u"),
        ],
        3,
    ),
    (
        "days_active_decayed_14d",  # a day has the weight of its newest instant
        [
            (0.1, "u", "view", "a"),
            (1, "u", "like", "u"),
            (1 + AFTER, "u", "post", None),
            (62, "u", "post", None),
            (62 + AFTER, "u", "post", None),
            (9, "a", "like", "u"),
        ],
        1 + 2 ** (-1 / 14) + 2 ** (-61 / 14),
    ),
    ("weeks_active_52w", WEEKS_ACTIVE, 3),
    ("weeks_active_decayed_8w", WEEKS_ACTIVE, 1 + 2 ** (-1 / 8) + 2 ** (-51 / 8)),
    ("regularity_52w", [(28, "u", "view", "a"), (1, "u", "like", "u"), (40, "a", "like", "u")], 2 / 5),
    ("regularity_52w", [(800, "u", "post", None), (363, "u", "post", None)], 1 / 52),
    ("regularity_52w", [(1, "a", "like", "u"), (1, None, "post", None)], None),
    ("regularity_52w", [(365, "u", "post", None)], 0),
    (
        "days_since_last_act",
        [(2.5, "u", "view", "a"), (9, "u", "post", None), (1, "a", "like", "u"), (1, None, "post", None)],
        2.5,
    ),
    ("days_since_last_act", ENGAGED, None),
    (
        "days_since_last_piece",
        [(2.5, "u", "view", "a"), (9.5, "u", "quote", "u"), (400, "u", "post", None), (1, "a", "reply", "u")],
        9.5,
    ),
    ("days_since_last_piece", WATCHED, None),
    (
        "days_since_last_engagement",
        [(1.25, None, "like", "u"), (9, "a", "like", "u"), (1, "u", "like", "u"), (1, "a", "view", "u")],
        1.25,
    ),
    ("days_since_last_engagement", NOT_ENGAGED, None),
    (
        "days_since_first_engagement",
        [(400.5, None, "like", "u"), (9, "a", "like", "u"), (500, "u", "like", "u"), (500, "a", "view", "u")],
        400.5,
    ),
    ("days_since_first_engagement", NOT_ENGAGED, None),
    ("account_age_days", [(3, "u", "post", None), (10.5, None, "like", "u"), (20, "a", "view", "u")], 10.5),
    ("account_age_days", [(400.25, "u", "view", None), (10.5, "a", "like", "u"), (1, "u", "post", None)], 400.25),
    # originality
    (
        "original_share_90d",
        [
            (90, "u", "post", None),
            (1, "u", "reply", "u"),
            (1, "u", "repost", "a"),
            (2, "u", "repost", "a"),
            (90 + AFTER, "u", "repost", "a"),
            (1, "u", "like", "a"),
            (1, "a", "repost", "u"),
            (1, None, "repost", "u"),
        ],
        2 / 4,
    ),
    ("original_share_90d", [(1, "u", "repost", "a")], 0),
    ("original_share_90d", [(90 + AFTER, "u", "post", None), *WATCHED], None),
    (
        "reply_share_90d",
        [
            (90, "u", "reply", "a"),
            (90 + AFTER, "u", "reply", "a"),
            (1, "u", "quote", "u"),
            (1, "u", "post", None),
            (1, "u", "repost", "a"),
            (1, "a", "reply", "u"),
        ],
        2 / 3,
    ),
    ("reply_share_90d", POSTED, 0),
    ("reply_share_90d", [*OLD_PIECE, (1, "u", "repost", "a")], None),
    *(
        (
            name,
            [
                content(90, "h"),
                content(90 + AFTER, "h"),
                content(2, "h", verb="reply"),
                content(1, "h", verb="repost"),  # a repost creates nothing
                content(1, "i"),
                content(1),
                (1, "a", "post", None, None, None, "i"),
                (1, None, "post", None, None, None, "i"),
            ],
            value,
        )
        for name, value in (("repetitions_90d", 1), ("repeated_share_90d", (3 - 2) / 3), ("most_repeated_90d", 2))
    ),
    ("repetitions_90d", [content(1, "h"), content(2, "i"), content(3), content(91, "h")], 0),
    *(
        (name, [content(day, f"{day % 2}") for day in range(1, free + 2 + beyond)], max(beyond - 1, 0))
        for name, free in (("excess_repetitions_90d", 5), ("repetitions_beyond_10_90d", 10))
        for beyond in (-4, 1, 2, 12)
    ),
    *((name, [*OLD_PIECE, content(1)], 0) for name in ("excess_repetitions_90d", "repetitions_beyond_10_90d")),
    ("repeated_share_90d", [content(1, "h"), content(2, "i")], 0),
    ("repeated_share_90d", [*OLD_PIECE, content(1)], None),
    ("most_repeated_90d", [*OLD_PIECE, content(1)], None),
    (
        "link_share_90d",
        [
            content(90, links=2),
            content(90 + AFTER, links=2),
            content(1, links=0),
            content(1, links=1, verb="quote"),
            content(1, links=1, verb="repost"),
            content(1),
            (1, "a", "post", None, None, None, None, 0),
        ],
        2 / 3,
    ),
    ("link_share_90d", [content(1, links=0)], 0),
    ("link_share_90d", [*OLD_PIECE, content(1)], None),
    (
        "reposts_made_90d",
        [
            (90, "u", "repost", "a"),
            (90 + AFTER, "u", "repost", "a"),
            (1, "u", "repost", "u"),
            (1, "u", "repost", None),
            (1, "u", "quote", "a"),
            (1, "a", "repost", "u"),
            (1, None, "repost", "u"),
        ],
        3,
    ),
    (
        "disapprovals_made_90d",
        [
            (90, "u", "dislike", "a"),
            (90 + AFTER, "u", "dislike", "a"),
            (1, "u", "flag", None),
            (1, "u", "unfollow", "a"),
            (1, "u", "block", "a"),
            (1, "u", "like", "a"),
            (1, "a", "flag", "u"),
            (1, None, "flag", "u"),
        ],
        4,
    ),
    # nothing to count
    *(
        (feature.name, [(1, "u", "view", "a"), (1, "a", "view", "u"), (1, None, "post", None)], 0)
        for feature in CATALOGUE
        if feature.default == 0
        and feature.name
        not in (
            "followers_per_followed",
            "engagements_per_piece_14d",
            "acts_365d",
            "credibility_365d",  # no user is established, so all have full credibility
            *(name for name in CATALOGUE.names if "_active_" in name),
        )
    ),
    *((name, ENGAGED, 0) for name in ("acts_365d", *(name for name in CATALOGUE.names if "_active_" in name))),
]

UNCOUNTED = {"uncounted_new_28d", "uncounted_new_365d"}
NULLABLE = {feature.name for feature in CATALOGUE if feature.default is None} - {"account_age_days"}
# These start at one, need an event, or are zero only beside established users (test_credibility.py).
NEVER_ZERO = {"followers_per_followed", "engagements_per_piece_14d", "account_age_days", "credibility_365d"}

PARAMETERS = [pytest.param(k, id=f"{name}={value}") for k, (name, _, value) in enumerate(BY_HAND)]


@pytest.fixture(scope="module")
def computed(features_of_cases):
    """Values of all cases, computed in one run."""
    return [actual["u"] for actual in features_of_cases([events for _, events, _ in BY_HAND])]


@pytest.mark.parametrize("case", PARAMETERS)
def test_feature_equals_the_value_by_hand(case, computed):
    name, _, value = BY_HAND[case]
    actual = computed[case][name]
    if value is None:
        assert actual is None
    else:
        assert actual == pytest.approx(value, abs=2e-9)


def test_newcomers_among_established_users_by_hand(features_of):
    actual = features_of(AMONG_THE_ESTABLISHED)["u"]
    assert {name: actual[name] for name in UNCOUNTED} == {"uncounted_new_28d": 2, "uncounted_new_365d": 3}
    assert actual["credible_engagers_365d"] == 0


def test_every_feature_has_a_case_by_hand():
    assert {name for name, _, value in BY_HAND if value} | UNCOUNTED == set(CATALOGUE.names)


def test_every_nullable_feature_has_a_null_case():
    assert {name for name, _, value in BY_HAND if value is None} == NULLABLE


def test_every_count_has_a_zero_case():
    assert {name for name, _, value in BY_HAND if value == 0} >= set(CATALOGUE.names) - NULLABLE - NEVER_ZERO


def test_unknown_is_null_and_no_rows_is_zero(features_of):
    (quiet,) = features_of([(3, "u", "view", None)]).values()
    expected_values = {
        "followers_per_followed": 1,
        "acts_365d": 1,
        "days_active_decayed_14d": 2 ** (-2 / 14),
        "weeks_active_52w": 1,
        "weeks_active_decayed_8w": 1,
        "regularity_52w": 1 / (1 + 3 / 7),
        "engagements_per_piece_14d": 1,
        "days_since_last_act": 3,
        "account_age_days": 3,
        **dict.fromkeys(["days_absent", "days_of_absence"], 3),
        "seniority_days": 3 - 3 * 180 / 360,
        "tenure_days": 3,
        "credibility_365d": 1,
        "days_of_silence": 338,
    }
    for name in CATALOGUE.names:
        expected = expected_values.get(name, None if name in NULLABLE else 0)
        assert quiet[name] == (expected if expected is None else pytest.approx(expected, abs=2e-9)), name


class TestContract:
    """Models are trained on features by name, so a name keeps its meaning for good."""

    @pytest.mark.parametrize("feature", CATALOGUE, ids=CATALOGUE.names)
    def test_meaning_of_a_name_does_not_change(self, feature):
        recorded = FINGERPRINTS.get(feature.name)
        assert recorded is not None, (
            f"{feature.name} is new: add it with {feature.fingerprint} to tests/features/catalogue/fingerprints.json."
        )
        assert feature.fingerprint == recorded, (
            f"{feature.name} is no longer what models were trained on: its unit, meaning or direction changed. Leave "
            "its line in tests/features/catalogue/fingerprints.json, give the changed feature a new name and add that. "
            "If only the wording changed, record the new fingerprint, and add the one before to "
            "features/catalogue/rewordings.py if models may use the feature."
        )

    def test_recorded_fingerprints_are_well_formed(self):
        assert all(re.fullmatch("[0-9a-f]{12}", recorded) for recorded in FINGERPRINTS.values())

    @pytest.mark.parametrize(("name", "earlier"), EARLIER_FINGERPRINTS.items(), ids=EARLIER_FINGERPRINTS)
    def test_a_reworded_feature_has_its_earlier_fingerprint_too(self, name, earlier):
        feature = CATALOGUE[name]
        assert earlier != feature.fingerprint
        assert feature.has_fingerprint(earlier)
        assert feature.has_fingerprint(feature.fingerprint)
        assert not feature.has_fingerprint("0" * 12)


class TestWords:
    @pytest.mark.parametrize("feature", CATALOGUE, ids=CATALOGUE.names)
    def test_features_are_well_formed(self, feature):
        assert feature.direction in get_args(Direction)
        assert feature.family in get_args(Family)
        assert feature.relation in get_args(Relation)
        assert feature.default is None or feature.default >= 0
        if isinstance(feature.sentence, str):
            assert feature.sentence.count("{value}") == 1
            assert "{" not in feature.sentence.replace("{value}", "")
            assert feature.sentence[0].isupper() or feature.sentence.startswith("{value}")
        for value in (None, 0.0, 0.3, 1.0, 2.5, 12_345.6):
            sentence = feature.describe(value)
            assert sentence.endswith(".")
            assert sentence[0].isupper() or sentence[0].isdigit()
            assert not {"None", "nan", "{", "_"} & {part for part in ("None", "nan", "{", "_") if part in sentence}
        assert feature.meaning
        assert not feature.meaning.endswith(".")
        assert re.fullmatch(r"[a-z0-9_]+", feature.name)
        assert feature.unit

    @pytest.mark.parametrize("feature", CATALOGUE, ids=CATALOGUE.names)
    def test_window_in_the_name_is_in_the_meaning(self, feature):
        for length, unit in re.findall(r"_(\d+)([dw])$", feature.name):
            wording = {"168": r"six periods of 28 days", "52": r"\b52\b"}
            spelt = wording.get(length, rf"\b{length} {'days' if unit == 'd' else 'weeks'}")
            assert re.search(spelt, feature.meaning)

    def test_features_of_others_are_not_actionable(self):
        assert {feature.family for feature in CATALOGUE if feature.actionable} == {"network", "cadence", "originality"}
        for relation in (
            "pairs",
            "follows",
            "engagements",
            "pieces",
            "topics",
            "engagers",
            "responders",
            "credibility",
        ):
            assert not any(feature.actionable for feature in CATALOGUE.of_relation(relation))

    def test_directions_of_scored_features(self):
        assert {feature.name for feature in SCORED if feature.direction == "down"} == {
            "days_of_silence",
            "days_of_absence",
            "repetitions_beyond_10_90d",
        }
        raising = {feature.name for feature in SCORED if feature.direction == "up"}
        assert {name for name in raising if "credible" not in name} == {
            "responder_rate_365d",
            "responder_periods_168d",
            "tenure_days",
        }
        assert all(feature.direction in ("up", "down") for feature in SCORED)
        assert not any(feature.actionable for feature in SCORED if feature.direction == "up")

    def test_every_family_has_features(self):
        assert {feature.family for feature in CATALOGUE} == set(get_args(Family))


def a_feature(**changed) -> Feature:
    plain = Feature("n", "meaning", "Value {value}.", lambda table: table.x, "reach", "people", "pairs", "up")
    return dataclasses.replace(plain, **changed)


class TestFingerprint:
    @pytest.mark.parametrize("change", [{"name": "m"}, {"meaning": "other"}, {"direction": "down"}, {"unit": "acts"}])
    def test_fingerprint_changes_with_model_inputs(self, change):
        assert a_feature(**change).fingerprint != a_feature().fingerprint
        assert Catalogue([a_feature(**change)]).fingerprint != Catalogue([a_feature()]).fingerprint

    @pytest.mark.parametrize("change", [{"sentence": "Now {value}."}, {"actionable": True}, {"family": "response"}])
    def test_fingerprint_ignores_wording_for_reviewers(self, change):
        assert a_feature(**change).fingerprint == a_feature().fingerprint

    def test_fingerprint_depends_on_the_order(self):
        one, other = a_feature(), a_feature(name="m")
        assert Catalogue([one, other]).fingerprint != Catalogue([other, one]).fingerprint

    def test_fingerprint_is_12_hex_digits(self):
        assert all(re.fullmatch("[0-9a-f]{12}", item.fingerprint) for item in [*CATALOGUE, CATALOGUE])


class TestCatalogue:
    def test_names_are_unique(self):
        assert len(set(CATALOGUE.names)) == len(CATALOGUE) == len(list(CATALOGUE))
        with pytest.raises(ValueError, match="two features are called n"):
            Catalogue([a_feature(), a_feature()])

    def test_features_by_name(self):
        assert "followers" in CATALOGUE
        assert "klout" not in CATALOGUE
        assert CATALOGUE["followers"].name == "followers"

    def test_scored_features_are_few_and_in_order(self):
        assert len(SCORED) == 8
        assert SCORED.names == [name for name in CATALOGUE.names if name in SCORED]
        assert Catalogue([a_feature(), a_feature(name="m")]).select("m", "n").names == ["n", "m"]

    def test_every_feature_has_one_relation(self):
        parts = [CATALOGUE.of_relation(relation) for relation in get_args(Relation)]
        assert sorted(feature.name for part in parts for feature in part) == sorted(CATALOGUE.names)


class TestTell:
    @pytest.mark.parametrize(
        ("value", "unit", "said"),
        [
            (0.0, "people", "Value 0."),
            (3.0, "people", "Value 3."),
            (2.5, "people", "Value 2.50."),
            (1234567.0, "people", "Value 1,234,567."),
            (123.456, "people", "Value 123."),
            (-2.5, "nats", "Value -2.50."),
            (-123.4, "nats", "Value -123."),
            (0.25, "share", "Value 25%."),
            (0.0, "share", "Value 0%."),
            (1.0, "share", "Value 100%."),
            (None, "people", "Not known: n."),
            (math.nan, "people", "Not known: n."),
        ],
    )
    def test_describe_formats_the_value(self, value, unit, said):
        assert a_feature(unit=unit).describe(value) == said
