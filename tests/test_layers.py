"""The direction of imports: one table has the allowed imports of each package, and light modules stay light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LAYERS = ("features", "training", "serving")

# The allowed imports of each package, or top-level module of a layer. The features layer imports neither of
# the other two, the training layer imports only features. A package may always import itself.
BASE = {"features.errors", "features.ids", "features.progress", "features.utc"}
EVENTS = BASE | {"features.atomic_files", "features.events"}
TABLE = EVENTS | {"features.aggregates", "features.catalogue", "features.feature_table"}
MODEL = {"training.config", "training.dataset", "training.home", "training.model", "training.model.trees"}
MAY_IMPORT = {
    "features": set(),
    "features.errors": set(),
    "features.ids": set(),
    "features.progress": set(),
    "features.utc": {"features.errors"},
    "features.console": {"features.progress"},
    "features.atomic_files": BASE,
    "features.events": EVENTS,
    "features.aggregates": EVENTS,
    "features.catalogue": EVENTS | {"features.aggregates"},
    "features.feature_steps": EVENTS | {"features.aggregates", "features.catalogue"},
    "features.feature_table": TABLE | {"features.feature_steps"},
    "features.engagement_report": TABLE,
    "features.simulation": EVENTS,
    "features.importers.readers": EVENTS,
    "features.importers": EVENTS | {"features.importers.readers"},
    "features.cli_options": EVENTS,
    "features.cli": TABLE
    | {
        "features.cli_options",
        "features.console",
        "features.importers",
        "features.simulation",
    },
    "training": set(),
    "training.home": BASE,
    "training.config": EVENTS,
    "training.prohibited_uses": set(),
    "training.source_version": set(),
    "training.records": BASE | {"training.home"},
    "training.dataset": TABLE | {"training.config"},
    "training.model.trees": BASE,
    "training.model": TABLE | {"training.config", "training.model.trees"},
    "training.served_model": {"features.errors", "training.model"},
    "training.explanation": TABLE | MODEL,
    "training.evaluation": TABLE | MODEL | {"training.explanation"},
    "training.registry": BASE | MODEL | {"features.atomic_files"},
    "training.fit": TABLE | MODEL,
    "training.model_selection": TABLE | MODEL | {"training.evaluation"},
    "training.selection": TABLE | MODEL,
    "training.robustness": TABLE
    | MODEL
    | {"features.simulation", "training.evaluation", "training.fit", "training.records", "training.registry"},
    "training.reports": TABLE | MODEL | {"training.evaluation", "training.explanation", "training.robustness"},
    "training.backtest": TABLE
    | MODEL
    | {"training.evaluation", "training.explanation", "training.fit", "training.reports"},
    "training.drift": TABLE | MODEL | {"training.evaluation", "training.release"},
    "training.train": TABLE
    | MODEL
    | {
        "training.backtest",
        "training.evaluation",
        "training.fit",
        "training.model_selection",
        "training.selection",
        "training.source_version",
    },
    "training.release": TABLE
    | MODEL
    | {
        "training.evaluation",
        "training.explanation",
        "training.model_selection",
        "training.prohibited_uses",
        "training.registry",
        "training.robustness",
        "training.train",
    },
    "training.cli_output": {
        "features.console",
        "training.dataset",
        "training.drift",
        "training.evaluation",
        "training.home",
        "training.model",
        "training.registry",
        "training.release",
        "training.robustness",
    },
    "training.cli": EVENTS | {"features.cli_options", "features.console", "training.*"},
    "serving": set(),
    "serving.snapshots": TABLE
    | {"training.explanation", "training.home", "training.model", "training.records", "training.selection"},
    "serving.scoring": TABLE | {"serving.snapshots", "training.explanation", "training.model", "training.selection"},
    "serving.spark_scoring": TABLE | {"serving.scoring", "serving.snapshots", "training.model", "training.selection"},
    "serving.selections": TABLE
    | {
        "features.ids",
        "serving.scoring",
        "serving.snapshots",
        "training.home",
        "training.model",
        "training.records",
        "training.selection",
    },
    "serving.middleware": EVENTS | {"training.home", "training.records"},
    "serving.review": TABLE
    | {
        "serving.snapshots",
        "training.config",
        "training.drift",
        "training.explanation",
        "training.home",
        "training.model",
        "training.records",
    },
    "serving.runtime": EVENTS
    | {
        "serving.middleware",
        "serving.snapshots",
        "training.home",
        "training.model",
        "training.records",
        "training.registry",
    },
    "serving.privacy": EVENTS
    | {
        "serving.middleware",
        "serving.runtime",
        "serving.snapshots",
        "training.home",
        "training.prohibited_uses",
        "training.records",
        "training.registry",
    },
    "serving.api": EVENTS
    | {
        "features.catalogue",
        "serving.middleware",
        "serving.privacy",
        "serving.review",
        "serving.runtime",
        "serving.selections",
        "serving.snapshots",
        "training.explanation",
        "training.home",
        "training.model",
        "training.prohibited_uses",
        "training.records",
        "training.selection",
    },
    "serving.api.routes": EVENTS
    | {
        "features.catalogue",
        "serving.api",
        "serving.middleware",
        "serving.privacy",
        "serving.review",
        "serving.runtime",
        "serving.selections",
        "serving.snapshots",
        "training.home",
        "training.prohibited_uses",
        "training.records",
    },
    "serving.pages": EVENTS
    | {
        "features.catalogue",
        "features.engagement_report",
        "serving.api",
        "serving.api.routes",
        "serving.middleware",
        "serving.privacy",
        "serving.review",
        "serving.runtime",
        "serving.selections",
        "serving.snapshots",
        "training.drift",
        "training.explanation",
        "training.home",
        "training.model",
        "training.prohibited_uses",
        "training.records",
        "training.registry",
    },
    "serving.app": BASE
    | {
        "serving.api",
        "serving.api.routes",
        "serving.middleware",
        "serving.pages",
        "serving.privacy",
        "serving.runtime",
        "training.home",
        "training.records",
    },
    "serving.cli": {"features.*", "training.*", "serving.*"},
}
HEAVY = {"fastapi", "matplotlib", "mlflow", "optuna", "pyspark", "shap"}


def modules() -> dict[str, Path]:
    files = (file for layer in LAYERS for file in (ROOT / layer).rglob("*.py"))
    return {".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file for file in files}


MODULES = modules()
PACKAGES = {name for name, file in MODULES.items() if file.name == "__init__.py"}


def unit(module: str) -> str:
    """Return the row of the table for a module: its package, or the module itself at the top of a layer."""
    package = module if module in PACKAGES else module.rpartition(".")[0]
    return module if package in LAYERS else package


def imported_modules(file: Path) -> set[str]:
    """Return every imported module, anywhere in the file; `from a import b` gives `a.b` if that is a module."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file} imports relatively"
            paths = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= {path if path in MODULES else node.module for path in paths}
    return names


def allowed(importer: str, target: str) -> bool:
    return target == importer or target in MAY_IMPORT[importer] or f"{target.split('.')[0]}.*" in MAY_IMPORT[importer]


@pytest.mark.parametrize("package", sorted({unit(name) for name in MODULES}))
def test_a_package_imports_only_what_the_table_allows(package):
    assert package in MAY_IMPORT, f"{package} is new: add a row to MAY_IMPORT that says what it may import"
    targets = {
        (name, unit(target))
        for name, file in MODULES.items()
        if unit(name) == package
        for target in imported_modules(file)
        if target in MODULES
    }
    wrong = sorted(f"{name} imports {target}" for name, target in targets if not allowed(package, target))
    assert not wrong, (
        f"{'; '.join(wrong)}. {package} may import {sorted(MAY_IMPORT[package])}. Move the code to the package that "
        "owns the concept, or pass the value in as a parameter; extend the table only if no cycle arises."
    )


def test_the_table_has_no_cycle_and_no_stale_rows():
    assert set(MAY_IMPORT) == {unit(name) for name in MODULES}
    done: set[str] = set()
    while waiting := set(MAY_IMPORT) - done:
        ready = {package for package in waiting if not (expand(package) - done - {package})}
        assert ready, f"the table allows a cycle among {sorted(waiting)}"
        done |= ready


def expand(package: str) -> set[str]:
    """Return the entries of a row; `features.*` stands for all of a layer except the command packages above it."""
    row = MAY_IMPORT[package]
    stars = {name.removesuffix(".*") for name in row if name.endswith(".*")}
    return {name for name in row if not name.endswith(".*")} | {
        name for name in MAY_IMPORT if name.split(".")[0] in stars and name != package
    }


def test_no_layer_imports_one_above_it():
    for name in MODULES:
        above = LAYERS[LAYERS.index(name.split(".")[0]) + 1 :]
        assert not {target for target in imported_modules(MODULES[name]) if target.split(".")[0] in above}, name


def test_only_the_registry_and_the_mlflow_loader_import_mlflow():
    users = {
        unit(name) for name, file in MODULES.items() if any(t.split(".")[0] == "mlflow" for t in imported_modules(file))
    }
    assert users == {"training.registry", "training.served_model"}


def test_the_installed_packages_do_not_import_tests_or_notebooks():
    outside = {"tests", "notebooks", "conftest"}
    assert {
        name for name, file in MODULES.items() if {t.split(".")[0] for t in imported_modules(file)} & outside
    } == set()


TABLES = {"pandas", "ibis", "duckdb", "lightgbm"}
UNWANTED = {
    "features": HEAVY | TABLES,
    "training.home": HEAVY | TABLES,
    "serving.cli.main": HEAVY | TABLES | {"numpy", "uvicorn", "pydantic"},
    "features.feature_table": HEAVY | {"lightgbm"},
    "training.model.bundle": HEAVY,
    "training.registry.model_registry": HEAVY,
    "training.release.promotion": HEAVY,
    "serving.app": HEAVY - {"fastapi"} | {"ibis.backends.duckdb", "ibis.backends.sql.compilers"},
}


@pytest.fixture(scope="module")
def loaded():
    """Return what is loaded after importing each module of UNWANTED, one after another, in one process."""
    *modules, service = UNWANTED
    loaded = {}
    for names in (modules, [service]):
        code = f"import importlib, sys\nfor name in {names}: importlib.import_module(name), print(*sys.modules)"
        run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
        loaded |= zip(names, (set(line.split()) for line in run.stdout.splitlines()), strict=True)
    return loaded


@pytest.mark.parametrize("module", UNWANTED)
def test_an_import_loads_no_more_than_it_needs(module, loaded):
    assert module in loaded[module]
    assert loaded[module] & UNWANTED[module] == set()


@pytest.mark.parametrize("layer", LAYERS)
def test_every_module_has_a_docstring(layer):
    names = [name for name in MODULES if name.split(".")[0] == layer]
    assert [name for name in names if not ast.get_docstring(ast.parse(MODULES[name].read_text()))] == []
