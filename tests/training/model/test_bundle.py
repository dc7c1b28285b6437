import dataclasses
import gc
import json
import pickletools
import shutil
import weakref

import numpy as np
import pandas as pd
import pytest

from features.catalogue import CATALOGUE, SCORED
from features.errors import CatalogueError, RegistryError
from training.model.bundle import BOOSTERS, FACTS_FILE, PREDICTED, load_bundle


@pytest.fixture
def folder(bundle, tmp_path):
    bundle.save(tmp_path / "a bundle")
    return tmp_path / "a bundle"


def altered(folder, change):
    facts = json.loads((folder / FACTS_FILE).read_text())
    change(facts)
    (folder / FACTS_FILE).write_text(json.dumps(facts))
    return folder


class TestRoundTrip:
    def test_the_same_bundle_comes_back(self, bundle, folder, rows):
        back = load_bundle(folder)
        assert back == bundle
        pd.testing.assert_frame_equal(back.predict(rows), bundle.predict(rows), check_exact=True)

    def test_saved_again_it_is_the_same_bytes(self, folder, tmp_path):
        load_bundle(folder).save(tmp_path / "again")
        for name in (*BOOSTERS, FACTS_FILE):
            assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes()

    def test_one_in_use_is_returned_again_and_nobody_holds_it_longer(self, folder, tmp_path):
        shutil.copytree(folder, tmp_path / "a copy")
        first = load_bundle(folder)
        assert load_bundle(tmp_path / "a copy") is first
        altered(tmp_path / "a copy", lambda facts: facts.update(horizon_days=29))
        assert load_bundle(tmp_path / "a copy").horizon_days == 29
        gone = weakref.ref(first)
        del first
        gc.collect()
        assert gone() is None

    def test_text_and_json_alone(self, folder):
        assert sorted(path.name for path in folder.iterdir()) == sorted([*BOOSTERS, FACTS_FILE])
        for path in folder.iterdir():
            path.read_text(encoding="utf-8")
            with pytest.raises(ValueError, match="opcode"):
                list(pickletools.genops(path.read_bytes()))


class TestPredict:
    def test_columns_and_meaning(self, bundle, rows):
        found = bundle.predict(rows)
        assert list(found) == PREDICTED
        assert found["score"].between(0, 100).all()
        assert (found["low"] <= found["high"]).all()
        margin = bundle.booster.predict(rows[SCORED.names].to_numpy(float), raw_score=True)
        assert found["expected_audience"].to_numpy() == pytest.approx(np.exp(margin))
        scale = bundle.scale
        assert found["unclipped"].to_numpy() == pytest.approx(scale.anchor + scale.points_per_nat * margin)

    def test_order_of_columns_and_other_columns_do_not_matter(self, bundle, rows):
        turned = rows[rows.columns[::-1]].assign(text="secret")
        pd.testing.assert_frame_equal(bundle.predict(turned), bundle.predict(rows), check_exact=True)

    def test_index_is_kept(self, bundle, rows):
        few = rows.sample(7, random_state=0)
        assert bundle.predict(few).index.equals(few.index)

    def test_none_means_unknown(self, bundle, rows):
        one = rows.iloc[[0]].assign(credible_after_a_day_share_90d=np.nan)
        other = one.astype({"credible_after_a_day_share_90d": object})
        other["credible_after_a_day_share_90d"] = [None]
        pd.testing.assert_frame_equal(bundle.predict(other), bundle.predict(one))

    def test_whole_numbers_are_numbers(self, bundle, rows):
        whole = rows.fillna(0).astype(dict.fromkeys(CATALOGUE.names, "int64"))
        same = whole.astype(dict.fromkeys(CATALOGUE.names, "float64"))
        pd.testing.assert_frame_equal(bundle.predict(whole), bundle.predict(same))

    def test_nobody(self, bundle, rows):
        found = bundle.predict(rows[:0])
        assert (list(found), len(found)) == (PREDICTED, 0)

    def test_missing_features_are_named(self, bundle, rows):
        with pytest.raises(
            CatalogueError, match=rf"lack 2 of the model's {len(SCORED)} features: early_engagers, cred"
        ):
            bundle.predict(rows.drop(columns=["followers", "early_engagers", "credible_pace_28d"]))

    @pytest.mark.parametrize("value", ["many", "", [1], {}])
    def test_a_value_that_is_no_number(self, bundle, rows, value):
        frame = rows.iloc[[0]].astype({"early_engagers": object})
        frame["early_engagers"] = [value]
        with pytest.raises(CatalogueError, match="the rows hold a value that is no number: "):
            bundle.predict(frame)


class TestOtherCatalogue:
    def test_a_feature_that_is_absent_here(self, bundle, tmp_path):
        features = {"klout": "000000000000", **dict(list(bundle.features.items())[1:])}
        dataclasses.replace(bundle, features=features).save(tmp_path)
        with pytest.raises(
            CatalogueError, match=r"trained on another catalogue .*: absent here: klout; defined otherwise here: none\."
        ):
            load_bundle(tmp_path)

    def test_a_feature_that_is_defined_otherwise(self, bundle, tmp_path):
        dataclasses.replace(bundle, features={**bundle.features, "early_engagers": "000000000000"}).save(tmp_path)
        with pytest.raises(
            CatalogueError, match=r"absent here: none; defined otherwise here: early_engagers\. Install the"
        ):
            load_bundle(tmp_path)


class TestDamage:
    def test_nothing_there(self, tmp_path):
        with pytest.raises(
            RegistryError,
            match=r"no whole .*FileNotFoundError.*expected booster\.txt, low\.txt, high\.txt and",
        ):
            load_bundle(tmp_path / "gone")

    @pytest.mark.parametrize("name", [*BOOSTERS, FACTS_FILE])
    def test_one_file_absent(self, folder, name):
        (folder / name).unlink()
        with pytest.raises(RegistryError, match="no whole bundle at"):
            load_bundle(folder)

    @pytest.mark.parametrize("name", [*BOOSTERS, FACTS_FILE])
    @pytest.mark.parametrize("share", [0, 0.5, 0.99])
    def test_cut_off(self, folder, name, share):
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: int(share * len(content))])
        with pytest.raises(RegistryError, match="no whole bundle at"):
            load_bundle(folder)

    @pytest.mark.parametrize("content", [b"null", b"3", b"[]", b"{}", b'"x"', b"\xff\xfe"])
    def test_other_json(self, folder, content):
        (folder / FACTS_FILE).write_bytes(content)
        with pytest.raises(RegistryError, match="no whole bundle at"):
            load_bundle(folder)

    @pytest.mark.parametrize("key", ["features", "scale", "intervals", "horizon_days", "facts", "sha256"])
    def test_a_part_absent(self, folder, key):
        with pytest.raises(RegistryError, match="no whole bundle at"):
            load_bundle(altered(folder, lambda facts: facts.pop(key)))

    def test_a_part_too_many(self, folder):
        with pytest.raises(RegistryError, match="no whole bundle at"):
            load_bundle(altered(folder, lambda facts: facts.update(klout=1)))

    @pytest.mark.parametrize("name", BOOSTERS)
    def test_a_booster_that_was_changed(self, folder, name):
        text = (folder / name).read_text()
        (folder / name).write_text(text.replace("leaf_value=", "leaf_value= ", 1))
        with pytest.raises(RegistryError, match="was changed or cut off"):
            load_bundle(folder)
