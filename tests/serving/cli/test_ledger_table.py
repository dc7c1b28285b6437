"""The ledger on the terminal."""

import re
import sys
from types import SimpleNamespace

import pytest

from serving.cli import main, score_tables
from serving.snapshots.explanation import Interval


@pytest.fixture
def shown(home, monkeypatch, capsys):
    """Run `clout explain` and return what it prints and says."""

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["clout", "explain", *words, "--home", str(home.folder)])
        with pytest.raises(SystemExit) as ended:
            main.main()
        return ended.value.code, *capsys.readouterr()

    return run


def figures(text, sign=r"[+-]"):
    return [float(figure) for figure in re.findall(rf"({sign}\d+\.\d\d)\s*$", text, flags=re.MULTILINE)]


def test_families_add_up_to_the_score(shown):
    code, out, said = shown("user0001")
    assert (code, said) == (0, "")
    totals = [line for line in out.splitlines() if not line.startswith("  ")]
    (score,) = figures("\n".join(line for line in totals if line.startswith("Score ")), "")
    added = figures("\n".join(line[60:] for line in totals))
    assert sum(added) == pytest.approx(score, abs=0.05)
    assert "typical of peers" in out
    assert "For the score:\n  - " in out or "Against it:\n  - " in out
    assert max(map(len, out.splitlines())) <= 80


def test_the_text_tells_the_score_first_and_ends_with_the_evidence(shown):
    _, out, _ = shown("user0001", "--plain")
    first, *_, last = out.splitlines()
    assert re.match(r"user0001 has [\d.]+ of 100 points, (in the (top|lower) [\d.]+%|the highest) of ", first)
    assert "Expected to engage in the next 28 days: " in out
    assert re.fullmatch(r"Evidence: .*\. Model version \d+\.", last)
    assert "typical of peers" not in out
    assert len(out.splitlines()) <= 24


@pytest.mark.parametrize(
    ("percentile", "words"),
    [
        (100.0, "the highest of all users"),
        (99.97, "in the top 0.1% of users"),
        (97.3, "in the top 2.7% of users"),
        (62.2, "in the top 38% of users"),
        (20.4, "in the lower 20% of users"),
        (0.1, "in the lower 1% of users"),
    ],
)
def test_rank(percentile, words):
    assert score_tables._rank(percentile) == words


@pytest.mark.parametrize(
    ("expected", "words"),
    [
        (285.1, "285 different people."),
        (1.2, "1 person."),
        (0.78, "about 78 different people for every 100 users like this one."),
        (0.02, "about 2 different people for every 100 users like this one."),
        (0.001, "less than one person for every 100 users like this one."),
    ],
)
def test_expectation(expected, words):
    explained = SimpleNamespace(expected_audience=expected, interval=Interval(0, 3, 0.9))
    sentence = score_tables._expectation(explained, 28)
    assert sentence == f"Expected to engage in the next 28 days: {words} 90% of such users get 0 to 3."


def test_too_little_evidence_shows_no_number(shown):
    code, out, said = shown("user0003")
    assert (code, said) == (0, "")
    assert "user0003 has no score as of 2017-07-30. Too little is known" in out.replace("\n", " ")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nobody"], "error: 'nobody' is none of the 309 users"),
        (["user0001", "--as-of", "2016-01-01"], "error: no snapshot as of 2016-01-01T00:00:00Z; there are: 2017-07-30"),
        (["user0001", "--scope", "topic:fish"], "error: 'user0001' has no score of the scope 'topic:fish'"),
    ],
)
def test_the_command_refuses_unknown_users_and_scopes(shown, words, message):
    code, out, said = shown(*words)
    assert (code, out) == (2, "")
    assert message in said.replace("\n", " ")
