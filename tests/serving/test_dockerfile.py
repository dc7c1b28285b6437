"""The Dockerfile, checked without an engine: its sources and commands exist, and it does not run as root."""

import fnmatch
import json
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from serving.runtime.watcher import REFRESH_SECONDS
from tests import preloaded

ROOT = Path(__file__).parents[2]
FILE = ROOT / "serving" / "Dockerfile"
KNOWN = {"FROM", "WORKDIR", "COPY", "RUN", "ENV", "USER", "VOLUME", "EXPOSE", "HEALTHCHECK", "CMD"}


def instructions():
    """Return every instruction with its text; continued lines are joined and comments dropped."""
    text = "".join(line for line in FILE.read_text().splitlines(keepends=True) if not line.lstrip().startswith("#"))
    lines = [line for line in re.sub(r"\\\n\s*", " ", text).splitlines() if line.strip()]
    return [tuple(line.split(maxsplit=1)) for line in lines]


def of(kind):
    return [text for instruction, text in instructions() if instruction == kind]


def test_the_dockerfile_is_parsed():
    kinds = [kind for kind, _ in instructions()]
    assert set(kinds) == KNOWN
    assert kinds[0] == "FROM"
    assert kinds.count("FROM") == 2
    assert kinds[-1] == "CMD"


def test_base_images_are_slim_pinned_and_name_no_registry():
    images = [text.split()[0] for text in of("FROM")]
    assert len(set(images)) == 1
    assert re.fullmatch(r"python:3\.\d+-slim-[a-z]+", images[0])
    python = re.search(r"3\.\d+", images[0])[0]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert Version(python) in SpecifierSet(project["requires-python"])
    assert f"--python-version {python}" in (ROOT / ".ci" / "constraints.txt").read_text()
    assert not re.search(r"https?://|index-url", FILE.read_text())


def sources():
    copied = [shlex.split(text)[:-1] for text in of("COPY") if not text.startswith("--from")]
    return [source for instruction in copied for source in instruction]


def test_copied_files_exist_and_are_not_ignored():
    included = [line[1:] for line in FILE.with_suffix(".dockerignore").read_text().splitlines() if line.startswith("!")]
    assert sources()
    for source in sources():
        assert (ROOT / source).exists(), source
        assert source in included, source
    assert set(included) == set(sources())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    for needed in (project["project"]["readme"], *project["project"]["license-files"]):
        assert needed in sources()
    for package in project["tool"]["setuptools"]["packages"]["find"]["include"]:
        assert any(fnmatch.fnmatch(source, package) for source in sources()), package


def test_installed_packages_are_pinned_and_declared():
    (line,) = [text for text in of("RUN") if "pip install" in text]
    words = shlex.split(line)
    assert words[words.index("-c") + 1] == Path(".ci/constraints.txt").name
    extras = re.fullmatch(r"\.\[(\w+)\]", words[-1])[1]
    assert extras in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    (debian,) = [text for text in of("RUN") if "apt-get install" in text]
    assert "libgomp1" in debian
    assert "--no-install-recommends" in debian
    assert "rm -rf /var/lib/apt/lists/*" in debian


def test_it_runs_as_a_user_who_owns_only_the_home():
    kinds = [kind for kind, _ in instructions()]
    (user,) = of("USER")
    assert user not in ("root", "0")
    assert kinds.index("USER") > max(k for k, kind in enumerate(kinds) if kind in ("RUN", "COPY"))
    command = next(text for text in of("RUN") if "useradd" in text)
    (volume,) = of("VOLUME")
    assert f"install -d -o {user} -g {user} {volume}" in command
    assert command.split("&&")[0].split()[-1] == user
    assert f"CLOUT_HOME={volume}" in of("ENV")[0]


def test_its_command_exists_and_listens_on_all_addresses():
    command = json.loads(of("CMD")[0])
    assert command == ["clout", "serve", "--host", "0.0.0.0"]
    assert "clout" in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    script = f"import sys; from serving.cli.main import main; sys.argv = {[*command[:2], '--help']!r}; main()"
    run = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0
    assert "--host" in run.stdout


@pytest.fixture
def probe():
    """Return a function that runs the HEALTHCHECK against another port."""
    (check,) = of("HEALTHCHECK")
    command = json.loads(check.partition("CMD ")[2])
    assert command[:2] == ["python", "-c"]
    assert "curl" not in check

    def run(port):
        assert f"{of('EXPOSE')[0]}" in command[2]
        code = command[2].replace(of("EXPOSE")[0], str(port))
        return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).returncode

    return run


def test_the_health_check_fails_without_a_service(probe, home):
    serve = (
        "import sys; from pathlib import Path; from serving.app import serve; from training.home import Home; "
        f"serve(Home(Path(sys.argv[1])), '127.0.0.1', 0, refresh={REFRESH_SECONDS})"
    )
    command = [sys.executable, "-c", serve, str(home.folder)]
    with preloaded.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        line = next(line for line in process.stderr if "Listening on" in line)
        port = re.search(r"127\.0\.0\.1:(\d+)", line)[1]
        assert probe(port) == 0
        process.terminate()
        process.communicate(timeout=30)
    assert probe(port) != 0
