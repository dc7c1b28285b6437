"""Style sheets: every block is closed, and colours are defined only as tokens."""

import re

import pytest

from serving.pages.static_files import FOLDER

SHEETS = sorted(FOLDER.glob("*.css"))


@pytest.mark.parametrize("sheet", SHEETS, ids=lambda sheet: sheet.name)
def test_every_block_is_closed_before_the_next_rule(sheet):
    depth = 0
    for number, line in enumerate(sheet.read_text().splitlines(), start=1):
        if re.match(r"[^\s}].*\{$", line):
            assert depth == 0, f"{sheet.name}:{number}"
        depth += line.count("{") - line.count("}")
    assert depth == 0


@pytest.mark.parametrize(
    "sheet", [sheet for sheet in SHEETS if sheet.name != "tokens.css"], ids=lambda sheet: sheet.name
)
def test_colours_are_tokens(sheet):
    assert not re.search(r"#[0-9a-f]{3,8}\b|\brgba?\(|\bhsla?\(", sheet.read_text())
