"""What goes to the terminal is shown as it is."""

import pytest
from rich.console import Console

from features import console

ODD = ["[/b]", "[bold]x[/bold]", "[red", ":smile:", "\\[x]"]
WIDE = "x" * 60


@pytest.mark.parametrize("odd", ODD)
def test_ids_in_a_table_are_printed_literally(odd, capsys, monkeypatch):
    monkeypatch.setattr(console, "OUT", Console(highlight=False, width=100))
    console.print_table(f"Scores of {odd}", ["user", f"of {odd}"], [[odd, WIDE]])
    title, head, row = capsys.readouterr().out.rstrip("\n").split("\n")
    assert title.rstrip() == f"Scores of {odd}"
    assert head.split() == ["user", "of", odd]
    assert row.split() == [odd, WIDE]
