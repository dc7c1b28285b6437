"""The changes described by how-to pages are made in a copy of the project, and have the promised effects."""

import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from run_pages import blocks, pages

ROOT = Path(__file__).parents[2]
ADD = re.compile(r"add: (?P<file>\S+)(?: (?P<side>after|before): (?P<line>.+))?")
PAGES = {page.stem: page for page in pages() if page.parent.name == "how-to"}
CATALOGUE = "tests/features/catalogue/test_catalogue.py"
MAILING_LIST = "tests/features/importers/test_mbox.py"
ATTACKS = "tests/training/robustness/test_attacks.py"
FINGERPRINTS = "tests/features/catalogue/fingerprints.json"


def added_text(block):
    """Return the text that a block adds; for a diff, its lines without the sign."""
    return re.sub(r"^\+", "", block.text, flags=re.MULTILINE) if block.language == "diff" else block.text


def make_changes(page, folder):
    """Add the blocks of a page to the files named in their comments, beside the first line equal to the stated one."""
    for block in blocks(page):
        if change := ADD.match(block.note):
            file = folder / change["file"]
            if not change["line"]:
                file.write_text(added_text(block))
                continue
            lines = file.read_text().splitlines(keepends=True)
            at = next(n for n, line in enumerate(lines) if line.strip() == change["line"])
            lines.insert(at + (change["side"] == "after"), added_text(block))
            file.write_text("".join(lines))


def run(folder, *command):
    """Run a command in the copy, which is imported instead of the checkout; return its output including errors."""
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(folder), "MPLBACKEND": "agg"}
    return subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )


def test(folder, *arguments):
    """Run tests in the copy and return their output."""
    return run(folder, "-m", "pytest", "-q", "-n0", "-p", "no:cacheprovider", *arguments).stdout


test.__test__ = False


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A copy of the project with the changes of all three pages."""
    folder = tmp_path_factory.mktemp("copy")
    for layer in ("features", "training", "serving", "tests"):
        shutil.copytree(ROOT / layer, folder / layer, ignore=shutil.ignore_patterns("__pycache__", "benchmarks"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    for name in ("add-a-feature", "add-a-source", "add-an-attack"):
        make_changes(PAGES[name], folder)
    return folder


@pytest.fixture(scope="module")
def fingerprint(copy):
    """Add the fingerprint that the failing test of the catalogue prints; return its file."""
    message = re.search(r"quotes_90d is new: add it with (\w+) to (\S+)\.", test(copy, CATALOGUE, "-k", "quotes_90d"))
    file = copy / message[2]
    file.write_text(file.read_text().replace("{", f'{{"quotes_90d": "{message[1]}",', 1))
    return file


@pytest.fixture(scope="module")
def passed(copy, fingerprint):
    """Return the number of passed tests by file, among those that the pages name; fail if any test fails."""
    names = "test_catalogue and (quotes_90d or every) or test_mbox or mass_likes"
    output = test(copy, CATALOGUE, MAILING_LIST, ATTACKS, "-vv", "-k", names)
    assert re.search(r"\d passed", output), output
    assert " failed" not in output, output
    return Counter(re.findall(r"^(\S+?)::.* PASSED", output, re.MULTILINE))


def test_a_feature_is_added_in_fewer_than_thirty_lines():
    lines = [
        line for block in blocks(PAGES["add-a-feature"]) if ADD.match(block.note) for line in block.text.split("\n")
    ]
    assert len([line for line in lines if line.strip()]) < 15


def test_the_feature_of_the_page_passes_the_named_tests(copy, fingerprint, passed):
    assert fingerprint == copy / FINGERPRINTS
    assert passed[CATALOGUE] > 1


def test_the_feature_of_the_page_is_computed_and_has_sentences(copy, tmp_path):
    (block,) = (block for block in blocks(PAGES["add-a-feature"]) if block.language == "python")
    code = "from features.simulation import Community, simulate; from pathlib import Path\n"
    code += "simulate(Community(users=60, days=60), Path('events'))\n" + block.text
    code += "from features.catalogue import CATALOGUE, INPUTS\nassert 'quotes_90d' in INPUTS.names\n"
    code += "print([CATALOGUE['quotes_90d'].sentence(n, {}) for n in (0, 1, 2)])"
    output = run(copy, "-c", code).stdout
    assert "Name: quotes_90d, dtype: float64" in output, output
    assert "'Nobody quoted a post in the last 90 days.', '1 quote came in the last 90 days.', '2 quotes came" in output


def test_the_source_of_the_page_imports_and_has_a_command(copy, passed):
    assert passed[MAILING_LIST] == 1
    output = run(copy, "-c", "from serving.cli.main import main; main()", "import", "mbox", "--help").stdout
    assert "Import a mailing list" in output, output


def test_the_attack_of_the_page_passes_the_named_tests(passed):
    assert passed[ATTACKS] > 0


@pytest.mark.parametrize("page", pages(), ids=lambda page: f"{page.parent.name}/{page.name}")
def test_these_tests_use_all_code_blocks(page):
    for block in blocks(page):
        if block.language in ("py", "diff"):
            assert ADD.match(block.note), block.text
            assert page in PAGES.values()
