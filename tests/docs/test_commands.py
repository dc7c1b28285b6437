"""Every command and Python block of the pages runs on one simulated community and exits as the page says.

With CLOUT_TEST_DOCS=1 the community is that of the pages, and printed output is compared too; this takes four minutes.
"""

import os
import re
import sys

import pandas as pd
import pytest
from run_pages import outputs, pages, run_all

from tests import preloaded

COMPARES = "CLOUT_TEST_DOCS" in os.environ
NUMBER = re.compile(r"[-+]?\d[\d,.:]*")
SECRET = re.compile(r"\b(clout_\w+|[0-9a-f]{12,})\b")


def shape(text):
    """Return a text without what differs between machines and runs: numbers, keys and line ends."""
    return " ".join(NUMBER.sub("0", SECRET.sub("SECRET", text)).split())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("pages")


@pytest.fixture(scope="module")
def results(folder, tmp_path_factory):
    """Run the pages; the quick run uses fewer users, a preloaded `clout`, and no plots of the model."""
    if COMPARES or sys.platform != "linux":
        return run_all(folder, quick=not COMPARES)
    programs = tmp_path_factory.mktemp("programs")
    with preloaded.program(programs, "clout", "import training.backtest as b; b._figures = lambda *_: {}"):
        return run_all(folder, True, programs)


def test_every_command_exits_as_its_page_says(results):
    runs = [run for page_runs in results.values() for run in page_runs]
    assert [run for run in runs if run.code != run.expected] == []
    assert len(runs) > 50


@pytest.mark.skipif(not COMPARES, reason="takes four minutes: set CLOUT_TEST_DOCS=1 to compare")
@pytest.mark.parametrize("page", pages(), ids=lambda page: f"{page.parent.name}/{page.name}")
def test_pages_show_what_commands_print(page, results):
    for block, output in outputs(page, results[page]):
        assert shape(block.text) == shape(output), "run python docs/run_pages.py to update the outputs"


def test_the_points_of_all_users_add_up_to_the_scores(folder, results):
    points, scores = (pd.read_parquet(folder / f"{name}.parquet") for name in ("points", "scores"))
    both = points.merge(scores, on=["user", "scope"], suffixes=("", "_published"))
    assert len(both) == len(scores) > 200
    features = points.columns.difference(["user", "scope", "base", "unclipped", "score"])
    assert (both["base"] + both[features].sum(axis=1) - both["unclipped"]).abs().max() < 1e-6
    assert (both["unclipped"].clip(0, 100) - both["score_published"]).abs().max() < 1e-9
