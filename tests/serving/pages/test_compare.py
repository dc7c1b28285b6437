"""Comparing two users: the differences of their reasons add up to the difference of their scores."""

import re
from html import unescape

import pytest

from serving.pages.compare import compare_view
from serving.pages.waterfall import waterfall
from serving.privacy.audit_check_and_reads import reads_about
from serving.snapshots.repository import open_snapshot


@pytest.mark.parametrize(("first", "second"), [("user0001", "user0009"), ("a/b", "user0150"), ("user0001", "user0001")])
def test_the_differences_of_the_steps_add_up(home, first, second):
    view = compare_view(open_snapshot(home), first, second, "all")
    assert sum(round(10 * step.difference) for step in view.steps) == round(10 * view.difference)
    assert view.difference == pytest.approx(round(view.users[1].score, 1) - round(view.users[0].score, 1))
    for step in view.steps:
        assert step.difference == pytest.approx((step.points[1] or 0) - (step.points[0] or 0), abs=1e-9)
    for k, user in enumerate(view.users):
        steps = {step.name: step for step in view.steps if step.points[k] is not None}
        assert {name: step.points[k] for name, step in steps.items()} == {
            step.name: step.points for step in waterfall(user).steps
        }
        for fact in user.facts:
            figures = [figure for figure in steps[fact.label].figures if figure.points[k] is not None]
            assert {(figure.label, figure.values[k], figure.points[k]) for figure in figures} == {
                (row.label, row.value, row.points) for row in fact.rows
            }


def test_its_steps_and_its_rank_are_those_of_the_users_pages(client):
    page = unescape(client.get("/compare?a=user0001&b=user0009").text)
    for user in ("user0001", "user0009"):
        own = unescape(client.get(f"/u/{user}").text)
        steps = re.findall(r'<span class="name">([^<]+)</span>', own)
        assert steps[0] == "Start"
        assert all(f'<span class="name">{name}<' in page for name in steps[1:-1])
        label, rank = re.search(r"(Among \w+ users)</span><strong>(.*?)</strong>", own).groups()
        assert re.search(rf'{label}</th>(<td class="figure">[^<]*</td>)*<td class="figure">{rank}</td>', page)


def test_both_users_are_compared_and_recorded(client, home):
    page = client.get("/compare?a=user0001&b=a/b")
    assert page.status_code == 200
    assert 'href="/u/a%2Fb"' in page.text
    for user in ("user0001", "a/b"):
        assert reads_about(home, user).reads[0].route == "/compare"


def test_with_one_user_the_page_has_a_field_for_the_other(client):
    page = client.get("/compare?a=user0001")
    assert page.status_code == 200
    assert 'value="user0001"' in page.text
    assert "autofocus" in page.text
    assert 'id="comparison"' not in page.text
    assert client.get("/compare?a=nobody").status_code == 404
    assert client.get("/compare?a=user0001&b=nobody").status_code == 404


def test_too_little_evidence_is_reported(client):
    page = client.get("/compare?a=user0001&b=user0003").text
    assert "Too little is known about one of them for a score" in page
    assert "too little known" in page
