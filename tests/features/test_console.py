"""Terminal output shows texts literally."""

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


def test_commands_are_never_wrapped(capsys, monkeypatch):
    monkeypatch.setattr(console, "ERR", Console(stderr=True, highlight=False, width=20, force_terminal=True))
    console.print_commands("Next:", {f"clout score [x] --home '{WIDE} {WIDE}'": "scores"})
    assert f"\n  clout score [x] --home '{WIDE} {WIDE}'\n      scores\n" in capsys.readouterr().err


WORDS = ["Responses lately count as about 60 established members", "12.50", "-0.004 to +0.107"]


@pytest.fixture(params=[40, 60, 80, 200])
def out(request, monkeypatch):
    monkeypatch.setattr(console, "OUT", Console(highlight=False, width=request.param))
    return request.param


def test_no_table_breaks_a_word(out, capsys):
    columns = ["", "points", "95 % interval"]
    rows = [WORDS, ["credible_engagers_decayed_28d", "1", "2"]]
    console.print_table("A title", columns, rows)
    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines())) <= out
    words = {word.strip(",:") for word in printed.split()}
    assert {word for row in (columns, *rows) for cell in row for word in cell.split()} <= words


def test_the_widest_columns_are_narrowed():
    assert console.column_widths(["a", "b"], [["one two three", "1"]], 80) == [13, 1]
    assert console.column_widths(["a", "b"], [["one two three", "1"]], 10) == [7, 1]
    assert console.column_widths(["a", "b"], [["one two three", "1"]], 7) is None
    assert console.column_widths(["a", "one two"], [["one two three", "1"]], 18) == [13, 3]  # titles first
    assert console.column_widths(["a", "one two"], [["one two three", "1"]], 17) == [12, 3]
    assert console.column_widths(["a", "one two"], [], 6) == [1, 3]


def test_a_document_is_printed_unchanged_to_a_pipe(capsys):
    console.print_markdown("# A title\n| a | b |\n| --- | --- |\n| 1 | 2 |\n")
    assert capsys.readouterr().out == "# A title\n| a | b |\n| --- | --- |\n| 1 | 2 |\n"


def test_no_document_breaks_a_word_on_a_terminal(monkeypatch, capsys):
    terminal = Console(highlight=False, width=40, force_terminal=True, color_system=None)
    monkeypatch.setattr(console, "OUT", terminal)
    wide = "| feature | points of a member |\n| --- | ---: |\n| credible_engagers_decayed_28d | incomprehensible |\n"
    console.print_markdown(f"# A title\n\n{wide}\n- a list of words that is longer than a line\n")
    printed = capsys.readouterr().out
    assert "credible_engagers_decayed_28d" in printed
    assert "incomprehensible" in printed
    assert max(map(len, printed.splitlines())) <= 40
