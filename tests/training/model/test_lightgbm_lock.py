"""Calls into LightGBM are serialised."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import lightgbm as lgb
import numpy as np
import pytest

from training.model.booster import FEW_ROWS, predict


@pytest.fixture
def booster():
    values = np.random.default_rng(0).normal(size=(200, 3))
    return lgb.train({"verbose": -1}, lgb.Dataset(values, label=values[:, 0]), num_boost_round=3)


@pytest.fixture
def matrix(bundle):
    return np.random.default_rng(1).lognormal(size=(FEW_ROWS, len(bundle.features)))


@pytest.fixture
def most_at_once(monkeypatch):
    """Return the maximum number of concurrent LightGBM calls."""
    predict, count, results, running = lgb.Booster.predict, threading.Lock(), [0], [0]

    def counting_call(self, *args, **more):
        with count:
            running[0] += 1
            results[0] = max(results[0], running[0])
        time.sleep(0.002)
        try:
            return predict(self, *args, **more)
        finally:
            with count:
                running[0] -= 1

    monkeypatch.setattr(lgb.Booster, "predict", counting_call)
    return results


@pytest.mark.parametrize("method", ["margin", "shap_values"])
def test_predictions_of_few_and_many_rows_do_not_run_concurrently(bundle, matrix, most_at_once, method):
    ask = getattr(bundle, method)
    expected = [ask(matrix[:1]), ask(matrix)]
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(ask, [matrix[:1], matrix] * 8))
    assert most_at_once == [1]
    for k, result in enumerate(results):
        np.testing.assert_array_equal(np.asarray(result), np.asarray(expected[k % 2]))


@pytest.mark.parametrize(("rows", "threads"), [(FEW_ROWS - 1, 1), (FEW_ROWS, None)])
def test_few_rows_use_one_thread(booster, monkeypatch, rows, threads):
    options = []
    monkeypatch.setattr(lgb.Booster, "predict", lambda _, __, **more: options.append(more) or [0.0])
    predict(booster, np.zeros((rows, 3)), raw_score=True)
    assert options == [{"raw_score": True} | ({"num_threads": threads} if threads else {})]
