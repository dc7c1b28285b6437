"""Pages: links, anchors and named files exist, and no page contains machine paths or registry hosts."""

import json
import re
from pathlib import Path

import pytest
from run_pages import RUNNABLE, blocks, pages

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
WITH_LINKS = [*pages(), ROOT / "CONTRIBUTING.md"]
PUBLISHED = [
    *WITH_LINKS,
    ROOT / "CHANGELOG.md",
    ROOT / "pyproject.toml",
    *filter(Path.is_file, (ROOT / ".ci").iterdir()),
]
LINK = re.compile(r"\]\(([^)\s]+)\)")
MOST_BYTES_OF_THE_README = 6_200
NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?(?:e-\d+)?")
MEASURED = re.compile(r"(?<![\w.])\d[\d,.]* (?:ms|s|microseconds|milliseconds)\b|\b0\.\d{3}\b")
ORIGIN = re.compile(
    r"`(?:time |python )?(?:tests/|docs/|notebooks/|clout |\d\d_)|(?:measurements|scale|credibility)\.md"
)


def name(page):
    return str(page.relative_to(ROOT))


def prose(page):
    """Return a page without its fenced blocks."""
    return re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def anchors(page):
    """Return the anchors of a page's headings, as Markdown renderers make them."""
    headings = re.findall(r"^#+ (.+)$", prose(page), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", WITH_LINKS, ids=name)
def test_links_point_to_existing_pages_and_headings(page):
    for link in LINK.findall(prose(page)):
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_every_page_is_one_click_from_the_readme():
    links = {link.partition("#")[0] for link in LINK.findall(README)}
    assert [name(page) for page in pages() if page.name != "README.md" and name(page) not in links] == []


def test_the_readme_is_short():
    assert len(README.encode()) < MOST_BYTES_OF_THE_README


@pytest.mark.parametrize("page", [page for page in pages() if page.parent.name != "reference"], ids=name)
def test_measurements_are_beside_their_commands(page):
    sections = re.split(r"^(?=#+ )", prose(page), flags=re.MULTILINE)
    assert [text for text in sections if MEASURED.search(text) and not ORIGIN.search(text)] == []


@pytest.mark.parametrize("page", WITH_LINKS, ids=name)
def test_files_named_on_a_page_exist(page):
    paths = re.findall(r"`((?:features|training|serving|tests|docs)/[\w./]*\w)`", page.read_text())
    assert [path for path in paths if "mbox" not in path and not (ROOT / path).exists()] == []


@pytest.mark.parametrize("page", PUBLISHED, ids=name)
def test_no_page_names_a_registry_or_a_machine(page):
    text = page.read_text()
    assert not re.search(r"https?://(?!www\.apache\.org|127\.0\.0\.1|HOST/|clout\.example)\S+", text)
    assert not re.search(r"(?<![\w.])/(home|root|work|Users|opt|tmp)/", text)


def test_the_gate_runs_two_commands_of_the_readme():
    for command in ("&& .venv/bin/python -m pytest", "&& .venv/bin/clout demo"):
        assert sum(line.endswith(command) for line in README.splitlines()) == 1
    gate = (ROOT / ".ci" / "run").read_text()
    assert r"readme '&& \.venv/bin/python -m pytest$'" in gate
    assert r"readme '&& \.venv/bin/clout demo$'" in gate


@pytest.mark.parametrize("page", pages(), ids=name)
def test_blocks_run_or_state_why_not(page):
    for block in blocks(page):
        if block.language in RUNNABLE and not block.runs:
            reason = block.note.removeprefix("not run:").removeprefix("file:").strip()
            assert len(reason) > 5, block.text
        assert block.language, f"a block without a language: {block.text}"


def test_sections_have_the_figures_of_the_claims():
    page = (ROOT / "docs" / "explained" / "measurements.md").read_text()
    table, sections = page.split("\n## ", 1)
    claims = [line.split(" | ") for line in table.splitlines() if line.startswith("| [")]
    figures = {number for claim in claims for number in NUMBER.findall(claim[1])}
    assert figures - set(NUMBER.findall(sections)) == set()
    assert len(claims) > 10


def test_page_and_notebook_have_the_stored_figures_of_the_frontier():
    stored = json.loads((ROOT / "docs" / "pictures" / "frontier.json").read_text())
    notebook = json.loads((ROOT / "notebooks" / "03_model.ipynb").read_text())
    sources = "".join("".join(cell["source"]) + "\n" for cell in notebook["cells"])
    gains = ("worst gain", "fresh_accounts", "pod", "aged_farm", "old_accounts")
    for name, community in stored.items():
        for row in community["rows"]:
            bound = "none" if row["bound"] is None else f"{row['bound']:g}"
            quality = [f"{row[key]:.3f}" for key in ("auc", "ndcg_100", "r2_log")]
            cells = [f"{name}, {community['as_of']}", bound, *quality, *(f"{row[key]:.1f}" for key in gains)]
            line = f"| {' | '.join(cells)} |\n"
            assert line in (ROOT / "docs" / "explained" / "measurements.md").read_text()
            assert line in sources
