"""Licences: every requirement of Clout has a permissive licence, or is listed here with a reason.

Known vulnerabilities are not checked, as that needs a network and a service that learns what is installed. Versions are
pinned in `.ci/constraints.txt`, which `pip-audit -r` accepts.
"""

import re
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
EXTRAS = ("postgres", "spark")

PERMISSIVE = {
    "0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0", "ISC", "LLVM-exception", "MIT", "MIT-0", "MIT-CMU",
    "PSF-2.0", "Unlicense", "Zlib",
    # As written in classifiers and in older metadata.
    "3-Clause BSD License", "Apache 2.0", "Apache License 2.0", "Apache License, Version 2.0",
    "Apache Software License", "BSD", "BSD License", "ISC License (ISCL)", "MIT License",
    "Python Software Foundation License",
}  # fmt: skip
EXCEPTIONS = {
    "certifi": "MPL-2.0, which asks for the changes of its own files alone; used unchanged",
    "huey": "MIT, which its LICENSE file says and its metadata does not",
    "psycopg": "LGPL-3.0, a library used unchanged, and an extra that nobody needs without PostgreSQL",
    "psycopg-binary": "as psycopg",
    "skops": "MIT, which its LICENSE file says and its metadata does not",
    "tqdm": "MPL-2.0 and MIT, as certifi",
}


def direct_requirements(extras):
    """Return the direct requirements in `pyproject.toml`; metadata of an older installation may differ."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = project["dependencies"] + [line for extra in extras for line in project["optional-dependencies"][extra]]
    return [Requirement(line) for line in lines]


def all_requirements(extras=EXTRAS):
    """Return the names of all direct and transitive requirements of Clout with its extras on this machine."""
    licences_found, waiting = (
        {},
        [(canonicalize_name(item.name), frozenset(item.extras)) for item in direct_requirements(extras)],
    )
    while waiting:
        name, extras_wanted = waiting.pop()
        if name in licences_found and extras_wanted <= licences_found[name]:
            continue
        licences_found[name] = licences_found.get(name, frozenset()) | extras_wanted
        try:
            requirements = distribution(name).requires or []
        except PackageNotFoundError:  # only for an extra or for other machines
            continue
        for requirement in map(Requirement, requirements):
            environments = [{"extra": extra} for extra in (*licences_found[name], "")]
            if requirement.marker is None or any(map(requirement.marker.evaluate, environments)):
                waiting.append((canonicalize_name(requirement.name), frozenset(requirement.extras)))
    return sorted(licences_found)


def licences(metadata):
    """Return the licences in a distribution's metadata; an empty set if it has none."""
    if expression := metadata.get("License-Expression"):
        return set(re.split(r"\s+(?:AND|OR|WITH)\s+", expression.replace("(", "").replace(")", "")))
    named = [
        requirement for requirement in metadata.get_all("Classifier") or [] if requirement.startswith("License ::")
    ]
    names = {requirement.rpartition(" :: ")[2] for requirement in named} - {"OSI Approved"}
    return names or {line for line in (metadata.get("License") or "").strip().splitlines()[:1] if line}


def test_direct_and_transitive_requirements_are_listed():
    licences_found = all_requirements()
    assert {"lightgbm", "mlflow", "sqlalchemy", "starlette", "psycopg", "h11"} <= set(licences_found)
    assert not {"pytest", "ruff", "codespell", "hypothesis"} & set(licences_found)
    assert "psycopg" not in all_requirements(extras=())
    assert len(licences_found) > 60


@pytest.mark.parametrize("name", all_requirements())
def test_licences_are_permissive(name):
    try:
        metadata = distribution(name).metadata
    except PackageNotFoundError:
        pytest.skip(f"{name} is not installed here")
    licences_found = licences(metadata)
    if name in EXCEPTIONS:
        assert not licences_found or not licences_found <= PERMISSIVE, (
            f"{name} needs no exception any more: {licences_found}"
        )
        return
    assert licences_found, f"the metadata of {name} names no licence; expected one of {sorted(PERMISSIVE)}"
    assert licences_found <= PERMISSIVE, (
        f"{name} is licensed as {licences_found - PERMISSIVE}; expected one of {sorted(PERMISSIVE)}"
    )


def test_every_exception_is_still_needed():
    assert set(EXCEPTIONS) <= set(all_requirements())


class Metadata(dict):
    def get_all(self, name):
        return self.get(name)

    def __missing__(self, name):
        return None


@pytest.mark.parametrize(
    ("metadata", "licences_found"),
    [
        ({"License-Expression": "(MIT OR GPL-3.0-only) AND BSD-2-Clause"}, {"MIT", "GPL-3.0-only", "BSD-2-Clause"}),
        ({"License-Expression": "MIT", "License": "GPL"}, {"MIT"}),
        ({"Classifier": ["License :: OSI Approved :: MIT License", "Typing :: Typed"]}, {"MIT License"}),
        ({"Classifier": ["License :: OSI Approved"], "License": "GPLv3\nmore"}, {"GPLv3"}),
        ({}, set()),
    ],
)
def test_licences_are_read_from_metadata(metadata, licences_found):
    assert licences(Metadata(metadata)) == licences_found


def test_every_requirement_is_pinned():
    lines = (ROOT / ".ci" / "constraints.txt").read_text().splitlines()
    pinned = {canonicalize_name(line.partition("==")[0]) for line in lines if "==" in line and line[0] != "#"}
    assert set(all_requirements()) - pinned <= {"setuptools"}, "update .ci/constraints.txt as its first lines say"
