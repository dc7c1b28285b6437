"""The page of the community: what it shows, and that reading it is in the audit log."""

import re

from serving.review.distribution import distribution
from serving.snapshots.repository import open_snapshot


def test_it_shows_the_distribution_of_scores(client, home):
    page = client.get("/community")
    assert page.status_code == 200
    figures = distribution(open_snapshot(home))
    assert f"less than <strong>{figures.median:.1f}</strong> points" in page.text
    users = re.findall(
        r'<td class="figure">(\d+)</td><td class="figure">[\d.]+\N{NO-BREAK SPACE}%</td></tr>', page.text
    )
    assert [int(count) for count in users] == [score_bin.users for score_bin in figures.bins if score_bin.users]


def test_the_navigation_leads_to_it(client):
    assert '<a href="/community">Community</a>' in client.get("/").text
    assert '<a href="/community" aria-current="page">Community</a>' in client.get("/community").text


def test_a_scope_has_its_own_distribution(client):
    assert "Scope topic:birds" in client.get("/community?scope=topic:birds").text
    assert client.get("/community?scope=topic:cats").status_code == 404
