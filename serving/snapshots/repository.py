"""Snapshots: write them, list them, open them."""

import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from features.catalogue import CATALOGUE
from features.errors import AsOfError, OutputError, SnapshotError
from features.feature_table import KEYS
from features.utc import parse_utc, to_iso_utc
from serving.snapshots import layout
from serving.snapshots.feature_rows import write_rows
from serving.snapshots.layout import sort_rows
from serving.snapshots.opt_out_filter import hidden
from serving.snapshots.peers import typical_values
from serving.snapshots.snapshot import Snapshot
from training.home import Home
from training.model.bundle import Bundle
from training.model.bundle_files import save_bundle
from training.records.opt_outs import OptedOutUsers, load_opted_out_users


class AbsentSnapshotError(SnapshotError):
    """There are snapshots, but none of the instant asked for."""


def write_snapshot(
    home: Home, as_of: datetime, bundle: Bundle, version: str, scores: pd.DataFrame, rows: pd.DataFrame
) -> Path:
    """Write a snapshot, to the database of the home too if it has one; one of the same instant and model is replaced.

    Whoever is left out by now is not in it, even if the scores were made before.

    Parameters
    ----------
    home : where snapshots are kept
    as_of : the instant of the scores, UTC
    bundle, version : the model that made them
    scores, rows : as `score_acts` gives them

    Returns
    -------
    the folder; the same arguments give the same bytes in it, while the same people are left out

    Raises
    ------
    RecordsError : who is left out cannot be read
    OutputError : the disk refuses
    RecordsError : the database refuses; then there is no such snapshot in the home either
    ValueError : the scores and the rows are not of the same users and scopes, or the scores not of that version

    """
    left = load_opted_out_users(home)
    scores, rows = (sort_rows(_without(left, frame)) for frame in (scores, rows))
    _check_made_together(scores, rows, version)
    target = home.snapshots / layout.folder_name(as_of, version)
    facts = {
        "as_of": to_iso_utc(as_of),
        "model_version": version,
        "horizon_days": bundle.horizon_days,
        "users": int(scores["user"].nunique()),
        "rows": len(scores),
        "catalogue": CATALOGUE.fingerprint,
        "cleared": left.change,
    }
    with layout.atomic_file(target) as folder:
        save_bundle(bundle, folder / layout.BUNDLE_FOLDER)
        layout.write_table(scores, folder / layout.SCORES_FILE)
        write_rows(rows, folder / layout.FEATURES_FILE)
        layout.write_table(typical_values(rows), folder / layout.TYPICAL_FILE)
        (folder / layout.FACTS_FILE).write_text(json.dumps(facts, indent=1) + "\n")
        layout.write_checksums(folder)
        if home.database:
            from serving.snapshots.publishing import (
                SnapshotDatabase,  # and with it a database's drivers, which few homes need
            )

            SnapshotDatabase(home).publish(folder)
    return target


def write_scores(scores: pd.DataFrame, out: Path) -> None:
    """Write scores as one Parquet file, which appears whole or not at all.

    Raises
    ------
    OutputError : a folder is there, or the disk refuses

    """
    if out.is_dir():
        raise OutputError(f"{out} is a folder; expected the name of a Parquet file for the scores.")
    with layout.atomic_file(out) as file:
        layout.write_table(scores, file)


def list_snapshots(home: Home) -> list[Path]:
    """Return the folders of all snapshots, newest first: by instant, then by model version."""
    if not home.snapshots.is_dir():
        return []
    found = [folder for folder in home.snapshots.iterdir() if layout.parse_folder_name(folder) and folder.is_dir()]
    return sorted(found, key=layout.age_order, reverse=True)


def some_snapshots(home: Home) -> list[Path]:
    """Return the folders of all snapshots, newest first.

    Raises
    ------
    SnapshotError : there are none

    """
    folders = list_snapshots(home)
    if not folders:
        raise SnapshotError(
            f"no snapshots in {home.snapshots}: make one with 'clout score EVENTS --as-of T --out SCORES'."
        )
    return folders


def open_snapshot(home: Home, as_of: datetime | None = None, version: str | None = None) -> Snapshot:
    """Open the newest snapshot, or the newest of exactly one instant, or that of one instant and model version.

    Raises
    ------
    AbsentSnapshotError : there are snapshots, but none of that instant or version; says which there are
    SnapshotError : there are none, or the one found is damaged; says which file

    """
    folders = some_snapshots(home)
    if as_of is None:
        return read_snapshot(folders[0], hidden(home))
    found = [folder for folder in folders if layout.age_order(folder)[0] == parse_utc(as_of)]
    if found and version is not None:
        return _of_version(home, found, version)
    if not found:
        instants = dict.fromkeys(to_iso_utc(layout.age_order(folder)[0]) for folder in folders)
        raise AbsentSnapshotError(f"no snapshot as of {to_iso_utc(as_of)}; there are: {', '.join(instants)}.")
    return read_snapshot(found[0], hidden(home))


def _of_version(home: Home, folders: list[Path], version: str) -> Snapshot:
    """Open the one of a model version among the snapshots of an instant."""
    for folder in folders:
        if layout.age_order(folder)[-1] == version:
            return read_snapshot(folder, hidden(home))
    as_of, versions = (
        to_iso_utc(layout.age_order(folders[0])[0]),
        [layout.age_order(folder)[-1] for folder in folders],
    )
    raise AbsentSnapshotError(f"no snapshot as of {as_of} by version {version!r}; there are: {', '.join(versions)}.")


def open_earlier(home: Home, than: Snapshot, as_of: datetime | None = None) -> Snapshot:
    """Open the newest snapshot that stands before another: of an earlier instant, or of the same by an earlier model.

    Parameters
    ----------
    home : where both are
    than : the other
    as_of : the instant of the one sought; the nearest unless given

    Raises
    ------
    AsOfError : the instant is later than the other's
    AbsentSnapshotError : there is none of that instant, or none before the other
    SnapshotError : the one found is damaged

    """
    at = None if as_of is None else parse_utc(as_of)
    if at is not None and at > than.as_of:
        raise AsOfError(
            f"a change goes from the earlier instant to the later: {to_iso_utc(at)} is after {to_iso_utc(than.as_of)}."
        )
    if at is not None and at < than.as_of:
        return open_snapshot(home, at)
    here = layout.age_order(than.folder)
    earlier = [folder for folder in list_snapshots(home) if layout.age_order(folder) < here]
    found = [folder for folder in earlier if at is None or layout.age_order(folder)[0] == at]
    if not found:
        raise AbsentSnapshotError(
            f"no{' other' if at else ''} snapshot {'is of' if at else 'stands before'} "
            f"{to_iso_utc(than.as_of)}, where "
            f"there is that of version {than.model_version}: a change takes two. Make another with 'clout score'."
        )
    return read_snapshot(found[0], hidden(home))


def read_snapshot(folder: Path, hidden: Callable[[], OptedOutUsers]) -> Snapshot:
    """Open the snapshot in a folder, of which `hidden` tells who is not shown.

    Its files have to agree and to be as they were written. One that is replaced by another of the same name while it is
    read is read again.

    Raises
    ------
    SnapshotError : a file is absent, damaged or of another length than the rest; says which

    """
    while True:
        before = layout.folder_identity(folder)
        try:
            found = _read(folder, hidden)
        except SnapshotError:
            if layout.folder_identity(folder) == before:
                raise
            continue
        if layout.folder_identity(folder) == before:
            return found


def _read(folder: Path, hidden: Callable[[], OptedOutUsers]) -> Snapshot:
    layout.check_sums(folder)
    facts = layout.read_facts(folder)
    scores, features = layout.read_scores(folder), layout.map_features(folder)
    with layout.read_errors_as_damage(folder / layout.FACTS_FILE):
        held = {key: facts[key] for key in ("model_version", "horizon_days", "catalogue", "users")}
        rows, as_of, cleared = facts["rows"], parse_utc(facts["as_of"]), int(facts.get("cleared", 0))
    layout.check_bundle(folder)
    with layout.read_errors_as_damage(folder / layout.SCORES_FILE):
        _check(scores.num_rows == rows, f"{scores.num_rows} rows, expected {rows}")
        _check(_ordered(scores), "its users are not in order")
    with layout.read_errors_as_damage(folder / layout.FEATURES_FILE):
        _check(len(features) == rows, f"{len(features)} rows, expected {rows}")
    typical = layout.read_typical(folder)
    return Snapshot(
        folder=folder,
        as_of=as_of,
        scores=scores,
        features=features,
        typical=typical,
        hidden=hidden,
        cleared=cleared,
        **held,
    )


def _without(left: OptedOutUsers, frame: pd.DataFrame) -> pd.DataFrame:
    return frame[[user not in left for user in frame["user"]]] if len(left) else frame


def _check_made_together(scores: pd.DataFrame, rows: pd.DataFrame, version: str) -> None:
    _check(scores[KEYS].equals(rows[KEYS]), "the scores and the feature rows are not of the same users and scopes.")
    versions = ", ".join(map(repr, scores["model_version"].unique()))
    _check(versions in ("", repr(version)), f"the scores are of the model version {versions}, expected {version!r}.")


def _check(holds: bool, otherwise: str) -> None:
    if not holds:
        raise ValueError(otherwise)


def _ordered(scores: pa.Table) -> bool:
    users = scores.column("user")
    return bool(pc.all(pc.less_equal(users[:-1], users[1:])).as_py()) if len(users) > 1 else True
