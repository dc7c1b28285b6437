"""Identities: which accounts belong to one person.

Accounts are merged before anything is counted: events among the accounts of one person are self-directed and do not
count as engagement.
"""

import logging
from pathlib import Path

import ibis.expr.types as ir
import pandas as pd
import pyarrow as pa

from features.errors import IdentitiesError
from features.events.event_table import load_table
from features.events.user_tables import read_user_table
from features.ids import parse_id

log = logging.getLogger("clout")

COLUMNS = ["account", "person"]
INCOMPLETE = "the identities hold a row without an account or without a person; complete or remove it."


def read_identities(path: Path) -> pd.DataFrame:
    """Read a table of (account, person), one row for each account that belongs to another user.

    Parameters
    ----------
    path : a .csv file with a header, or a .parquet file, as `read_user_table` reads them

    Raises
    ------
    IdentitiesError : the file cannot be read or lacks a column, or `validate_identities` rejects it

    """
    return validate_identities(read_user_table(path, COLUMNS, (), "identities", IdentitiesError).to_pandas())


def validate_identities(identities: pd.DataFrame) -> pd.DataFrame:
    """Return (account, person) as text, one row per account.

    Raises
    ------
    IdentitiesError : an account or person is missing, an account has two persons, or a person is another one's account

    """
    if identities[COLUMNS].isna().any(axis=None):
        raise IdentitiesError(INCOMPLETE)
    rows = pd.DataFrame({name: _parse_ids(identities[name]) for name in COLUMNS}).drop_duplicates(ignore_index=True)
    twice = rows.loc[rows["account"].duplicated(), "account"]
    if len(twice):
        persons = ", ".join(rows.loc[rows["account"] == twice.iloc[0], "person"])
        raise IdentitiesError(f"the account {twice.iloc[0]} belongs to {persons}; expected one person per account.")
    moved = rows[rows["account"] != rows["person"]]
    chained = moved.loc[moved["person"].isin(moved["account"]), "person"]
    if len(chained):
        raise IdentitiesError(
            f"{chained.iloc[0]} is both a person and an account of another one; name the final person for both."
        )
    return moved.reset_index(drop=True)


def _parse_ids(column: pd.Series) -> pd.Series:
    ids = []
    for value in column:
        try:
            ids.append(parse_id(value))
        except ValueError as error:
            raise IdentitiesError(f"{column.name} {value!r} in the identities {error}.") from error
    if "" in ids:
        raise IdentitiesError(INCOMPLETE)
    return pd.Series(ids, dtype="str")


def warn_if_unused(events: ir.Table, identities: pd.DataFrame) -> None:
    """Warn if no account of the identities is an actor or a target of any event, so that they merge nobody."""
    accounts = validate_identities(identities)["account"]
    if accounts.empty:
        return
    names = load_table(pa.table({"account_": accounts.tolist()}), events.get_backend())
    for role in ("actor", "target"):
        if events.semi_join(names, events[role] == names.account_).limit(1).count().to_pyarrow().as_py():
            return
    log.warning(
        f"none of the {len(accounts)} accounts in the identities is a user in the events, such as {accounts.iloc[0]}: "
        "nobody is merged. Write accounts as they are in the events."
    )


def merge_identities(events: ir.Table, identities: pd.DataFrame) -> ir.Table:
    """Replace accounts by their persons in actor and target."""
    names = load_table(
        pa.Table.from_pandas(validate_identities(identities), preserve_index=False), events.get_backend()
    )
    for role in ("actor", "target"):
        persons = names.select(account_="account", person_="person")
        joined = events.left_join(persons, events[role] == persons.account_)
        events = joined.mutate(**{role: joined.person_.coalesce(joined[role])}).drop("account_", "person_")
    return events
