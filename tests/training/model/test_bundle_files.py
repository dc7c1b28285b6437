"""Saving and loading bundles: files are reproducible, and damaged ones are refused."""

import dataclasses
import gc
import json
import pickletools
import shutil
import weakref

import pandas as pd
import pytest

from features.catalogue.rewordings import EARLIER_FINGERPRINTS
from features.errors import CatalogueError, RegistryError
from training.model.bundle_files import BOOSTER_FILE, BOUNDED_FILE, END_FILES, FACTS_FILE, load_bundle, save_bundle
from training.model.earlier_intervals import EarlierIntervals, Knot

BOOSTER_FILES = (BOOSTER_FILE, BOUNDED_FILE)


@pytest.fixture
def folder(bundle, tmp_path):
    save_bundle(bundle, tmp_path / "a bundle")
    return tmp_path / "a bundle"


def alter(folder, change):
    facts = json.loads((folder / FACTS_FILE).read_text())
    change(facts)
    (folder / FACTS_FILE).write_text(json.dumps(facts))
    return folder


class TestRoundTrip:
    def test_load_returns_the_saved_bundle(self, bundle, folder, rows):
        back = load_bundle(folder)
        assert back == bundle
        pd.testing.assert_frame_equal(back.predict(rows), bundle.predict(rows), check_exact=True)

    def test_saving_again_writes_the_same_bytes(self, folder, tmp_path):
        save_bundle(load_bundle(folder), tmp_path / "again")
        for name in (*BOOSTER_FILES, FACTS_FILE):
            assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes()

    def test_a_bundle_in_use_is_shared_and_not_retained(self, folder, tmp_path):
        shutil.copytree(folder, tmp_path / "a copy")
        first = load_bundle(folder)
        assert load_bundle(tmp_path / "a copy") is first
        alter(tmp_path / "a copy", lambda facts: facts.update(horizon_days=29))
        assert load_bundle(tmp_path / "a copy").horizon_days == 29
        reference = weakref.ref(first)
        del first
        gc.collect()
        assert reference() is None

    def test_files_are_text_and_json_only(self, folder):
        assert sorted(path.name for path in folder.iterdir()) == sorted([*BOOSTER_FILES, FACTS_FILE])
        for path in folder.iterdir():
            path.read_text(encoding="utf-8")
            with pytest.raises(ValueError, match="opcode"):
                list(pickletools.genops(path.read_bytes()))


class TestIntervalsOfEarlierVersions:
    """Intervals predicted by two boosters, which are stored in separate files."""

    knots = (Knot(0.1, -0.2, 0.1), Knot(3.0, 0.2, -0.2))

    @pytest.fixture
    def earlier(self, bundle):
        ends = bundle.booster_text, bundle.booster_text
        return dataclasses.replace(bundle, intervals=EarlierIntervals(0.8, (), self.knots, *ends, relative=True))

    def test_intervals_are_the_same_after_saving(self, earlier, rows, tmp_path):
        save_bundle(earlier, tmp_path)
        assert {*END_FILES} <= {path.name for path in tmp_path.iterdir()}
        back = load_bundle(tmp_path)
        assert back == earlier
        pd.testing.assert_frame_equal(back.predict(rows), earlier.predict(rows), check_exact=True)

    def test_bands_become_knots(self, earlier, tmp_path):
        bands = [{"edge": 0.0, "margin": 0.1}, {"edge": 3.0, "margin": -0.2}]
        save_bundle(earlier, tmp_path)
        back = load_bundle(alter(tmp_path, lambda facts: facts.update(intervals={"level": 0.8, "bands": bands})))
        assert back.intervals.knots == (Knot(0.0, -0.1, 0.1), Knot(3.0, 0.2, -0.2))
        assert not back.intervals.relative

    def test_damaged_boosters_are_refused(self, earlier, tmp_path):
        save_bundle(earlier, tmp_path)
        (tmp_path / END_FILES[1]).unlink()
        with pytest.raises(RegistryError, match="no complete bundle at"):
            load_bundle(tmp_path)


class TestOtherCatalogue:
    def test_a_feature_absent_from_the_catalogue_is_refused(self, bundle, tmp_path):
        features = {"klout": "000000000000", **dict(list(bundle.features.items())[1:])}
        save_bundle(dataclasses.replace(bundle, features=features), tmp_path)
        with pytest.raises(
            CatalogueError,
            match=r"another catalogue .*: absent here: klout; defined differently here: none\.",
        ):
            load_bundle(tmp_path)

    def test_a_feature_with_another_definition_is_refused(self, bundle, tmp_path):
        features = {**bundle.features, "early_engagers": "000000000000"}
        save_bundle(dataclasses.replace(bundle, features=features), tmp_path)
        with pytest.raises(
            CatalogueError, match=r"absent here: none; defined differently here: early_engagers\. Install the"
        ):
            load_bundle(tmp_path)

    def test_a_feature_that_was_only_reworded_is_accepted(self, bundle, tmp_path):
        earlier = {name: EARLIER_FINGERPRINTS.get(name, now) for name, now in bundle.features.items()}
        assert earlier != bundle.features
        save_bundle(dataclasses.replace(bundle, features=earlier), tmp_path)
        assert load_bundle(tmp_path).features == earlier


class TestDamage:
    def test_an_absent_folder_is_refused(self, tmp_path):
        with pytest.raises(
            RegistryError,
            match=r"no complete .*FileNotFoundError.*expected booster\.txt and",
        ):
            load_bundle(tmp_path / "gone")

    @pytest.mark.parametrize("name", [*BOOSTER_FILES, FACTS_FILE])
    def test_an_absent_file_is_refused(self, folder, name):
        (folder / name).unlink()
        with pytest.raises(RegistryError, match="no complete bundle at"):
            load_bundle(folder)

    @pytest.mark.parametrize("name", [*BOOSTER_FILES, FACTS_FILE])
    @pytest.mark.parametrize("share", [0, 0.5, 0.99])
    def test_a_truncated_file_is_refused(self, folder, name, share):
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: int(share * len(content))])
        with pytest.raises(RegistryError, match="no complete bundle at"):
            load_bundle(folder)

    @pytest.mark.parametrize("content", [b"null", b"3", b"[]", b"{}", b'"x"', b"\xff\xfe"])
    def test_an_invalid_facts_file_is_refused(self, folder, content):
        (folder / FACTS_FILE).write_bytes(content)
        with pytest.raises(RegistryError, match="no complete bundle at"):
            load_bundle(folder)

    @pytest.mark.parametrize("key", ["features", "scale", "intervals", "horizon_days", "facts", "sha256"])
    def test_an_absent_field_is_refused(self, folder, key):
        with pytest.raises(RegistryError, match="no complete bundle at"):
            load_bundle(alter(folder, lambda facts: facts.pop(key)))

    def test_an_unknown_field_is_refused(self, folder):
        with pytest.raises(RegistryError, match="no complete bundle at"):
            load_bundle(alter(folder, lambda facts: facts.update(klout=1)))

    @pytest.mark.parametrize("name", BOOSTER_FILES)
    def test_a_changed_booster_is_refused(self, folder, name):
        text = (folder / name).read_text()
        (folder / name).write_text(text.replace("leaf_value=", "leaf_value= ", 1))
        with pytest.raises(RegistryError, match="was changed or cut off"):
            load_bundle(folder)
