"""The ledger on the terminal: `clout explain`."""

import re
import sys
from dataclasses import replace

import pytest

from serving.cli import main
from serving.cli.score_tables import START, WHY, print_explanation
from serving.snapshots.brief import CHANGE
from serving.snapshots.facts import Fact
from serving.snapshots.repository import open_snapshot
from serving.snapshots.story import TITLES, Section


@pytest.fixture
def run_explain(home, monkeypatch, capsys):
    """Return a function that runs `clout explain` and returns its output and messages."""

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["clout", "explain", *words, "--home", str(home.folder)])
        with pytest.raises(SystemExit) as ended:
            main.main()
        return ended.value.code, *capsys.readouterr()

    return run


def test_printed_facts_add_up_to_the_printed_score(run_explain):
    code, out, err = run_explain("user0004")
    assert (code, err) == (0, "")
    assert len(re.findall(f"^{WHY}:$", out, flags=re.MULTILINE)) == 1
    figures = re.findall(r"^ {2,4}([+-]?\d+\.\d)  ([A-Z\d])", out, flags=re.MULTILINE)
    base, *parts, score = (round(10 * float(figure)) for figure, _ in figures)
    assert base + sum(parts) == score == round(10 * float(re.search(r"score of \S+ is (\S+)", out)[1]))
    assert len(parts) >= 2
    assert "What raises it" not in out
    assert max(map(len, out.splitlines())) <= 80


def test_the_text_states_the_time_of_a_newcomer_once(home, capsys):
    explanation = open_snapshot(home).explain("user0004")
    time = "since this user appeared 3 days ago"
    sections = (Section("score", "", ("A score.",)), Section("evidence", "", (f"It rests on 2 {time}.",)))
    facts = (Fact(f"2 came {time}.", 1.0, (), ()), Fact(f"None came {time}.", -30.0, (), ()))
    print_explanation(replace(explanation, story=sections, facts=facts, base=28.0, score=0.0))
    assert capsys.readouterr().out.startswith(
        f"A score.\n{WHY}:\n   28.0  {START}\n   +1.0  2 came {time}.\n  -30.0  None came since this user appeared.\n"
        "   +1.0  Raised to 0, the lowest score.\n    0.0  The score.\nIt rests on 2 since this user appeared.\n"
    )


def test_the_text_has_the_score_first_and_then_possible_changes(run_explain):
    code, out, err = run_explain("user0001", "--plain")
    assert (code, err) == (0, "")
    standing = (
        r"The influence score of user0001 is [\d.]+ out of 100, as of 2017-07-30. It means that about 1 person is "
    )
    assert re.match(standing, " ".join(out.split()))
    titles = re.findall(r"^(What .+?):", out, flags=re.MULTILINE)
    assert titles[-1] == CHANGE
    assert {*titles[:-1]} <= {f"{TITLES['for']} most", f"{TITLES['against']} most"}
    assert WHY not in out
    assert len(out.splitlines()) <= 10
    assert max(map(len, out.splitlines())) <= 80


def test_too_little_evidence_shows_no_number(run_explain):
    code, out, err = run_explain("user0003")
    assert (code, err) == (0, "")
    assert "user0003 has no score as of 2017-07-30. How sure it is: - Too little is known" in " ".join(out.split())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nobody"], "error: 'nobody' is none of the 309 users"),
        (["user0001", "--as-of", "2016-01-01"], "error: no snapshot as of 2016-01-01T00:00:00Z; there are: 2017-07-30"),
        (["user0001", "--scope", "topic:fish"], "error: 'user0001' has no score of the scope 'topic:fish'"),
    ],
)
def test_the_command_refuses_unknown_users_and_scopes(run_explain, words, message):
    code, out, err = run_explain(*words)
    assert (code, out) == (2, "")
    assert message in err.replace("\n", " ")
