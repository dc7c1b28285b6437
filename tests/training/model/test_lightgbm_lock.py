"""LightGBM is called once at a time, whoever asks for a prediction."""

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
    """Count how many calls of LightGBM run at a time, at most."""
    predict, count, found, running = lgb.Booster.predict, threading.Lock(), [0], [0]

    def counted(self, *given, **more):
        with count:
            running[0] += 1
            found[0] = max(found[0], running[0])
        time.sleep(0.002)
        try:
            return predict(self, *given, **more)
        finally:
            with count:
                running[0] -= 1

    monkeypatch.setattr(lgb.Booster, "predict", counted)
    return found


@pytest.mark.parametrize("asked", ["margin", "shap_values", "quantiles"])
def test_few_and_many_rows_never_at_once(bundle, matrix, most_at_once, asked):
    ask = bundle.quantiles.around if asked == "quantiles" else getattr(bundle, asked)
    alone = [ask(matrix[:1]), ask(matrix)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(ask, [matrix[:1], matrix] * 8))
    assert most_at_once == [1]
    for k, each in enumerate(found):
        np.testing.assert_array_equal(np.asarray(each), np.asarray(alone[k % 2]))


@pytest.mark.parametrize(("rows", "threads"), [(FEW_ROWS - 1, 1), (FEW_ROWS, None)])
def test_a_few_rows_are_left_to_one_thread(booster, monkeypatch, rows, threads):
    asked = []
    monkeypatch.setattr(lgb.Booster, "predict", lambda _, __, **more: asked.append(more) or [0.0])
    predict(booster, np.zeros((rows, 3)), raw_score=True)
    assert asked == [{"raw_score": True} | ({"num_threads": threads} if threads else {})]
