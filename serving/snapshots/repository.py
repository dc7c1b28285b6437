"""Writes, lists and opens the snapshots of a home."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from features.atomic_files import scratch_dir
from features.catalogue import CATALOGUE
from features.catalogue.wording import count_of
from features.errors import AsOfError, OutputError, SnapshotError
from features.feature_table import KEYS
from features.utc import begins_day_of, latest_event_time, parse_utc, to_iso_utc
from serving.snapshots import layout
from serving.snapshots.audience_files import PAIRS_FILE, StoredAudiences, has_audiences, map_audiences, write_audiences
from serving.snapshots.baselines import read_baselines, scope_baselines, write_baselines
from serving.snapshots.feature_rows import FeatureRowFile, map_rows, write_row_batches
from serving.snapshots.layout import sort_rows
from serving.snapshots.ranking import hidden_rows
from serving.snapshots.scored_rows import SCORES, ScoredRows, schema
from serving.snapshots.snapshot import Snapshot
from training.home import Home
from training.model.bundle import Bundle
from training.model.bundle_files import read_bundle, save_bundle
from training.records.opt_outs import OptedOutUsers, hidden_users, load_opted_out_users

LEAST_SHARE = 0.5  # of the users of the last snapshot, which a new one holds


class AbsentSnapshotError(SnapshotError):
    """There are snapshots, but none of that instant or version."""


def write_snapshot(
    home: Home,
    as_of: datetime,
    bundle: Bundle,
    version: str,
    scores: pd.DataFrame,
    rows: pd.DataFrame,
    audiences: StoredAudiences | None = None,
    released: bool = True,
    forced: bool = False,
) -> Path:
    """Write a snapshot, replacing one of the same instant and model; also to the database, if the home has one.

    That of a model which was never the champion is for inspection: it is not written to the database, and not served
    while there are others.

    Users who have opted out by now are excluded, even if they were scored before.

    Parameters
    ----------
    home : where snapshots are stored
    as_of : the instant of the scores, UTC
    bundle, version : the model that made them
    scores, rows : as `score_users` returns them
    audiences : of the same users in the order of `sort_rows`; None where no groups are to be selected
    released : whether the model is the champion, or was
    forced : whether it is published although its instant lies in the future

    Returns
    -------
    the folder; the same arguments and opt-outs give the same bytes in it

    Raises
    ------
    OutputError : the disk refuses
    RecordsError : the opt-outs cannot be read, or the database refuses; then the home has no such snapshot either
    ValueError : the scores and the rows differ in users or scopes, or the scores are not of that version

    """
    scores, rows = (sort_rows(frame) for frame in (scores, rows))
    _check_consistent(scores, rows, version)
    return publish_snapshot(
        home, as_of, bundle, version, ScoredRows.of_frames(scores, rows), audiences, released, forced
    )


def publish_snapshot(
    home: Home,
    as_of: datetime,
    bundle: Bundle,
    version: str,
    scored: ScoredRows,
    audiences: StoredAudiences | None = None,
    released: bool = True,
    forced: bool = False,
) -> Path:
    """Write a snapshot of scored rows, of which some ten thousand at a time are in memory.

    Parameters, result and errors are those of `write_snapshot`.
    """
    excluded = load_opted_out_users(home)
    keep = _visible_rows(scored, excluded)
    scored = scored.only(keep)
    target = home.snapshots / layout.folder_name(as_of, version)
    facts = layout.SnapshotFacts(
        as_of=to_iso_utc(as_of),
        model_version=version,
        horizon_days=bundle.horizon_days,
        users=scored.users,
        rows=scored.rows,
        catalogue=CATALOGUE.fingerprint,
        level=bundle.intervals.level,
        cleared=excluded.change,
        released=released,
        forced=forced,
    )
    with layout.atomic_file(target) as folder:
        save_bundle(bundle, folder / layout.BUNDLE_FOLDER)
        layout.write_batches(scored.batches(SCORES), schema(SCORES), folder / layout.SCORES_FILE)
        columns = [*KEYS, *scored.features]
        write_row_batches(scored.batches(columns), schema(columns), folder / layout.FEATURES_FILE)
        write_baselines(scope_baselines(bundle, scored, as_of), folder)
        if audiences is not None:
            write_audiences(audiences.of_rows(keep), folder)
        layout.write_facts(facts, folder)
        layout.write_checksums(folder)
        if home.database and released:
            from serving.snapshots.shared_database import SnapshotDatabase  # loads database drivers

            SnapshotDatabase(home).publish(folder)
    return target


def _visible_rows(scored: ScoredRows, excluded: OptedOutUsers) -> np.ndarray:
    """Return which rows are of users who have not opted out, bool, shape (rows,)."""
    if not len(excluded):
        return np.broadcast_to(np.True_, scored.rows)
    users = (batch.column(0).to_pylist() for batch in scored.batches(["user"]))
    return np.fromiter((user not in excluded for user in chain.from_iterable(users)), bool, scored.rows)


def check_users(home: Home, as_of: datetime, scored: ScoredRows) -> None:
    """Check that scores are of at least half of the users of the last snapshot up to their instant.

    Users of that snapshot who are hidden by now do not count.

    Raises
    ------
    SnapshotError : they are of fewer than half as many users, or fewer than half of its users are among them

    """
    earlier = (folder for folder in list_snapshots(home) if layout.age_order(folder)[0] <= parse_utc(as_of))
    last = next(_readable_users(home, earlier), None)
    if last is None:
        return
    at, users = last
    if scored.users < LEAST_SHARE * len(users):
        raise SnapshotError(
            f"these scores are of {count_of(scored.users, 'user')}, fewer than half of the {len(users):,} of the last "
            f"snapshot, as of {at}: events may be missing, or the instant is wrong. Nothing was written. Check "
            "EVENTS and --as-of; to publish these scores anyway, add --force."
        )
    shared = scored.count_among(users)
    if shared < LEAST_SHARE * len(users):
        raise SnapshotError(
            f"{shared:,} of the {len(users):,} users of the last snapshot, as of {at}, are in these events, fewer than "
            "half: is this the right EVENTS and --home? Nothing was written. To publish these scores anyway, add "
            "--force."
        )


def _readable_users(home: Home, folders: Iterable[Path]) -> Iterator[tuple[str, pa.Array]]:
    """Yield the instant and the visible users, distinct and ordered, of those snapshots that can be read."""
    hidden = load_opted_out_users(home)
    for folder in folders:
        with suppress(SnapshotError):
            facts, users = layout.read_facts(folder), layout.read_users(folder)
            visible = np.append(True, pc.not_equal(users[1:], users[:-1]))[: len(users)]
            visible[hidden_rows(users, hidden, facts.cleared)] = False
            yield facts.as_of, users.filter(pa.array(visible))


def _readable_facts(folders: Iterable[Path]) -> Iterator[layout.SnapshotFacts]:
    """Yield the facts of those snapshots that have them."""
    for folder in folders:
        with suppress(SnapshotError):
            yield layout.read_facts(folder)


def write_scores(scores: pd.DataFrame | ScoredRows, out: Path) -> None:
    """Write scores as one Parquet file, atomically.

    Raises
    ------
    OutputError : the path is a folder, or the disk refuses

    """
    if out.is_dir():
        raise OutputError(f"{out} is a folder; expected the name of a Parquet file for the scores.")
    with layout.atomic_file(out) as file:
        if isinstance(scores, ScoredRows):
            layout.write_batches(scores.batches(SCORES), schema(SCORES), file)
        else:
            layout.write_table(scores, file)


def list_snapshots(home: Home) -> list[Path]:
    """Return the folders of all snapshots, newest first: by instant, then by model version."""
    if not home.snapshots.is_dir():
        return []
    folders = [folder for folder in home.snapshots.iterdir() if layout.parse_folder_name(folder) and folder.is_dir()]
    return sorted(folders, key=layout.age_order, reverse=True)


def require_snapshots(home: Home) -> list[Path]:
    """Return the folders of all snapshots, newest first.

    Raises
    ------
    SnapshotError : there are none

    """
    folders = list_snapshots(home)
    if not folders:
        raise SnapshotError(f"no snapshots in {home.snapshots}: make one with '{home.command('score EVENTS')}'.")
    return folders


def remove_snapshot(home: Home, name: str) -> None:
    """Remove a snapshot from the home, and from its database if it is published there; replicas follow.

    Raises
    ------
    AbsentSnapshotError : no snapshot has that name; says which there are
    SnapshotError : it is the only one, so that nothing would be left to serve
    RecordsError : the database cannot be reached; then the snapshot stays in the home
    OutputError : the disk refuses

    """
    folders = list_snapshots(home)
    names = [folder.name for folder in folders]
    if name not in names:
        raise AbsentSnapshotError(f"no snapshot is named {name!r}; there are: {', '.join(names) or 'none'}.")
    if len(folders) == 1:
        raise SnapshotError(f"{name} is the only snapshot, and nothing would be left to serve: score again before.")
    folder = home.snapshots / name
    if home.database:
        from serving.snapshots.shared_database import SnapshotDatabase

        SnapshotDatabase(home).remove(name)
    with layout.output_errors(folder), scratch_dir(folder) as scratch, suppress(FileNotFoundError):
        folder.rename(scratch / name)  # absent if a replica on this home has dropped it meanwhile


def served_folder(folders: Sequence[Path], champion: str | None) -> Path:
    """Return which of some snapshots, newest first, is served: the newest by the champion, else the newest of all.

    Those of the future that were not published by --force, as older versions of Clout made them, and those by models
    that were never the champion are served only where there are no others.
    """
    present = _without_future(folders)
    by_champion = (folder for folder in present if layout.age_order(folder)[-1] == champion)
    return next(by_champion, next(filter(_is_released, present), present[0]))


def _without_future(folders: Sequence[Path]) -> Sequence[Path]:
    """Return the snapshots that are not later than an event can be or were forced; all if there are no others."""
    return [folder for folder in folders if not _is_future(folder) or _is_forced(folder)] or folders


def _is_future(folder: Path) -> bool:
    return layout.age_order(folder)[0] > latest_event_time()


def _is_forced(folder: Path) -> bool:
    return next((facts.forced for facts in _readable_facts([folder])), False)


def _is_released(folder: Path) -> bool:
    """Return whether a snapshot is by a model that was the champion; a damaged one counts as such."""
    return next((facts.released for facts in _readable_facts([folder])), True)


def served_otherwise(home: Home, folders: Sequence[Path], champion: str | None) -> str | None:
    """Say if the served snapshot, of some of a home, newest first, is of the future, not by the champion or not newest.

    None if it is the newest, by the champion, or if there are no snapshots or no champion.
    """
    if not folders:
        return None
    served = served_folder(folders, champion)
    if _is_future(served):
        return _future_served(home, served)
    if champion is None:
        return None
    newest_released = next(filter(_is_released, _without_future(folders)), served)
    (at, _, version), (newest, _, other) = layout.age_order(served), layout.age_order(newest_released)
    scored = f"the scores as of {to_iso_utc(at)} by version {version} are served"
    run = f"Run '{home.command('score EVENTS')}'."
    if version != champion:
        return f"{scored}, because the champion, version {champion}, has not scored yet. {run}"
    if newest > at:
        return f"{scored}, because version {other}, which scored as of {to_iso_utc(newest)}, is not the champion. {run}"
    return None


def _future_served(home: Home, served: Path) -> str:
    """Say that a snapshot of the future is served, why, and what changes that."""
    at, _, version = layout.age_order(served)
    why, run = "there are no others", f"Run '{home.command('score EVENTS')}'."
    if _is_forced(served):
        why = "they were published by --force"
        remove = home.command(f"snapshots remove {served.name}")
        run = f"Later runs of 'clout score' are served from then on, or after '{remove}'."
    return (
        f"the scores as of {to_iso_utc(at)} by version {version} are served, an instant in the future, because {why}; "
        f"nothing that happens until then counts. {run}"
    )


def open_snapshot(
    home: Home, as_of: datetime | None = None, version: str | None = None, champion: str | None = None
) -> Snapshot:
    """Open the served snapshot, or the newest by a model version, of all or of exactly one instant.

    `champion` is the version by which `served_folder` chooses.

    Raises
    ------
    AbsentSnapshotError : there are snapshots, but none of that instant or version; says which there are
    SnapshotError : there are none, or that one is damaged; says which file

    """
    folders = require_snapshots(home)
    if as_of is not None:
        folders = _of_instant(folders, parse_utc(as_of))
    folder = served_folder(folders, champion) if version is None else _of_version(folders, version)
    return _open(home, folder, champion)


def _open(home: Home, folder: Path, champion: str | None) -> Snapshot:
    """Open a snapshot; one that was made for inspection is released once its model is the champion."""
    snapshot = read_snapshot(folder, hidden_users(home))
    return replace(snapshot, released=True) if snapshot.model_version == champion else snapshot


def _of_instant(folders: list[Path], as_of: datetime) -> list[Path]:
    """Return the snapshots of the instant that `_named_instant` returns."""
    as_of = _named_instant(folders, as_of)
    matches = [folder for folder in folders if layout.age_order(folder)[0] == as_of]
    if not matches:
        instants = {layout.age_order(folder)[0] for folder in folders}
        names = map(to_iso_utc, sorted(instants, reverse=True))
        raise AbsentSnapshotError(f"no snapshot as of {to_iso_utc(as_of)}; there are: {', '.join(names)}.")
    return matches


def _named_instant(folders: list[Path], as_of: datetime) -> datetime:
    """Return an instant; where a day begins and no snapshot is of then, the only one of the day's snapshots."""
    instants = {layout.age_order(folder)[0] for folder in folders}
    of_day = [instant for instant in instants if begins_day_of(as_of, instant)]
    return of_day[0] if as_of not in instants and len(of_day) == 1 else as_of


def _of_version(folders: list[Path], version: str) -> Path:
    """Return the newest snapshot of a model version."""
    versions: dict[str, Path] = {}
    for folder in folders:
        versions.setdefault(layout.age_order(folder)[-1], folder)
    if version not in versions:
        instants = {to_iso_utc(layout.age_order(folder)[0]) for folder in folders}
        as_of = f" as of {instants.pop()}" if len(instants) == 1 else ""
        raise AbsentSnapshotError(f"no snapshot{as_of} by version {version!r}; there are: {', '.join(versions)}.")
    return versions[version]


def open_earlier(home: Home, later: Snapshot, as_of: datetime | None = None, champion: str | None = None) -> Snapshot:
    """Open the newest snapshot of an earlier instant than another's, or that of an instant.

    `as_of` is the instant of the earlier one; None takes the nearest. Of several models that scored at that instant,
    `served_folder` chooses by the version of the `champion`; if it is the other's instant, of those by earlier models.

    Raises
    ------
    AsOfError : the instant is later than the other's
    AbsentSnapshotError : there is none of that instant, or none before the other
    SnapshotError : that snapshot is damaged

    """
    at = None if as_of is None else _named_instant(list_snapshots(home), parse_utc(as_of))
    if at is not None and at > later.as_of:
        raise AsOfError(
            f"a change goes from the earlier instant to the later: {to_iso_utc(at)} is after {to_iso_utc(later.as_of)}."
        )
    if at is not None and at < later.as_of:
        return open_snapshot(home, at, champion=champion)
    key = layout.age_order(later.folder)
    earlier = [folder for folder in list_snapshots(home) if layout.age_order(folder) < key]
    if at is None:
        matches = [folder for folder in earlier if layout.age_order(folder)[0] < key[0] and _is_released(folder)]
    else:
        matches = [folder for folder in earlier if layout.age_order(folder)[0] == at]
    if not matches:
        which = "no other snapshot is of" if at else "no snapshot is earlier than"
        raise AbsentSnapshotError(
            f"{which} {to_iso_utc(later.as_of)}, the instant of that by version {later.model_version}: a change needs "
            "two. Make another with 'clout score'."
        )
    nearest = _of_instant(matches, layout.age_order(matches[0])[0])
    return _open(home, served_folder(nearest, champion), champion)


def read_snapshot(folder: Path, hidden: Callable[[], OptedOutUsers]) -> Snapshot:
    """Open the snapshot in a folder; `hidden` returns the users to hide.

    Checks that its files agree and are unchanged. If another snapshot replaces the folder meanwhile, reads that one.

    Raises
    ------
    SnapshotError : a file is absent, damaged or of another length than the rest; says which

    """
    while True:
        before = layout.folder_identity(folder)
        try:
            snapshot = _read(folder, hidden)
        except SnapshotError:
            if layout.folder_identity(folder) == before:
                raise
            continue
        if layout.folder_identity(folder) == before:
            return snapshot


def _read(folder: Path, hidden: Callable[[], OptedOutUsers]) -> Snapshot:
    layout.check_checksums(folder)
    facts = layout.read_facts(folder)
    scores = _read_scores(folder, facts.rows)
    features = _map_features(folder, facts.rows)
    audiences = _map_audiences(folder, facts.rows)
    with layout.read_errors_as_damage(folder / layout.BUNDLE_FOLDER):
        read_bundle(folder / layout.BUNDLE_FOLDER)  # checks its files, whatever catalogue the model was trained on
    with layout.read_errors_as_damage(folder / layout.BASELINES_FILE):
        baselines = read_baselines(folder)
    return Snapshot(
        folder=folder,
        as_of=parse_utc(facts.as_of),
        model_version=facts.model_version,
        horizon_days=facts.horizon_days,
        level=facts.level,
        catalogue=facts.catalogue,
        users=facts.users,
        scores=scores,
        features=features,
        mapped_audiences=audiences,
        baselines=baselines,
        hidden=hidden,
        cleared=facts.cleared,
        released=facts.released,
    )


def _read_scores(folder: Path, rows: int) -> pa.Table:
    with layout.read_errors_as_damage(folder / layout.SCORES_FILE):
        scores = layout.read_scores(folder)
        _check(scores.num_rows == rows, f"{scores.num_rows} rows, expected {rows}")
        _check(_ordered(scores), "its users are not in order")
        return scores


def _map_features(folder: Path, rows: int) -> FeatureRowFile:
    with layout.read_errors_as_damage(folder / layout.FEATURES_FILE):
        features = map_rows(folder / layout.FEATURES_FILE)
        _check(len(features) == rows, f"{len(features)} rows, expected {rows}")
        return features


def _map_audiences(folder: Path, rows: int) -> StoredAudiences | None:
    if not has_audiences(folder):
        return None
    with layout.read_errors_as_damage(folder / PAIRS_FILE):
        audiences = map_audiences(folder)
        _check(len(audiences) == rows, f"audiences of {len(audiences)} rows, expected {rows}")
        return audiences


def _check_consistent(scores: pd.DataFrame, rows: pd.DataFrame, version: str) -> None:
    _check(scores[KEYS].equals(rows[KEYS]), "the scores and the feature rows are not of the same users and scopes.")
    versions = ", ".join(map(repr, scores["model_version"].unique()))
    _check(versions in ("", repr(version)), f"the scores are of the model version {versions}, expected {version!r}.")


def _check(holds: bool, message: str) -> None:
    if not holds:
        raise ValueError(message)


def _ordered(scores: pa.Table) -> bool:
    users = scores.column("user")
    return bool(pc.all(pc.less_equal(users[:-1], users[1:])).as_py()) if len(users) > 1 else True
