"""One way through the house: who may import whom, and what an import loads."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LAYERS = ("features", "training", "serving")
TOGETHER = {
    "serving.command",
    "serving.commands",
    "serving.demo",
    "serving.access.key_commands",
    "serving.reviewing.commands",
    "serving.rights.deletion_commands",
    "serving.rights.commands",
}
LOADED_BY_SERVING = {
    "bundle",
    "change",
    "change_told",
    "documents",
    "evidence",
    "explanation",
    "held_back",
    "home",
    "interval",
    "levers",
    "opt_outs",
    "peer_values",
    "person",
    "reasons",
    "receipts",
    "records",
    "registry",
    "scale",
    "stopping",
    "together",
    "what_if",
}
HEAVY = {"fastapi", "matplotlib", "mlflow", "optuna", "pyspark", "shap"}


def modules(layer: str) -> dict[str, Path]:
    files = (ROOT / layer).rglob("*.py")
    return {".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file for file in files}


def imported(file: Path) -> set[str]:
    """Every module named in an import, wherever in the file; `from a import b` names both `a` and `a.b`."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file} imports relatively"
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def of_layer(file: Path, *layers: str) -> set[str]:
    return {name for name in imported(file) if name.split(".")[0] in layers}


@pytest.mark.parametrize(("layer", "above"), [("features", ("training", "serving")), ("training", ("serving",))])
def test_no_layer_imports_one_above_it(layer, above):
    assert len(modules(layer)) > 10
    assert {name: found for name, file in modules(layer).items() if (found := of_layer(file, *above))} == {}


def test_serving_takes_of_training_what_loads_and_explains_a_model():
    taken = {}
    for name, file in modules("serving").items():
        if name not in TOGETHER:
            used = {each.split(".")[1] for each in of_layer(file, "training") if each != "training"}
            taken |= {name: used - LOADED_BY_SERVING} if used - LOADED_BY_SERVING else {}
    assert taken == {}


def test_the_exceptions_are_there():
    assert set(modules("serving")) >= TOGETHER
    assert {f"training.{name}" for name in LOADED_BY_SERVING} <= set(modules("training"))


def test_the_installed_packages_do_not_import_tests_or_notebooks():
    files = [file for layer in LAYERS for file in modules(layer).values()]
    assert {str(file) for file in files if of_layer(file, "tests", "notebooks", "conftest")} == set()


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        ("features", HEAVY | {"pandas", "ibis", "duckdb", "lightgbm"}),
        ("features.table", HEAVY | {"lightgbm"}),
        ("training.bundle", HEAVY),
        ("training.home", HEAVY | {"pandas", "ibis", "duckdb", "lightgbm"}),
        ("training.registry", HEAVY),
        ("serving.app", HEAVY - {"fastapi"} | {"ibis.backends.duckdb", "ibis.backends.sql.compilers"}),
        ("serving.command", HEAVY | {"pandas", "ibis", "duckdb", "lightgbm", "numpy", "uvicorn", "pydantic"}),
    ],
)
def test_an_import_loads_no_more_than_it_needs(module, unwanted):
    code = f"import sys, {module}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert module in loaded.split()
    assert set(loaded.split()) & unwanted == set()


@pytest.mark.parametrize("layer", LAYERS)
def test_every_module_says_what_it_is(layer):
    assert [name for name, file in modules(layer).items() if not ast.get_docstring(ast.parse(file.read_text()))] == []
