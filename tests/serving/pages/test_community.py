"""The community page: its contents, and that reading it is recorded in the audit log."""

import dataclasses
import re
from datetime import timedelta
from html import unescape

import pytest
from fastapi.testclient import TestClient

from serving.app import create_app
from serving.middleware.api_keys import add_key
from serving.pages.formats import feature_name
from serving.privacy.audit_check_and_reads import reads_about
from serving.review.community_change import movers
from serving.review.distribution import distribution
from serving.review.drift import snapshot_drift
from serving.review.feature_effects import feature_effects
from serving.review.past_outcomes import past_outcomes, prediction_instant
from serving.runtime import state
from serving.scoring import score_rows
from serving.snapshots.repository import open_earlier, open_snapshot, write_snapshot
from training.records.opt_outs import opt_out
from training.registry.model_registry import promote, register

HTML = {"Accept": "text/html"}


def test_it_shows_the_distribution_of_scores(client, home):
    page = client.get("/community")
    assert page.status_code == 200
    figures = distribution(open_snapshot(home))
    assert f"less than <strong>{figures.median:.1f}</strong> points" in page.text
    users = re.findall(
        r'<td class="figure">(\d+)</td><td class="figure">[\d.]+\N{NO-BREAK SPACE}%</td></tr>', page.text
    )
    assert [int(count) for count in users] == [score_bin.users for score_bin in figures.bins if score_bin.users]


def test_the_navigation_links_to_it(client):
    assert '<a href="/community">Community</a>' in client.get("/").text
    assert '<a href="/community" aria-current="page">Community</a>' in client.get("/community").text


def test_a_scope_has_its_own_distribution(client):
    assert "Scope topic:birds" in client.get("/community?scope=topic:birds").text
    assert client.get("/community?scope=topic:cats").status_code == 404


@pytest.fixture
def reported(home, bundle, monkeypatch, report):
    """A client of a service whose champion has a report."""
    monkeypatch.setattr(state, "load_champion", lambda *_: (bundle, "4"))
    monkeypatch.setattr(state, "report", lambda *_: report)
    return TestClient(create_app(home), headers=HTML, raise_server_exceptions=False)


@pytest.fixture
def moved_home(home, bundle, rows):
    """A home with an earlier snapshot in which two users had other features."""
    earlier = rows.copy()
    people = earlier["user"].isin(["user0001", "user0008"])
    earlier.loc[people, ["acts_365d", "engagements_365d"]] = [30.0, 5.0]
    earlier.loc[people & (earlier["scope"] == "all"), list(bundle.features)] = 300.0
    before = open_snapshot(home).as_of - timedelta(days=28)
    write_snapshot(home, before, bundle, "3", score_rows(bundle, "3", earlier), earlier)
    return home


def test_slow_parts_are_loaded_afterwards_or_by_a_link(client):
    page = client.get("/community?scope=topic:birds").text
    for part in ("movers", "effects", "past", "drift", "versions"):
        url = f"/community?scope=topic%3Abirds&amp;part={part}"
        assert f'<section class="card" id="{part}" hx-get="{url}" hx-trigger="load"' in page
        assert f'<a href="{url}#{part}">' in page


def test_movers_have_reasons_and_are_in_the_audit_log(moved_home, client):
    page = client.get("/community?part=movers", headers={"Clout-Purpose": "model review"})
    figures = movers(open_earlier(moved_home, open_snapshot(moved_home)), open_snapshot(moved_home))
    assert {mover.user for mover in figures.fallen} == {"user0001", "user0008"}
    for mover in figures.fallen:
        assert f'<a class="id strong" dir="auto" href="/u/{mover.user}">{mover.user}</a>' in page.text
        assert mover.reasons_down[0] in unescape(page.text)
        reads = reads_about(moved_home, mover.user).reads
        assert [(read.route, read.purpose) for read in reads] == [("/community", "model review")]
    client.get("/community")
    assert len(reads_about(moved_home, "user0001").reads) == 1


def test_links_to_movers_stay_with_the_snapshot_of_the_address(moved_home, client):
    links = re.findall(r'href="(/u/[^"]+)"', client.get("/community?part=movers&as_of=2017-07-30").text)
    assert links
    assert all("as_of=2017-07-30" in link for link in links)


def test_reasons_of_movers_need_the_scope_for_explanations(moved_home, champion):
    app = create_app(moved_home)
    key = add_key(moved_home, "reader", "read")
    page = TestClient(app, headers=HTML | {"Authorization": f"Bearer {key}"}).get("/community?part=movers").text
    figures = movers(open_earlier(moved_home, open_snapshot(moved_home)), open_snapshot(moved_home))
    assert "user0001" in page
    assert figures.fallen[0].reasons_down[0] not in unescape(page)
    assert "scope <code>review</code>" in page


def test_hidden_users_are_no_movers(moved_home, client):
    opt_out(moved_home, "user0001")
    page = client.get("/community?part=movers").text
    assert "user0008" in page
    assert "user0001" not in page


def test_with_one_snapshot_there_are_no_movers(client):
    assert "No snapshot is earlier than 2017-07-30T00:00:00Z" in client.get("/community?part=movers").text


def test_effects_show_every_feature_with_its_numbers(client, home):
    page = client.get("/community?part=effects").text
    effects = feature_effects(open_snapshot(home))
    for effect in effects.features[:12]:
        assert feature_name(effect.feature) in unescape(page)
        assert f'<td class="figure">{effect.size:.1f}</td>' in page


@pytest.mark.fast
def test_drift_compares_the_score_and_every_monitored_feature(client, home):
    page = client.get("/community?part=drift").text
    drift = snapshot_drift(open_snapshot(home))
    assert f'<td class="figure">{drift.score.psi:.3f}</td><td>{drift.score.status}</td>' in page
    for feature in drift.features:
        assert (feature_name(feature.feature) in page) == (feature.monitored or feature.status != "stable")


def test_a_part_that_cannot_be_computed_says_why(client, home, bundle, rows):
    without = dataclasses.replace(bundle, facts={k: fact for k, fact in bundle.facts.items() if k != "reference"})
    write_snapshot(home, open_snapshot(home).as_of, without, "3", score_rows(without, "3", rows), rows)
    client = TestClient(create_app(home), headers=HTML)
    assert "was registered without a reference" in client.get("/community?part=drift").text


def test_calibration_and_attacks_come_from_the_report(reported):
    page = unescape(reported.get("/community").text)
    assert "It expected <strong>0.91</strong> people for every one that came" in page
    assert "also those with too little evidence for a score" in page
    assert "All 1 attacks stay within their limits." in page
    assert "20 members like" in page


def test_the_guaranteed_limit_of_manipulation_is_shown(reported, bundle):
    page = unescape(reported.get("/community").text)
    assert f"by at most <strong>{bundle.most_from_anybody:.1f} points</strong>" in page


def test_without_a_report_the_page_says_how_to_create_one(client):
    page = client.get("/community").text
    assert "<code>clout evaluate EVENTS</code> measures it" in page
    assert "<code>clout attack EVENTS</code> measures them" in page


def test_an_unknown_part_is_refused(client):
    assert client.get("/community?part=secrets").status_code == 422


def test_versions_link_to_their_pages(home, bundle):
    first, second = (register(home, bundle, {}, {}, {}, {}, tags={"gate": gate}) for gate in ("passed", "failed"))
    promote(home, first, None)
    promote(home, second, "the reviewers <agreed>")
    page = TestClient(create_app(home), headers=HTML).get("/community?part=versions").text
    assert re.findall(r'<a href="/models/(\d)">', page) == ["2", "1"]
    assert page.count("champion</span>") == 1
    assert "although it failed: the reviewers &lt;agreed&gt;" in page


def test_without_a_model_there_are_no_versions(client):
    assert "No model has been registered yet." in client.get("/community?part=versions").text


def test_past_predictions_are_shown_with_outcomes(moved_home, client):
    page = client.get("/community?part=past").text
    after = open_snapshot(moved_home)
    outcomes = past_outcomes(open_snapshot(moved_home, prediction_instant(moved_home, after)), after)
    assert f"<strong>{outcomes.predicted:,.0f}</strong> people in all" in page
    assert f"<strong>{outcomes.happened:,.0f}</strong> came" in page
    assert "Those with too little evidence for a score are left out" in page
    assert 'href="/community?as_of=2017-07-02T00%3A00%3A00Z&amp;part=past#past"' in page


def test_without_past_predictions_the_page_says_so(client):
    assert "No snapshot lies 28 days before 2017-07-30T00:00:00Z" in client.get("/community?part=past").text
