"""Each notebook runs from a clean state, is saved as it ran, and only imports, calls and plots."""

import ast
import json
import re
import sys
from pathlib import Path
from tempfile import gettempdir

import pytest

from tests import preloaded
from tests.conftest import is_nightly

nbformat = pytest.importorskip("nbformat", reason="notebooks need nbformat: install clout-score[test]")
nbclient = pytest.importorskip("nbclient", reason="notebooks need nbclient: install clout-score[test]")
pytest.importorskip("ipykernel", reason="notebooks need ipykernel: install clout-score[test]")

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))
MOST_BYTES = 1_500_000
SECONDS_PER_CELL = 600
# Notebooks use thousands of users and full trainings; tests run each cell with fewer.
QUICK = {
    re.compile(r"(?<=Community\(users=)[\d_]+"): "500",
    re.compile(r"\bConfig\(\)"): (
        "Config.model_validate({'panel': {'cutoffs': 3}, 'model': {'trees': 30, 'learning_rate': 0.1}, "
        "'evaluation': {'resamples': 20}, 'gate': {'attacks': False}})"
    ),
}
ABSOLUTE_PATH = re.compile(r"(?<![\w./~-])/(?:home|root|Users|private|tmp|var|mnt|opt|usr|srv)/|[A-Z]:\\\\")
# Inline pictures are drawn twice to crop them, which tests do not need.
DRAW_ONCE = "from matplotlib_inline.config import InlineBackend; InlineBackend.instance().print_figure_kwargs = {}\n"
LOGIC = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)

pytestmark = pytest.mark.parametrize("path", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])


def read(path):
    return nbformat.read(path, as_version=4)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]


def errors_and_warnings(notebook):
    """Return the standard error of a run, and its exceptions."""
    outputs = [output for cell in code_cells(notebook) for output in cell.outputs]
    warnings = [output.text for output in outputs if output.output_type == "stream" and output.name == "stderr"]
    return warnings + [output.evalue for output in outputs if output.output_type == "error"]


def has_picture(notebook):
    return any("image/png" in output.get("data", {}) for cell in code_cells(notebook) for output in cell.outputs)


def without_pictures(notebook):
    """Return all text of a notebook; base64 data could match a pattern by chance."""
    for cell in code_cells(notebook):
        for output in cell.outputs:
            for kind in [kind for kind in output.get("data", {}) if kind.startswith("image/")]:
                del output.data[kind]
    return json.dumps(notebook, ensure_ascii=False).replace("\\n", "\n")


def test_it_runs_from_a_clean_state_and_leaves_nothing_behind(path, tmp_path, monkeypatch, request):
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")
    monkeypatch.setenv("CLOUT_HOME", str(tmp_path / "home"))
    here = tmp_path / "here"
    here.mkdir()
    notebook = read(path)
    for cell in code_cells(notebook):
        cell.outputs, cell.execution_count = [], None
        if not is_nightly(request.config):
            for pattern, other in QUICK.items():
                cell.source = pattern.sub(other, cell.source)
    if not is_nightly(request.config):
        code_cells(notebook)[0].source = DRAW_ONCE + code_cells(notebook)[0].source
    # Forked from a process that has the imports and chose the folder of pictures earlier.
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    monkeypatch.setattr("jupyter_client.launcher.Popen", preloaded.Popen)
    resources = {"metadata": {"path": str(here)}}
    nbclient.NotebookClient(notebook, timeout=SECONDS_PER_CELL, resources=resources).execute()
    assert errors_and_warnings(notebook) == []
    assert has_picture(notebook)
    assert [file.name for file in tmp_path.rglob("*")] == ["here"]


def test_it_is_saved_as_it_ran_from_top_to_bottom(path):
    notebook = read(path)
    nbformat.validate(notebook)
    cells = code_cells(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert errors_and_warnings(notebook) == []
    assert has_picture(notebook)
    assert notebook.metadata.kernelspec.name == "python3"
    assert path.stat().st_size < MOST_BYTES


def test_it_contains_no_machine_path(path):
    text = without_pictures(read(path))
    assert ABSOLUTE_PATH.findall(text) == []
    assert [match for match in (Path.home(), Path.cwd(), sys.prefix, gettempdir()) if str(match) in text] == []


def test_named_files_exist(path):
    texts = [cell.source for cell in read(path).cells if cell.cell_type == "markdown"]
    files = re.findall(r"`((?:docs|features|training|serving|tests|notebooks)/[\w./-]*)`", "\n".join(texts))
    assert [name for name in files if not (NOTEBOOKS[0].parents[1] / name).exists()] == []


def test_named_notebooks_exist(path):
    texts = [cell.source for cell in read(path).cells if cell.cell_type == "markdown"]
    names = re.findall(r"`(\d\d_\w+)`", "\n".join(texts))
    assert set(names) <= {notebook.stem for notebook in NOTEBOOKS}


def test_it_defines_no_functions_or_classes(path):
    nodes = [node for cell in code_cells(read(path)) for node in ast.walk(ast.parse(cell.source))]
    assert [type(node).__name__ for node in nodes if isinstance(node, LOGIC)] == []
    imported = {node.module.split(".")[0] for node in nodes if isinstance(node, ast.ImportFrom)}
    assert {"features", "training", "serving"} & imported
