"""Picking a group: the form, the group with its picture, CSV, and refused requests."""

import csv
import re
import shutil
from html import unescape
from io import StringIO
from itertools import pairwise
from urllib.parse import urlencode

import pytest
from fastapi.testclient import TestClient

from serving.app import create_app
from serving.pages.pick import MOST_IN_MATRIX, pick_view
from serving.privacy.audit_check_and_reads import reads_about
from serving.selections.candidates import snapshot_candidates
from serving.selections.select import SelectionRequest, select
from serving.snapshots.repository import open_snapshot
from training.home import Home


@pytest.fixture
def home(tmp_path, selection_home):
    return Home(shutil.copytree(selection_home.folder, tmp_path / "home"))


@pytest.fixture(scope="module")
def view(selection_home):
    """Return the view of a group."""
    candidates = snapshot_candidates(open_snapshot(selection_home))
    return lambda **request: pick_view(select(candidates, SelectionRequest(**request)), {})


def members(page):
    table = page.text.partition('id="members"')[2].partition("</table>")[0]
    return [unescape(user) for user in re.findall(r'dir="auto" href="[^"]+">([^<]+)</a>', table)]


def test_it_picks_as_the_api_does(client):
    page, answer = client.get("/pick?k=4"), client.post("/v1/selections", json={"k": 4}).json()
    assert page.status_code == 200
    assert members(page) == [member["user"] for member in answer["members"]]
    for part in (
        "different people",
        "In 8 of 10 cases such a group reaches",
        "Highest expected audiences",
        "version 3",
    ):
        assert part in page.text


def test_no_group_is_picked_before_the_form_is_submitted(client):
    page = client.get("/pick")
    assert page.status_code == 200
    assert 'value="10"' in page.text
    assert 'id="members"' not in page.text
    assert len(members(client.get("/pick?k="))) == 10


def test_the_form_and_the_members_stay_with_the_snapshot_of_the_address(client):
    page = client.get("/pick?k=3&as_of=2017-07-30").text
    assert '<input type="hidden" name="as_of" value="2017-07-30">' in page
    links = re.findall(r'href="(/u/[^"]+)"', page)
    assert len(links) >= 3
    assert all("as_of=2017-07-30" in link for link in links)


def test_the_form_shows_the_constraints_of_the_url(client):
    first, second, *_ = members(client.get("/pick?k=5"))
    costs = f"{second}, 3\nuser0005;2\nuser0006\t1"
    body = {"k": 2, "exclude": [first], "include": ["user0005"], "count": "everybody", "budget": 5.0}
    query = body | {"exclude": first, "include": "user0005\n", "cost": costs, "scope": "all"}
    page = client.get(f"/pick?{urlencode(query)}")
    answer = client.post("/v1/selections", json=body | {"cost": {second: 3, "user0005": 2, "user0006": 1}}).json()
    assert members(page) == [member["user"] for member in answer["members"]]
    assert re.search(rf">{re.escape(first)}</a> excluded", page.text)
    assert f"{second}, 3\nuser0005;2" in unescape(page.text)
    assert '<option value="everybody" selected>' in page.text
    assert 'name="budget" type="number" min="0" step="any" value="5.0"' in page.text
    assert "without a cost are left out" in page.text


def test_a_group_of_a_topic(client):
    page = client.get("/pick?scope=topic:birds")
    assert set(members(page)) == {"user0001", "user0002"}
    assert '<option value="topic:birds" selected>' in page.text
    assert "trust the order more" in page.text


@pytest.mark.parametrize(
    ("query", "status", "message"),
    [
        ("k=ten", 422, "“How many users (k)” is 'ten'; expected a whole number."),
        ("k=2.5", 422, "“How many users (k)” is '2.5'; expected a whole number."),
        ("count=all", 422, "“Who counts as reached” is 'all'; expected credible or everybody."),
        ("k=0", 422, "“How many users (k)” is 0; expected a number of users from 1 to 1,000."),
        ("k=1001", 422, "“How many users (k)” is 1001; expected a number of users from 1 to 1,000."),
        ("k=2&budget=much", 422, "The budget is 'much'; expected a number."),
        ("k=2&budget=5", 422, "A budget without costs: give both, or neither."),
        ("k=2&budget=nan&cost=user0001,1", 422, "The budget is nan; expected a number above 0."),
        ("k=2&cost=user0001,1", 422, "Costs without a budget: give both, or neither."),
        ("k=2&cost=user0001,cheap&budget=3", 422, "The cost of 'user0001', in row 1, is 'cheap'; expected a number"),
        ("k=2&cost=user0001,-1&budget=3", 422, "The cost of 'user0001' is -1; expected a number of 0 or more."),
        ("k=2&cost=user0001&budget=3", 422, "The cost 'user0001' is not valid; expected a user, a comma and a number."),
        ("k=2&cost=,3&budget=3", 422, "The cost ',3' is not valid; expected a user, a comma and a number."),
        ("k=2&cost=a,1%0Aa,2&budget=3", 422, "The list of costs names 'a' twice"),
        ("k=2&cost=[1],1&budget=3", 422, "The cost '[1],1' is not valid: '[1]' is a JSON object or list"),
        ("exclude=a%0A[1]", 422, "Users to exclude: the user in line 2, '[1]', is a JSON object or list"),
        ("include=nobody", 422, "'nobody' is to be included, but is not among the users who can be selected"),
        ("include=user0001&exclude=user0001", 422, "'user0001' is to be included and excluded"),
        ("max_per_network=x", 422, "“At most of one network” is 'x'; expected a whole number."),
        ("max_per_network=1", 404, "a limit per network needs scores by network"),
        ("scope=topic:none", 404, "Nobody has a score of the scope"),
        ("as_of=2016-01-01", 404, "2016-01-01"),
    ],
)
def test_impossible_groups_are_reported(client, query, status, message):
    page = client.get(f"/pick?{query}")
    assert page.status_code == status
    assert message.lower() in unescape(page.text).lower()


def test_a_snapshot_without_audiences_says_what_to_do(scored_home, tmp_path, champion):
    home = Home(shutil.copytree(scored_home.folder, tmp_path / "scored"))
    page = TestClient(create_app(home), headers={"Accept": "text/html"}).get("/pick?k=10")
    assert page.status_code == 503
    assert "clout train" in page.text


def test_it_says_why_reaches_differ_from_expected_audiences(client):
    credible, everybody = (client.get(f"/pick?k=3&count={count}").text for count in ("credible", "everybody"))
    assert "only as far as established ones vouch for them." in credible
    assert "corrected by what past horizons brought." in everybody


def test_csv_has_the_members(client):
    answer = client.get("/pick?k=3&format=csv")
    assert answer.headers["content-disposition"] == 'attachment; filename="group-2017-07-30.csv"'
    rows = list(csv.DictReader(StringIO(answer.content.decode("utf-8-sig"))))
    picked = client.post("/v1/selections", json={"k": 3}).json()
    assert [float(row["reach"]) for row in rows] == pytest.approx([member["reach"] for member in picked["members"]])
    assert [float(row["alone"]) for row in rows] == pytest.approx([picked["overlap"][k][k] for k in range(3)])


def test_all_users_on_the_page_are_in_the_audit_log(client, home):
    page = client.get("/pick?k=2&exclude=user0007")
    client.close()
    for user in {*members(page), "user0007"}:
        assert reads_about(home, user).reads[0].route == "/pick"


def test_the_curve_rises_to_the_reach_of_the_group(view):
    group = view(k=30)
    points, selection = group.curve.points, group.selection
    assert [point.reach for point in points] == [member.reach for member in selection.members]
    assert all(after.y < before.y and after.x > before.x for before, after in pairwise(points))
    (low, _), *_, (high, _) = group.curve.marks
    assert low == 0
    assert high >= selection.reach_range.most
    assert points[-1].y == pytest.approx(100 - 100 * selection.reach / high, abs=0.01)
    assert group.curve.sizes[-1].size == 30
    assert len(group.curve.sizes) <= 10


def test_bars_are_relative_to_the_largest(view):
    group = view(k=5)
    assert max(bar.width for bar in group.bars) == 100
    assert group.bars[0].difference is None
    for bar, other in zip(group.bars[1:], group.selection.alternatives, strict=True):
        assert bar.difference == pytest.approx(other.reach / group.selection.reach - 1)


def test_small_groups_have_an_overlap_matrix_and_large_ones_a_list(view):
    small, large = view(k=MOST_IN_MATRIX), view(k=MOST_IN_MATRIX + 1)
    assert max(map(max, small.shades)) == 4
    assert all(row[k] == 0 for k, row in enumerate(small.shades))
    assert large.shades is None
    shared = [people for _, _, people in large.overlaps]
    assert shared == sorted(shared, reverse=True)
    assert len(shared) == 10


def test_one_user_is_a_group(view):
    assert (view(k=1).shades, view(k=1).overlaps, len(view(k=1).curve.points)) == (None, [], 1)
