"""The files named in `tests/conftest.py` exist."""

from pathlib import Path

from tests.conftest import LONG_FILES

ROOT = Path(__file__).parents[1]


def test_long_files_exist():
    assert [file for file in LONG_FILES if not (ROOT / file).is_file()] == []
