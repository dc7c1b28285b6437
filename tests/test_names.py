"""Names state what a thing holds: words that could mean anything are no names of functions, parameters or variables."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
VAGUE = {
    *("told", "held", "found", "kept", "seen", "made", "asked", "given", "each", "place", "opened", "alone", "whole"),
    *("known", "settled", "judged", "aside", "drawn", "heard", "apart", "together", "meant", "left", "wanted"),
}
# The decorator of Hypothesis.
OF_LIBRARIES = {"given"}


def stored_fields(tree: ast.AST) -> set[ast.AST]:
    """Return the class fields, which are exempt because documents, responses and tables are stored with these names."""
    bodies = [node.body for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    return {item.target for body in bodies for item in body if isinstance(item, ast.AnnAssign)}


def names(tree: ast.AST) -> list[tuple[int, str]]:
    """Return every name of a variable, parameter or function in a syntax tree with its line, except class fields."""
    pairs, fields = [], stored_fields(tree)
    for node in ast.walk(tree):
        if node in fields:
            continue
        if isinstance(node, ast.Name):
            pairs.append((node.lineno, node.id))
        elif isinstance(node, ast.arg):
            pairs.append((node.lineno, node.arg))
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            pairs.append((node.lineno, node.name))
    return pairs


def vague(name: str) -> bool:
    return name.lstrip("_") in VAGUE or (name.startswith("test_") and not VAGUE.isdisjoint(name.split("_")))


@pytest.mark.parametrize("layer", ["features", "training", "serving"])
def test_no_name_of_the_packages_is_vague(layer):
    wrong = [
        f"{file.relative_to(ROOT)}:{line} {name}"
        for file in sorted((ROOT / layer).rglob("*.py"))
        for line, name in names(ast.parse(file.read_text()))
        if vague(name)
    ]
    assert not wrong, f"call these by the noun they hold or the verb they do: {', '.join(wrong)}"


def test_no_name_of_the_tests_is_vague():
    wrong = [
        f"{file.relative_to(ROOT)}:{line} {name}"
        for file in sorted((ROOT / "tests").rglob("*.py"))
        for line, name in names(ast.parse(file.read_text()))
        if vague(name) and name not in OF_LIBRARIES
    ]
    assert not wrong, f"call these by the noun they hold or the behaviour they check: {', '.join(wrong)}"


def test_the_check_finds_what_it_looks_for():
    code = "def test_what_is_told(given):\n    found = given\n    return [each for each in found]\n"
    assert {name for _, name in names(ast.parse(code)) if vague(name)} == {
        "test_what_is_told", "given", "found", "each",
    }  # fmt: skip
    assert not [name for _, name in names(ast.parse("def kept_rows(user): rows = user")) if vague(name)]
