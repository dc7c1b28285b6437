"""Every command and Python block of the pages runs, on one simulated community, and ends as the pages say.

With CLOUT_TEST_DOCS=1 it is the pages' own community, in four minutes, and what commands print is compared as well.
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
    """Return a text without what differs between machines and runs: numbers, keys and the ends of lines."""
    return " ".join(NUMBER.sub("0", SECRET.sub("SECRET", text)).split())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("pages")


@pytest.fixture(scope="module")
def results(folder, tmp_path_factory):
    """Run the pages; on fewer users `clout` need not import its packages each time, and draws no plots of a model."""
    if COMPARES or sys.platform != "linux":
        return run_all(folder, quick=not COMPARES)
    programs = tmp_path_factory.mktemp("programs")
    with preloaded.program(programs, "clout", "import training.backtest as b; b._figures = lambda *_: {}"):
        return run_all(folder, True, programs)


def test_every_command_ends_as_its_page_says(results):
    runs = [run for page_runs in results.values() for run in page_runs]
    assert [run for run in runs if run.code != run.expected] == []
    assert len(runs) > 50


@pytest.mark.skipif(not COMPARES, reason="takes four minutes: set CLOUT_TEST_DOCS=1 to compare")
@pytest.mark.parametrize("page", pages(), ids=lambda page: f"{page.parent.name}/{page.name}")
def test_pages_show_what_commands_print(page, results):
    for block, output in outputs(page, results[page]):
        assert shape(block.text) == shape(output), "python docs/run_pages.py writes the outputs anew"


def test_the_points_of_everybody_add_up_to_the_scores(folder, results):
    points, scores = (pd.read_parquet(folder / f"{name}.parquet") for name in ("points", "scores"))
    both = points.merge(scores, on=["user", "scope"], suffixes=("", "_published"))
    assert len(both) == len(scores) > 200
    features = points.columns.difference(["user", "scope", "base", "unclipped", "score"])
    assert (both["base"] + both[features].sum(axis=1) - both["unclipped"]).abs().max() < 1e-6
    assert (both["unclipped"].clip(0, 100) - both["score_published"]).abs().max() < 1e-9
