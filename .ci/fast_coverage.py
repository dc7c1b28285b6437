"""Measure in a run of the whole suite what its fast tests reach; each worker writes its own file of coverage.

A plugin of pytest; FAST_COVERAGE names the files. Fixtures that fast tests share with others are measured as well,
whoever asks for them first.
"""

import os
from contextlib import contextmanager

import pytest
from coverage import Coverage

PACKAGES = ("features", "training", "serving")
SHARED = set()
COVERAGE = Coverage(data_file=os.environ["FAST_COVERAGE"], data_suffix=True, source=PACKAGES, config_file=False)
COVERAGE.set_option("run:disable_warnings", ["already-imported", "module-not-measured", "no-data-collected"])
depth = 0


@contextmanager
def measured():
    """Measure until the outermost of these contexts ends."""
    global depth
    depth += 1
    if depth == 1:
        COVERAGE.start()
    try:
        yield
    finally:
        depth -= 1
        if depth == 0:
            COVERAGE.stop()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection():
    """Measure what runs while modules are imported; runs of pytest that a test starts measure nothing."""
    os.environ.pop("PYTEST_ADDOPTS", None)
    with measured():
        return (yield)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    """Collect the fixtures that fast tests need."""
    for item in items:
        if item.get_closest_marker("fast"):
            SHARED.update(definition for each in item._fixtureinfo.name2fixturedefs.values() for definition in each)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item):
    """Measure a fast test, with its setup and teardown."""
    if not item.get_closest_marker("fast"):
        return (yield)
    with measured():
        return (yield)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_fixture_setup(fixturedef):
    """Measure a fixture that outlives a test, if a fast test needs it."""
    if fixturedef.scope == "function" or fixturedef not in SHARED:
        return (yield)
    with measured():
        return (yield)


def pytest_sessionfinish():
    """Write what this worker measured."""
    COVERAGE.save()
