from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest

from features.errors import IdentitiesError
from features.events.identities import read_identities, validate_identities
from features.events.loading import load_encoded_events
from features.feature_table import feature_rows

AS_OF = datetime(2025, 6, 1, tzinfo=UTC)
ACTS = [
    (1, "ann1", "like", "bob"),
    (2, "ann2", "like", "bob"),
    (3, "ann2", "like", "ann1"),
    (4, "bob", "like", "ann2"),
    (5, None, "like", "ann1"),
    (6, "cid", "follow", "ann2"),
]
SAME = pd.DataFrame({"account": ["ann1", "ann2"], "person": ["ann", "ann"]})


@pytest.fixture(scope="module")
def events():
    names = ["time", "actor", "verb", "target"]
    return pd.DataFrame([(AS_OF - timedelta(days=event[0]), *event[1:]) for event in ACTS], columns=names)


def test_accounts_are_merged_before_counting(events):
    rows = feature_rows(load_encoded_events(events, identities=SAME), AS_OF).set_index("user")
    assert list(rows.index) == ["ann", "bob", "cid"]
    assert rows["engagers_28d"].to_dict() == {"ann": 2, "bob": 1, "cid": 0}
    assert rows["engagements_28d"]["ann"] == 3  # by bob, cid and an unknown user; not by ann herself
    assert rows["followers"]["ann"] == 1
    assert rows["mutual_share_365d"]["bob"] == 1


def test_merging_equals_replacing_the_ids(events):
    names = dict(zip(SAME["account"], SAME["person"], strict=True))
    written = events.assign(actor=events["actor"].replace(names), target=events["target"].replace(names))
    merged = feature_rows(load_encoded_events(events, identities=SAME), AS_OF)
    assert merged.equals(feature_rows(load_encoded_events(written), AS_OF))


def test_identities_without_an_account_in_the_events_are_a_warning(events, caplog):
    load_encoded_events(events, identities=SAME)
    only_target = pd.DataFrame({"account": ["bob"], "person": ["robert"]})
    load_encoded_events(events[events["actor"] != "bob"], identities=only_target)
    load_encoded_events(events, identities=SAME[:0])
    assert not caplog.messages
    load_encoded_events(events, identities=SAME.assign(account=["Ann1", "Ann2"]))
    (message,) = caplog.messages
    assert message.startswith("none of the 2 accounts in the identities is a user in the events, such as Ann1")


def test_users_without_identities_are_unchanged(events):
    nobody = pd.DataFrame({"account": ["zoe"], "person": ["zoë"]})
    assert feature_rows(load_encoded_events(events, identities=nobody), AS_OF).equals(
        feature_rows(load_encoded_events(events), AS_OF)
    )


@pytest.mark.parametrize("name", ["people.csv", "people.parquet"])
def test_identity_files_are_read_as_text(tmp_path, name):
    table = pd.DataFrame({"account": ["007", "8"], "person": ["bond", "bond"], "since": [1, 2]})
    getattr(table, "to_csv" if name.endswith("csv") else "to_parquet")(tmp_path / name, index=False)
    assert read_identities(tmp_path / name).to_dict("list") == {"account": ["007", "8"], "person": ["bond", "bond"]}


@pytest.mark.parametrize(
    ("accounts", "people", "message"),
    [
        (["a", "a"], ["x", "y"], "the account a belongs to x, y; expected one person per account"),
        (["a", "b"], ["b", "c"], "b is both a person and an account of another one"),
        (["a", None], ["x", "x"], "a row without an account or without a person"),
        (["a", "b"], ["x", None], "a row without an account or without a person"),
    ],
)
def test_contradictory_identities_are_rejected(accounts, people, message):
    with pytest.raises(IdentitiesError, match=message):
        validate_identities(pd.DataFrame({"account": accounts, "person": people}))


def test_duplicates_and_persons_as_their_own_account_are_valid():
    rows = pd.DataFrame({"account": ["a", "a", "x"], "person": ["x", "x", "x"]})
    assert validate_identities(rows).to_dict("list") == {"account": ["a"], "person": ["x"]}


def test_invalid_identity_files_are_rejected(tmp_path):
    with pytest.raises(IdentitiesError, match="cannot be read as a table of identities"):
        read_identities(tmp_path / "absent.csv")
    (tmp_path / "other.csv").write_text("account,name\na,b\n")
    with pytest.raises(IdentitiesError, match=r"lacks the column\(s\) person; it has account, name. Expected account"):
        read_identities(tmp_path / "other.csv")


def test_ids_that_look_like_missing_values_are_ids(tmp_path):
    (tmp_path / "people.csv").write_text("account,person\nNA,null\n12.0,bond\n")
    assert read_identities(tmp_path / "people.csv").to_dict("list") == {
        "account": ["NA", "12"],
        "person": ["null", "bond"],
    }


@pytest.mark.parametrize(("account", "message"), [("1.5e+18", "has lost digits"), ('{"id": 1}', "is a JSON object")])
def test_invalid_account_ids_are_rejected(account, message):
    with pytest.raises(IdentitiesError, match=message):
        validate_identities(pd.DataFrame({"account": [account], "person": ["ann"]}))


def test_a_person_with_an_empty_id_is_rejected():
    with pytest.raises(IdentitiesError, match="a row without an account or without a person; complete or remove it"):
        validate_identities(pd.DataFrame({"account": ["a"], "person": [" "]}))
