"""Comparing two users: the differences of their reasons add up to the difference of their scores."""

import pytest

from serving.pages.compare import compare_view
from serving.privacy.audit_check_and_reads import reads_about
from serving.snapshots.repository import open_snapshot


@pytest.mark.parametrize(("first", "second"), [("user0001", "user0009"), ("a/b", "user0150"), ("user0001", "user0001")])
def test_the_differences_add_up(home, first, second):
    view = compare_view(open_snapshot(home), first, second, "all")
    assert sum(round(10 * family.difference) for family in view.families) == round(10 * view.difference)
    assert view.difference == pytest.approx(round(view.users[1].score, 1) - round(view.users[0].score, 1))
    for family in view.families:
        exact = family.points[1] - family.points[0]
        assert family.difference == pytest.approx(exact, abs=0.15)
        assert sum(line.difference for line in family.lines) == pytest.approx(exact, abs=1e-6) or not family.lines


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
