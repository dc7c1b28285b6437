"""Run every command and Python block of the README and of docs/, on one simulated community, page after page.

`python docs/run_pages.py` runs them and writes what they print into the pages: a block of `text` after a block of
commands is what the last of them prints, up to a line `...` if there is one. An HTML comment before a block says more:

    <!-- file: NAME -->       the block is written to a file of that name
    <!-- exit: 3 -->          the last command ends with that code
    <!-- not run: REASON -->  nothing is run
"""

import os
import re
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

ROOT = Path(__file__).parents[1]
FIRST = ["docs/start/your-own-data.md", "README.md", "docs/start/next-month.md", "docs/use/api.md"]
BLOCK = re.compile(r"(?:^<!-- (?P<note>.*?) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
RUNNABLE = ("sh", "python")
MARK = "\x1e"
SECONDS_PER_PAGE = 1800
PORT = "8000"
QUICK_TRAINING = "[evaluation]\nresamples = 20\n\n[gate]\nattacks = false\n\n[panel]\ncutoffs = 7\n"
QUICK = {
    "--users 1000": "--users 400",
    "clout train events": "clout train events --config quick.toml",
    "[outcome]\n": f"{QUICK_TRAINING}\n[outcome]\n",
    "trees = 100": "trees = 40",
}
ON_EXIT = "trap 'kill $(jobs -p) 2>/dev/null; wait' EXIT"


@dataclass(frozen=True)
class Block:
    """A fenced block of a page: its language, its text, and the note of the comment before it."""

    language: str
    text: str
    note: str
    start: int
    end: int

    @property
    def runs(self) -> bool:
        """Whether the block holds commands or Python to run."""
        return self.language in RUNNABLE and not self.note.startswith(("not run:", "file:"))


@dataclass(frozen=True)
class Result:
    """What one command printed, and its exit code beside the one that its page states."""

    command: str
    output: str
    code: int
    expected: int


def pages() -> list[Path]:
    """Return the README and all pages of docs/, in the order in which they run."""
    every = ["README.md", *sorted(str(page.relative_to(ROOT)) for page in (ROOT / "docs").rglob("*.md"))]
    return [ROOT / page for page in (*FIRST, *(page for page in every if page not in FIRST))]


def blocks(page: Path) -> list[Block]:
    """Return the fenced blocks of a page, in order."""
    return [
        Block(match["language"], match["text"], match["note"] or "", match.start("text"), match.end("text"))
        for match in BLOCK.finditer(page.read_text())
    ]


def commands(block: Block) -> list[str]:
    """Return the commands of a block that runs; a block of Python is one command."""
    if block.language == "python":
        return [f"python - <<'PYTHON'\n{block.text}PYTHON"]
    lines = block.text.replace("\\\n", "\\\0").splitlines()
    return [line.replace("\\\0", "\\\n") for line in lines if line.strip() and not line.startswith("#")]


def run_page(
    page: Path,
    folder: Path,
    earlier: Iterable[Result] = (),
    replaced: Mapping[str, str] | None = None,
    programs: Path | None = None,
) -> list[Result]:
    """Run the commands of a page in a folder and return what each gave, in order.

    The README repeats commands of earlier pages; their results are returned in place of a second run. Texts of commands
    and files that are keys of `replaced` become its values. Programs of the folder `programs` come before others.
    """
    replaced = replaced or {}
    known = {result.command: result for result in earlier} if page.name == "README.md" else {}
    steps: list[tuple[str, int]] = []
    for block in blocks(page):
        if block.note.startswith("file:"):
            (folder / block.note.removeprefix("file:").strip()).write_text(_replace(block.text, replaced))
        if block.runs:
            codes = [0] * len(commands(block))
            if block.note.startswith("exit:"):
                codes[-1] = int(block.note.removeprefix("exit:"))
            steps += zip(commands(block), codes, strict=True)
    new = iter(_run([step for step in steps if step[0] not in known], folder, replaced, programs))
    return [known.get(command) or next(new) for command, _ in steps]


def _run(
    steps: list[tuple[str, int]], folder: Path, replaced: Mapping[str, str], programs: Path | None
) -> list[Result]:
    script = [ON_EXIT]
    for command, _ in steps:
        script += [f"printf '\\n{MARK}\\n'", command, f"printf '\\n{MARK}%s\\n' $?"]
    path = [*([programs] if programs else []), Path(sys.executable).parent, os.environ["PATH"]]
    environment = os.environ | {"COLUMNS": "100", "PATH": ":".join(map(str, path))}
    for name in ("CLOUT_HOME", "CLOUT_DATABASE", "MLFLOW_TRACKING_URI", "PYTHONDONTWRITEBYTECODE"):
        environment.pop(name, None)
    port = _free_port()
    run = subprocess.run(
        ["bash"],
        input=_replace("\n".join(script) + "\n", {**replaced, PORT: port}),
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS_PER_PAGE,
    )
    parts = run.stdout.replace(port, PORT).split(f"\n{MARK}")[1:]
    return [
        Result(command, _without_progress(output), int(code.partition("\n")[0]), expected)
        for (command, expected), output, code in zip(steps, parts[::2], parts[1::2], strict=True)
    ]


def _replace(text: str, replaced: Mapping[str, str]) -> str:
    for part, other in replaced.items():
        text = text.replace(part, other)
    return text


def _without_progress(output: str) -> str:
    lines = (line.rstrip() for line in output.splitlines() if "\N{BOX DRAWINGS HEAVY HORIZONTAL}" not in line)
    return "\n".join(lines).strip("\n")


def _free_port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


def run_all(folder: Path, quick: bool = False, programs: Path | None = None) -> dict[Path, list[Result]]:
    """Run all pages in a folder; return the results of each.

    `quick` runs them on fewer users and trains less, so that commands end alike and print other things. Programs of the
    folder `programs` come before others.
    """
    (folder / "docs").symlink_to(ROOT / "docs")
    (folder / "quick.toml").write_text(f"{QUICK_TRAINING}\n[model]\ntrees = 80\nlearning_rate = 0.06\n")
    results: dict[Path, list[Result]] = {}
    for page in pages():
        earlier = [result for page_results in results.values() for result in page_results]
        results[page] = run_page(page, folder, earlier, QUICK if quick else None, programs)
    return results


def outputs(page: Path, results: list[Result]) -> list[tuple[Block, str]]:
    """Return the blocks of a page that state outputs, each with what the command before it printed."""
    pairs, every, rest = [], blocks(page), iter(results)
    for block, after in zip_longest(every, every[1:]):
        last = [next(rest) for _ in commands(block)][-1] if block.runs else None
        if last and after and after.language == "text":
            pairs.append((after, _shortened(last.output, after.text)))
    return pairs


def _shortened(output: str, text: str) -> str:
    """Return as many lines of an output as a block has before its line `...`, or all."""
    lines = text.splitlines()
    if lines[-1:] != ["..."]:
        return output + "\n"
    return "\n".join([*output.splitlines()[: len(lines) - 1], "..."]) + "\n"


def write_outputs(page: Path, results: list[Result]) -> None:
    """Write what commands printed into the blocks of a page that state it."""
    text = page.read_text()
    for block, output in reversed(outputs(page, results)):
        text = text[: block.start] + output + text[block.end :]
    page.write_text(text)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        results_by_page = run_all(Path(name))
    for path, page_results in results_by_page.items():
        write_outputs(path, page_results)
        for result in page_results:
            if result.code != result.expected:
                print(f"{path}: exit {result.code}, expected {result.expected}: {result.command}\n{result.output}\n")
