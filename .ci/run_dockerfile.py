"""Run the steps of the Dockerfile where no engine is: `run_dockerfile.py FOLDER [PACKAGES]`.

The folder stands for the image's root. PACKAGES is the `site-packages` of an environment into which pip installed this
project by the same constraints: the image's starts with links to what it needs, so that pip installs the rest alone.

Steps that change the system (apt-get, useradd) are left out; absolute paths of the image lie below the folder. What the
image would start is started on a free port, and has to pass the image's health check.
"""

import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
OF_THE_SYSTEM = ("apt-get", "useradd")
INSTALLED_ANEW = ("pip", "clout_score", "features", "training", "serving")
SECONDS = 120


def instructions() -> list[tuple[str, str]]:
    """Return every instruction of the Dockerfile with its text; continued lines are put together."""
    lines = (ROOT / "serving" / "Dockerfile").read_text().splitlines(keepends=True)
    text = re.sub(r"\\\n\s*", " ", "".join(line for line in lines if not line.startswith("#")))
    return [(kind, rest) for kind, _, rest in (line.partition(" ") for line in text.splitlines() if line.strip())]


def build(image: Path, packages: Path | None = None) -> dict[str, str]:
    """Run WORKDIR, COPY, RUN and ENV below a folder; return the environment of the image."""
    folder, environment = image, {}
    prefix = next(match[1] for _, text in instructions() if (match := re.search(r"-m venv (\S+)", text)))
    if packages is not None:
        link(packages, inside(image, prefix) / packages.relative_to(packages.parents[2]))
    for kind, text in instructions():
        if kind == "WORKDIR":
            folder = inside(image, text)
            folder.mkdir(parents=True, exist_ok=True)
        if kind == "COPY" and not text.startswith("--from"):
            *sources, target = shlex.split(text)
            for source in sources:
                copy(ROOT / source, folder / target / (Path(source).name if target.endswith("/") else ""))
        if kind == "RUN" and not any(command in text for command in OF_THE_SYSTEM):
            command = text.replace(prefix, f"{image}{prefix}").replace("python -m venv", f"{sys.executable} -m venv")
            subprocess.run(["bash", "-euo", "pipefail", "-c", command], cwd=folder, check=True)
        if kind == "ENV":
            pairs = (pair.split("=", 1) for pair in shlex.split(text))
            environment |= {name: value.replace(prefix, f"{image}{prefix}") for name, value in pairs}
    home = inside(image, environment["CLOUT_HOME"])
    home.mkdir(parents=True, exist_ok=True)
    path = environment["PATH"].replace("$PATH", os.environ["PATH"])
    return os.environ | environment | {"CLOUT_HOME": str(home), "PATH": path}


def inside(image: Path, path: str) -> Path:
    """Return where a path of the image lies."""
    return image / path.lstrip("/")


def copy(source: Path, target: Path) -> None:
    """Copy a file or a folder, without what the .dockerignore leaves out."""
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "Dockerfile*"), dirs_exist_ok=True)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)


def link(packages: Path, target: Path) -> None:
    """Link installed packages into another folder, without this project, and without pip, whose program is missing."""
    target.mkdir(parents=True)
    for package in packages.iterdir():
        if package.name.partition("-")[0] in INSTALLED_ANEW:
            continue
        if package.is_dir():
            shutil.copytree(package, target / package.name, copy_function=os.link)
        else:
            os.link(package, target / package.name)


def start(environment: dict[str, str]) -> None:
    """Make a key, start what the image starts, and wait until its health check passes."""
    home = environment["CLOUT_HOME"]
    subprocess.run(["clout", "keys", "add", "check", "--scope", "read"], cwd=home, env=environment, check=True)
    texts = dict(instructions())
    command, check = json.loads(texts["CMD"]), json.loads(texts["HEALTHCHECK"].partition("CMD ")[2])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    check = [part.replace(texts["EXPOSE"], port) for part in check]
    with subprocess.Popen([*command, "--port", port], cwd=home, env=environment) as service:
        until = time.monotonic() + SECONDS
        while subprocess.run(check, env=environment, stderr=subprocess.DEVNULL).returncode:
            if service.poll() is not None or time.monotonic() > until:
                service.kill()
                sys.exit("the service of the image does not answer")
            time.sleep(0.5)
        service.terminate()


if __name__ == "__main__":
    start(build(*(Path(folder).resolve() for folder in sys.argv[1:])))
    print("The steps of the Dockerfile work, and what it starts answers.")
