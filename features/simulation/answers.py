"""What replies and quotes make and lead to: new pieces, and answers by the authors."""

import numpy as np

from features.simulation.acts import NOTHING, VERB, Acts, acts
from features.simulation.people import BOT, People
from features.simulation.posts import text_key
from features.simulation.rhythm import awake, delays

CREATES = np.isin(np.arange(len(VERB)), [VERB["reply"], VERB["quote"]])
ANSWER_SHARE, ANSWER_IS_REPLY = 0.3, 0.4
UNKNOWN_SHARE = 0.02


def create_pieces(made: Acts, first_piece: int) -> int:
    """Give every reply and quote its new piece, in place; return the number of the piece after the last."""
    rows = np.flatnonzero(CREATES[made.verb])
    made.result[rows] = first_piece + np.arange(len(rows))
    made.text[rows] = text_key(made.result[rows])
    made.links[rows] = 0
    return first_piece + len(rows)


def answers(people: People, reactions: Acts, rng: np.random.Generator) -> Acts:
    """Let authors like or reply to a share of the replies and quotes that they got; bots answer nobody."""
    rows = np.flatnonzero(CREATES[reactions.verb] & (people.kind[reactions.target] != BOT))
    got = reactions.where(rows[rng.random(len(rows)) < ANSWER_SHARE])
    verb = np.where(rng.random(len(got)) < ANSWER_IS_REPLY, VERB["reply"], VERB["like"])
    time = awake(got.time + delays(np.zeros(len(got)), rng), rng)
    made = acts(time, actor=got.target, verb=verb, target=got.actor, object=got.result, tags=got.tags)
    return made.where(people.there(made.actor, made.time))


def forget_some(made: Acts, rng: np.random.Generator) -> None:
    """Make the actor of a few likes unknown, in place."""
    likes = np.flatnonzero(made.verb == VERB["like"])
    made.actor[likes[rng.random(len(likes)) < UNKNOWN_SHARE]] = NOTHING
