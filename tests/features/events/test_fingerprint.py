"""The fingerprint of events: equal for equal events in any storage, different for any other events."""

import random
from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest

from features.errors import AsOfError
from features.events.engines import open_engine
from features.events.fingerprint import fingerprint
from features.events.loading import load_encoded_events
from features.events.store import add_to_store

START = datetime(2025, 1, 1, tzinfo=UTC)
AS_OF = START + timedelta(days=30)
VERBS = ("post", "reply", "like", "follow")


def make_event(k):
    actor, target = (f"u{k % 7}", None) if k % 4 == 0 else (None if k % 9 == 0 else f"u{k % 7}", f"u{k % 5}")
    return {
        "time": START + timedelta(hours=k),
        "actor": actor,
        "verb": VERBS[k % 4],
        "target": target,
        "object": f"p{k}",
    }


ROWS = [make_event(k) for k in range(100)]


def frame(rows):
    columns = pd.DataFrame(rows)
    return columns.assign(time=pd.to_datetime(columns["time"], utc=True).astype("datetime64[us, UTC]"))


def of(rows, as_of=AS_OF, **options):
    return fingerprint(load_encoded_events(frame(rows), **options), as_of)


def test_it_contains_the_number_and_span_of_events():
    print_of = of(ROWS)
    assert (print_of.events, print_of.first, print_of.last) == (100, "2025-01-01T00:00:00Z", "2025-01-05T03:00:00Z")
    assert len(print_of.digest) == 16
    assert int(print_of.digest, 16) > 0


def test_order_files_and_stores_have_no_effect(tmp_path):
    shuffled = random.Random(0).sample(ROWS, len(ROWS))
    assert of(shuffled) == of(ROWS)
    folder = tmp_path / "events"
    folder.mkdir()
    for k in range(3):
        frame(shuffled[k::3]).to_parquet(folder / f"{k}.parquet", coerce_timestamps="us", row_group_size=5)
    assert fingerprint(load_encoded_events(folder), AS_OF) == of(ROWS)
    add_to_store(folder, tmp_path / "store")
    assert fingerprint(load_encoded_events(tmp_path / "store"), AS_OF) == of(ROWS)


@pytest.mark.parametrize("scopes", [("all", "network:*"), ("all",)])
def test_scopes_have_no_effect(scopes):
    assert of([row | {"network": "sea"} for row in ROWS], scopes=scopes) == of(ROWS)


def test_the_engine_has_no_effect(postgres):
    engine = open_engine(postgres)
    try:
        assert of(ROWS, engine=engine) == of(ROWS)
    finally:
        engine.disconnect()


@pytest.mark.parametrize(
    "change",
    [{"actor": "u99"}, {"target": "u99"}, {"verb": "quote"}, {"time": START}, {"actor": None}],
    ids=lambda change: next(iter(change)),
)
def test_any_change_gives_another_digest(change):
    assert of([*ROWS[:97], ROWS[97] | change, *ROWS[98:]]).digest != of(ROWS).digest


def test_a_repeated_event_gives_another_digest():
    assert of([*ROWS, ROWS[1], ROWS[1]]).digest != of(ROWS).digest


def test_events_at_or_after_the_instant_do_not_count():
    assert of(ROWS, START + timedelta(hours=50)) == of(ROWS[:50])
    with pytest.raises(AsOfError, match="there are no events before 2024-12-31T00:00:00Z"):
        of(ROWS, START - timedelta(days=1))
