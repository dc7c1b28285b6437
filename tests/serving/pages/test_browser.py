"""The pages in a real browser, with a real service."""

import re
from urllib.parse import quote

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from serving.middleware.api_keys import add_key
from tests.serving.pages.conftest import HOSTILE_SCOPE, UNUSUAL_IDS

COMPARE = ("/compare", "/compare?a=user0001&b=user0009")
USERS = ("/u/user0001", "/u/user0003", "/u/nobody")
PATHS = (
    "/",
    *USERS,
    "/community",
    "/models/1",
    "/models/9",
    "/find",
    "/pick?k=3",
    "/pick?k=14&exclude=user0001",
    *COMPARE,
    "/cases",
    "/sign-in",
)
RULES_OF_COLOURS = ["color-contrast", "link-in-text-block"]


def test_the_search_box_leads_to_a_user_whose_ledger_adds_up(tab, address):
    tab.goto(address)
    tab.get_by_role("combobox", name="Id of a user").fill("user0001")
    tab.keyboard.press("Enter")
    expect(tab.get_by_role("heading", level=1)).to_have_text("user0001")
    *steps, score = [float(cell.get_attribute("data-points")) for cell in tab.locator("[data-points]").all()]
    assert round(10 * sum(steps)) == round(10 * score)
    tab.locator("details.step summary").first.click()
    assert tab.locator("details.step table").first.is_visible()


def test_times_are_in_the_time_zone_of_the_browser(tab, address):
    tab.goto(f"{address}/u/user0001")
    time = tab.locator("time[data-show=time]").first
    assert time.inner_text() == "30 Jul 2017, 09:00"
    assert time.get_attribute("title") == "30 Jul 2017, 00:00 UTC"


def test_the_theme_follows_the_system_until_the_reader_chooses(tab, address):
    background = "getComputedStyle(document.documentElement).backgroundColor"
    tab.emulate_media(color_scheme="light")
    tab.goto(address)
    light = tab.evaluate(background)
    tab.emulate_media(color_scheme="dark")
    dark = tab.evaluate(background)
    assert light != dark
    switch = tab.get_by_role("button", name="Theme")
    switch.click()
    assert tab.evaluate(background) == light
    tab.reload()
    assert tab.evaluate(background) == light
    switch.click()
    switch.click()
    assert tab.evaluate(background) == dark


def serious_issues(violations):
    """Return the serious accessibility violations that axe reports on a page, each with its elements."""
    serious = [item for item in violations if item["impact"] in ("serious", "critical")]
    return {item["id"]: [node["html"] for node in item["nodes"]] for item in serious}


def test_no_page_has_a_serious_accessibility_violation(tab, address):
    """The dark theme differs in colours only, so it is checked by the rules about colours only."""
    for path in PATHS:
        tab.emulate_media(color_scheme="light")
        tab.goto(address + path)
        tab.evaluate("for (const step of document.querySelectorAll('details')) step.open = true")
        assert serious_issues(Axe().run(tab).response["violations"]) == {}, path
        tab.emulate_media(color_scheme="dark")
        options = {"runOnly": {"type": "rule", "values": RULES_OF_COLOURS}, "resultTypes": ["violations"]}
        assert serious_issues(tab.evaluate("options => axe.run(options)", options)["violations"]) == {}, f"{path}, dark"


def test_no_page_is_wider_than_the_screen(tab, address):
    for path in PATHS:
        tab.goto(address + path)
        for width in (390, 1280, 1920):
            tab.set_viewport_size({"width": width, "height": 800})
            assert tab.evaluate("document.documentElement.scrollWidth") <= width, path


def test_the_navigation_and_the_reasons_of_a_case_fit_their_boxes(tab, address):
    answer = tab.request.post(f"{address}/v1/users/user0150/cases", data={"message": "No."})
    for width in (320, 400, 1280):
        tab.set_viewport_size({"width": width, "height": 800})
        tab.goto(f"{address}/cases/{answer.json()['case']}")
        boxes = [link.bounding_box() for link in tab.locator(".bar nav a").all()]
        assert len(boxes) == 6
        assert all(box["x"] >= 0 and box["x"] + box["width"] <= width for box in boxes)
        assert tab.locator(".reasons .points").evaluate_all(
            "all => all.every(one => one.scrollWidth <= one.clientWidth)"
        )


def test_parts_loaded_later_do_not_move_the_focus(tab, address):
    tab.goto(f"{address}/community")
    tab.get_by_role("link", name="Find").focus()
    tab.wait_for_load_state("networkidle")
    expect(tab.locator("#versions table")).to_be_visible()
    expect(tab.get_by_role("link", name="Find")).to_be_focused()


def test_moving_a_slider_shows_the_predicted_score(tab, address):
    tab.goto(f"{address}/u/user0001")
    tab.get_by_role("link", name="Try changes").click()
    slider = tab.get_by_role("slider", name="Days without any activity")
    slider.focus()
    with tab.expect_response(lambda response: "part=outcome" in response.url) as answer:
        slider.press("End")
    expect(tab.locator("#outcome")).to_contain_text("would be")
    expect(tab.locator("output").last).to_have_text("90")
    assert answer.value.text().startswith('<div id="outcome"')


def test_hostile_text_of_a_case_is_shown_as_text(tab, address):
    text = '<img src=x onerror="document.title=1"> {{ 7*7 }} \N{RIGHT-TO-LEFT OVERRIDE}txt'
    tab.goto(f"{address}/u/user0002")
    tab.get_by_label("What is wrong").fill(text)
    tab.get_by_role("button", name="Open a case").click()
    expect(tab.locator("blockquote")).to_contain_text(text)
    assert tab.title() == "user0002 · Clout"


@pytest.mark.parametrize("user", ["a/b", "ünï/çødé 🙂", "..", "'; --", "who?me#1"])
def test_unusual_ids_can_be_searched_and_linked(tab, address, user):
    tab.goto(f"{address}/u/user0001")
    tab.get_by_role("combobox", name="Id of a user").fill(user)
    tab.keyboard.press("Enter")
    expect(tab.get_by_role("heading", level=1)).to_have_text(user)
    tab.get_by_role("link", name="Show the readings").click()
    expect(tab.locator("#reads table")).to_be_visible()


@pytest.mark.parametrize("user", ["user0001", "user0002", "user0003"])
def test_the_page_of_a_user_prints_on_two_sheets(tab, address, user):
    tab.goto(f"{address}/u/{user}?part=change&part=what-if&part=reads")
    sheets = re.findall(rb"/Type\s*/Page\b", tab.pdf(format="A4", prefer_css_page_size=True))
    assert len(sheets) <= 2


def test_the_page_of_a_user_works_without_scripts(browser, address):
    context = browser.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto(f"{address}/u/user0001")
    tab.get_by_role("link", name="Try changes").click()
    tab.get_by_role("button", name="Compute").click()
    assert "part=what-if" in tab.url
    assert tab.locator("#outcome").is_visible()
    context.close()


def test_a_group_is_picked_without_scripts_and_on_a_small_phone(browser, address):
    context = browser.new_context(java_script_enabled=False, viewport={"width": 360, "height": 740})
    tab = context.new_page()
    tab.goto(f"{address}/find")
    tab.get_by_role("link", name="pick a group").click()
    tab.get_by_label("How many users (k)").fill("3")
    tab.get_by_text("Include, exclude, budget").click()
    hostile = UNUSUAL_IDS["user0283"]
    tab.get_by_label("Users to include").fill(f"user0001\n{hostile}")
    tab.get_by_role("button", name="Pick").click()
    expect(tab.locator("#members tbody tr")).to_have_count(3)
    expect(tab.locator("#members tbody th").nth(1)).to_have_text(hostile)
    expect(tab.locator("#overlap tbody td")).to_have_count(3 * 4)
    assert "k=3" in tab.url
    assert tab.locator("body").evaluate("body => body.scrollWidth") <= 360
    context.close()


def test_a_case_is_resolved_from_the_queue(tab, address):
    tab.goto(f"{address}/u/user0004")
    tab.get_by_label("What is wrong").fill("These are two people.")
    tab.get_by_role("button", name="Open a case").click()
    tab.get_by_role("link", name="Cases").click()
    tab.get_by_role("row", name="user0004").get_by_role("link").click()
    tab.get_by_role("radio", name="Acknowledged").check()
    tab.get_by_label("Reasons").fill("Identities are merged in the next run.")
    tab.get_by_role("button", name="Resolve the case").click()
    expect(tab.get_by_role("heading", name="Acknowledged")).to_be_visible()


def test_users_are_filtered_sorted_and_downloaded(tab, address):
    tab.goto(f"{address}/find")
    tab.get_by_label("Id contains").fill("user01")
    expect(tab.locator("#results strong").first).to_have_text("100")
    tab.get_by_role("link", name="Expected", exact=False).first.click()
    assert "contains=user01" in tab.url
    assert "sort=expected_audience" in tab.url
    expect(tab.locator("th[aria-sort=descending]")).to_contain_text("People expected")
    with tab.expect_download() as download:
        tab.get_by_role("link", name="Download CSV").click()
    assert len(download.value.path().read_text().splitlines()) == 101


def test_an_inverted_range_is_reported_beside_its_fields(tab, address):
    tab.goto(f"{address}/find")
    tab.get_by_label("Score, at least").fill("90")
    tab.get_by_label("Score, at most").fill("10")
    expect(tab.locator("#results .alert")).to_contain_text("give the smaller one")
    tab.get_by_label("Score, at most").fill("95")
    expect(tab.locator("#results strong").first).to_be_visible()


def test_a_part_that_fails_links_to_the_error_page(tab, address):
    tab.goto(f"{address}/u/user0001")
    tab.route("**/*part=what-if*", lambda route: route.fulfill(status=503, body="gone"))
    tab.get_by_role("link", name="Try changes").click()
    tab.wait_for_url("**/*part=what-if*")


def test_two_typed_users_are_compared(tab, address):
    tab.goto(f"{address}/compare")
    with tab.expect_response(lambda response: "part=suggestions" in response.url):
        tab.get_by_label("First user").press_sequentially("user000", delay=5)
    expect(tab.locator("#ids-a option")).to_have_count(8)
    tab.get_by_label("First user").fill("user0001")
    tab.get_by_label("Second user").fill("user0009")
    tab.keyboard.press("Enter")
    expect(tab.get_by_role("heading", name="What makes the difference")).to_be_visible()
    parts = [float(cell.get_attribute("data-points")) for cell in tab.locator("[data-points]").all()]
    total = float(tab.locator("[data-total]").get_attribute("data-total"))
    assert round(10 * sum(parts)) == round(10 * total)


@pytest.mark.parametrize("user", UNUSUAL_IDS.values(), ids=range(len(UNUSUAL_IDS)))
def test_ids_in_any_script_and_length_are_shown_as_text(tab, address, user):
    tab.set_viewport_size({"width": 390, "height": 800})
    for path in (f"/u/{quote(user, safe='')}", f"/find?contains={quote(user)}", f"/compare?a=user0001&b={quote(user)}"):
        tab.goto(address + path)
        expect(tab.locator("main")).to_contain_text(user[:30])
        assert tab.title().endswith("Clout")
        assert tab.evaluate("document.documentElement.scrollWidth") <= 390
        if path.startswith("/u/"):
            direction = tab.get_by_role("heading", level=1).evaluate("element => getComputedStyle(element).direction")
            assert direction == ("rtl" if user in ("مريم", "דוד לוי") else "ltr")


def test_a_hostile_topic_is_shown_as_text(tab, address):
    tab.goto(f"{address}/u/user0001")
    tab.get_by_role("link", name=HOSTILE_SCOPE).click()
    expect(tab.locator("header.title bdi")).to_have_text(HOSTILE_SCOPE)
    tab.goto(f"{address}/find")
    tab.get_by_label("Network or topic").select_option(HOSTILE_SCOPE)
    expect(tab.locator("#results strong").first).to_have_text("2")
    assert tab.title() == "Find · Clout"


def tab_to(tab, text):
    """Press Tab until an element with a text or label has the focus; return whether its focus outline is visible."""
    for _ in range(80):
        tab.keyboard.press("Tab")
        script = "e => (e.innerText || e.labels?.[0]?.innerText || '') + ' ' + (e.name || '')"
        if text in tab.evaluate(f"({script})(document.activeElement)"):
            return tab.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    raise AssertionError(f"the tabulator never came to {text}")


def test_all_controls_are_reachable_by_keyboard(tab, address):
    tab.goto(f"{address}/u/user0001")
    assert tab_to(tab, "Skip to the content")
    tab.keyboard.press("Enter")
    assert tab_to(tab, tab.locator("details.step .name").first.inner_text())
    tab.keyboard.press("Enter")
    expect(tab.locator("details.step table").first).to_be_visible()
    assert tab_to(tab, "Explain the last change")
    tab.keyboard.press("Enter")
    expect(tab.locator("#change")).to_be_focused()
    assert tab_to(tab, "Try changes")
    tab.keyboard.press("Enter")
    expect(tab.locator("#what-if")).to_be_focused()
    assert tab_to(tab, "away_days")
    tab.keyboard.press("ArrowRight")
    expect(tab.locator("#outcome")).to_contain_text("would be")
    assert tab_to(tab, "message")
    tab.keyboard.type("Written without a mouse.")
    assert tab_to(tab, "Open a case")
    tab.keyboard.press("Enter")
    expect(tab.locator("blockquote")).to_have_text("Written without a mouse.")


def test_signing_in_and_out(browser, home, serving):
    key = add_key(home, "reviewer", "review")
    context = browser.new_context()
    tab = context.new_page()
    with serving(home) as address:
        tab.goto(f"{address}/u/user0001")
        tab.get_by_label("Key").fill("wrong")
        tab.get_by_role("button", name="Sign in").click()
        expect(tab.get_by_role("alert")).to_contain_text("not a key of this service")
        tab.get_by_label("Key").fill(key)
        tab.get_by_label("Purpose").select_option("model review")
        tab.get_by_role("button", name="Sign in").click()
        expect(tab.get_by_role("heading", level=1)).to_have_text("user0001")
        assert tab.evaluate("document.cookie") == ""
        tab.get_by_label("What is wrong").fill("No.")
        tab.get_by_role("button", name="Open a case").click()
        expect(tab.locator("blockquote")).to_have_text("No.")
        tab.get_by_role("button", name="Sign out").click()
        tab.goto(address)
        expect(tab.get_by_role("heading", level=1)).to_have_text("Sign in")
    context.close()
