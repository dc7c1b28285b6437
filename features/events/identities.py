"""Identities: which accounts are one person.

Accounts are put together before anything is counted, so what a person's accounts do to each other is done to oneself
and does not count as engagement.
"""

from pathlib import Path

import ibis.expr.types as ir
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pa_parquet

from features.errors import IdentitiesError
from features.events.event_table import load_table

COLUMNS = ["account", "person"]


def read_identities(path: Path) -> pd.DataFrame:
    """Read a table of (account, person), one row for each account that goes by a person's name.

    Parameters
    ----------
    path : a .csv file with a header, or a .parquet file

    Raises
    ------
    IdentitiesError : it cannot be read, lacks a column, or does not say for each account who it is

    """
    try:
        if path.suffix == ".parquet":
            table = pa_parquet.read_table(path)
        else:
            as_text = pa_csv.ConvertOptions(column_types=dict.fromkeys(COLUMNS, pa.string()), strings_can_be_null=True)
            table = pa_csv.read_csv(path, convert_options=as_text)
    except (OSError, pa.ArrowException) as error:
        raise IdentitiesError(f"{path} cannot be read as a table of identities: {error}.") from error
    missing = [name for name in COLUMNS if name not in table.column_names]
    if missing:
        raise IdentitiesError(
            f"{path} lacks the column(s) {', '.join(missing)}; it has {', '.join(table.column_names)}. "
            "Expected account and person."
        )
    return validate_identities(table.select(COLUMNS).to_pandas())


def validate_identities(identities: pd.DataFrame) -> pd.DataFrame:
    """Return (account, person) as text, one row an account.

    Raises
    ------
    IdentitiesError : an account or person is missing, an account is two people, or a person is another's account

    """
    if identities[COLUMNS].isna().any(axis=None):
        raise IdentitiesError("the identities hold a row without an account or without a person.")
    told = identities[COLUMNS].astype(str).drop_duplicates(ignore_index=True)
    twice = told.loc[told["account"].duplicated(), "account"]
    if len(twice):
        people = ", ".join(told.loc[told["account"] == twice.iloc[0], "person"])
        raise IdentitiesError(f"the account {twice.iloc[0]} is said to be {people}; it can be one person only.")
    moved = told[told["account"] != told["person"]]
    chained = moved.loc[moved["person"].isin(moved["account"]), "person"]
    if len(chained):
        raise IdentitiesError(
            f"{chained.iloc[0]} is said to be a person and an account of another one; name the last person for both."
        )
    return moved.reset_index(drop=True)


def merge_identities(events: ir.Table, identities: pd.DataFrame) -> ir.Table:
    """Put the accounts of each person together: actor and target become people."""
    names = load_table(
        pa.Table.from_pandas(validate_identities(identities), preserve_index=False), events.get_backend()
    )
    for role in ("actor", "target"):
        people = names.select(account_="account", person_="person")
        joined = events.left_join(people, events[role] == people.account_)
        events = joined.mutate(**{role: joined.person_.coalesce(joined[role])}).drop("account_", "person_")
    return events
