"""Predictions of a bundle."""

import numpy as np
import pandas as pd
import pytest

from features.catalogue import CATALOGUE, INPUTS, SCORED
from features.errors import CatalogueError
from training.model.bundle import PREDICTED


class TestPredict:
    def test_columns_and_values(self, bundle, rows):
        predicted = bundle.predict(rows)
        assert list(predicted) == PREDICTED
        assert predicted["score"].between(0, 100).all()
        assert (predicted["low"] <= predicted["high"]).all()
        margin = bundle.booster.predict(rows[SCORED.names].to_numpy(float), raw_score=True)
        added = bundle.bounded.booster.predict(rows[INPUTS.names].to_numpy(float), raw_score=True)
        margin = margin + np.clip(added, -0.1, 0.1)
        assert predicted["expected_audience"].to_numpy() == pytest.approx(np.exp(margin))
        scale = bundle.scale
        assert predicted["unclipped"].to_numpy() == pytest.approx(scale.anchor + scale.points_per_nat * margin)

    def test_column_order_and_other_columns_have_no_effect(self, bundle, rows):
        reordered = rows[rows.columns[::-1]].assign(text="secret")
        pd.testing.assert_frame_equal(bundle.predict(reordered), bundle.predict(rows), check_exact=True)

    def test_index_is_preserved(self, bundle, rows):
        few = rows.sample(7, random_state=0)
        assert bundle.predict(few).index.equals(few.index)

    def test_none_means_unknown(self, bundle, rows):
        one = rows.iloc[[0]].assign(credible_after_a_day_share_90d=np.nan)
        other = one.astype({"credible_after_a_day_share_90d": object})
        other["credible_after_a_day_share_90d"] = [None]
        pd.testing.assert_frame_equal(bundle.predict(other), bundle.predict(one))

    def test_integer_columns(self, bundle, rows):
        integers = rows.fillna(0).astype(dict.fromkeys(CATALOGUE.names, "int64"))
        same = integers.astype(dict.fromkeys(CATALOGUE.names, "float64"))
        pd.testing.assert_frame_equal(bundle.predict(integers), bundle.predict(same))

    def test_no_rows_get_no_predictions(self, bundle, rows):
        predicted = bundle.predict(rows[:0])
        assert (list(predicted), len(predicted)) == (PREDICTED, 0)

    def test_missing_features_are_named(self, bundle, rows):
        with pytest.raises(
            CatalogueError, match=rf"lack 2 of the model's {len(INPUTS)} features: responder_rate_365d, early_re"
        ):
            bundle.predict(rows.drop(columns=["followers", "early_responders", "responder_rate_365d"]))

    @pytest.mark.parametrize("value", ["many", "", [1], {}])
    def test_a_value_that_is_not_a_number_is_refused(self, bundle, rows, value):
        frame = rows.iloc[[0]].astype({"early_responders": object})
        frame["early_responders"] = [value]
        with pytest.raises(CatalogueError, match="the rows contain a value that is not a number: "):
            bundle.predict(frame)
