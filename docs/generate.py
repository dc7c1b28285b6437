"""Generate the parts of pages that the code defines: `python docs/generate.py` writes them, a test compares them.

A part stands between `<!-- generated: NAME -->` and `<!-- /generated -->`; NAME is one of PARTS.
"""

import ast
import atexit
import inspect
import json
import logging
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import typer.main

from features.catalogue import CATALOGUE
from features.errors import CloutError
from serving.api import problems
from serving.app import create_app
from serving.cli.main import app
from training.config import Config
from training.home import Home
from training.robustness.attacks import ATTACKS

ROOT = Path(__file__).parents[1]
PART = re.compile(r"(<!-- generated: (?P<name>[\w-]+) -->\n).*?(<!-- /generated -->)", re.DOTALL)
METRICS = {"Counter": "counter", "Gauge": "gauge", "Histogram": "histogram", "Info": "info"}
SUFFIXES = {"counter": "_total", "info": "_info"}
ENVIRONMENT = {
    "CLOUT_HOME": "folder of models, snapshots and records; default `./clout-home`. `--home` overrides it",
    "CLOUT_DATABASE": "URL of a PostgreSQL that several services share, as `postgresql://user@host/database`",
    "CLOUT_EVENTS": "event table for the notebooks; without it they simulate a community",
    "CLOUT_MEMORY": "memory that DuckDB may take, such as `16GB`; default `4GB`. Beyond it, it spills to `TMPDIR`",
    "CLOUT_CLOCK_ALLOWANCE": "seconds by which an event may lie in the future; default 86400, a day",
    "CLOUT_PURPOSES": "purposes that requests may name, separated by commas; `--allow-purpose` overrides it",
    "FORWARDED_ALLOW_IPS": "addresses of proxies whose `X-Forwarded-*` headers count, as `--forwarded-allow-ips`",
    "MLFLOW_TRACKING_URI": "an MLflow server in place of `mlflow.db` in the home",
    "MLFLOW_REGISTRY_URI": "a model registry apart from the tracking server",
    "OMP_NUM_THREADS": "threads of LightGBM; default one per core",
    "TMPDIR": "folder of temporary files; DuckDB spills there",
}


def table(head: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "".join("| " + " | ".join(line).replace("\n", " ") + " |\n" for line in lines)


def _paragraphs(text: str) -> str:
    return "\n\n".join(" ".join(part.split()) for part in inspect.cleandoc(text).split("\n\n"))


def command_line() -> str:
    """Return every command with its arguments and options."""
    group: Any = typer.main.get_command(app)
    return "\n".join(_command(path, command) for path, command in _walk("clout", group))


def _walk(path: str, command: Any) -> Iterator[tuple[str, Any]]:
    for name, child in getattr(command, "commands", {}).items():
        yield from _walk(f"{path} {name}", child)
    if not hasattr(command, "commands"):
        yield path, command


def _command(path: str, command: Any) -> str:
    text = _paragraphs(command.help)
    text = re.sub(r"^Example: (.*)$", r"Example: `\1`", text, flags=re.MULTILINE).replace("\\[", "[")
    options = [parameter for parameter in command.params if parameter.name != "help"]
    rows = [
        [_names(option), (option.help or "").replace("\\\\", "\\").replace("\\[", "["), _default(option)]
        for option in options
    ]
    return f"## `{path}`\n\n{text}\n\n" + (table(["argument or option", "meaning", "default"], rows) if rows else "")


def _names(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return f"`{parameter.name.upper()}`"
    names = [*parameter.opts, *parameter.secondary_opts]
    value = "" if parameter.is_flag else f" {(parameter.metavar or parameter.type.name).upper()}"
    return " or ".join(f"`{name}{value}`" for name in names)


def _default(parameter: Any) -> str:
    if parameter.required:
        return "required"
    default = parameter.default
    return "" if default in (None, False, (), []) or callable(default) else f"`{getattr(default, 'value', default)}`"


def configuration() -> str:
    """Return the whole configuration as TOML, with the meaning of each field behind it."""
    lines = []
    for section, field in Config.model_fields.items():
        model: Any = field.annotation
        entries = {name: f"{name} = {_toml(getattr(field.default, name))}" for name in model.model_fields}
        width = max(map(len, entries.values()))
        lines.append(f"[{section}]")
        lines += [f"{entry:<{width}}  # {model.model_fields[name].description}" for name, entry in entries.items()]
        lines.append("")
    return "```toml\n" + "\n".join(lines[:-1]) + "\n```\n"


def _toml(value: object) -> str:
    return json.dumps(list(value) if isinstance(value, tuple) else value)


def limits() -> str:
    """Return what each section of the configuration is about, and which values its fields take."""
    parts = []
    for section, field in Config.model_fields.items():
        model: Any = field.annotation
        schema = model.model_json_schema()["properties"]
        rows = [[f"`{name}`", _values(schema[name])] for name in model.model_fields]
        parts.append(f"### `[{section}]`\n\n{_paragraphs(model.__doc__)}\n\n" + table(["field", "values"], rows))
    return "\n".join(parts)


def _values(schema: dict[str, Any]) -> str:
    words = {"minimum": "from", "exclusiveMinimum": "above", "maximum": "to", "exclusiveMaximum": "below"}
    bounds = " ".join(f"{word} {schema[name]:g}" for name, word in words.items() if name in schema)
    if "enum" in schema:
        return " or ".join(f"`{value}`" for value in schema["enum"])
    return f"{schema['type']} {bounds}".strip()


def environment() -> str:
    """Return the environment variables."""
    return table(["variable", "meaning"], [[f"`{name}`", meaning] for name, meaning in ENVIRONMENT.items()])


def features() -> str:
    """Return the catalogue of features."""
    return CATALOGUE.as_markdown() + "\n"


@cache
def _document() -> dict[str, Any]:
    home = Home(Path(tempfile.mkdtemp()))
    atexit.register(shutil.rmtree, home.folder, ignore_errors=True)
    return create_app(home).openapi()


def routes() -> str:
    """Return every route with its parameters, an example of its answer, and its problems."""
    return "\n".join(
        _route(method, path, operation)
        for path, operations in _document()["paths"].items()
        for method, operation in operations.items()
    )


def _route(method: str, path: str, operation: dict[str, Any]) -> str:
    text = [f"## `{method.upper()} {path}`\n", f"{operation['summary']}. `{operation['operationId']}`\n"]
    if operation.get("description"):
        text.append(_paragraphs(operation["description"]) + "\n")
    if parameters := operation.get("parameters"):
        rows = [[f"`{p['name']}`", p["in"], p.get("description", "")] for p in parameters]
        text.append(table(["parameter", "in", "meaning"], rows))
    if body := operation.get("requestBody"):
        text.append(f"Body: {_schema_link(body['content'])}.\n")
    for status, response in operation["responses"].items():
        if status.startswith("2"):
            text.append(f"Answers {status}{_answer(response)}")
    problem_statuses = [status for status in operation["responses"] if not status.startswith("2")]
    text.append(f"Problems: {', '.join(problem_statuses)}.\n")
    return "\n".join(text)


def _answer(response: dict[str, Any]) -> str:
    content = response.get("content", {})
    example = content.get("application/json", {}).get("example")
    if example is None:
        return ".\n" if not content else f", {_schema_link(content)}.\n"
    return f", {_schema_link(content)}:\n```json\n{json.dumps(example, indent=1, ensure_ascii=False)}\n```\n"


def _schema_link(content: dict[str, Any]) -> str:
    (kind, value), *_ = content.items()
    name = value.get("schema", {}).get("$ref", "").rpartition("/")[2]
    return f"[`{name}`](#{name.lower()})" if name else f"`{kind}`"


def schemas() -> str:
    """Return every schema of a request or an answer with its fields."""
    return "\n".join(
        f"### {name}\n\n{_paragraphs(schema.get('description', ''))}\n\n"
        + table(["field", "type", "meaning"], _fields(schema))
        for name, schema in sorted(_document()["components"]["schemas"].items())
        if schema.get("properties")
    )


def _fields(schema: dict[str, Any]) -> list[list[str]]:
    return [[f"`{name}`", _type(field), field.get("description", "")] for name, field in schema["properties"].items()]


def _type(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(map(_type, schema["anyOf"])))
    if "enum" in schema:
        return ", ".join(map(str, schema["enum"]))
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    return str(schema.get("format") or schema.get("type") or "any")


def problem_kinds() -> str:
    """Return every kind of problem with its status, what it is, and an example of its detail."""
    rows = [[f"`{kind}`", str(status), _what(error), _detail(kind)] for error, status, kind in problems.KINDS]
    rows += [
        [
            "`invalid-request`",
            "422",
            "The request does not fit the route; `errors` lists what.",
            _detail("invalid-request"),
        ],
        ["`not-ready`", "503", "There was never a champion or a snapshot; `missing` says which.", _detail("not-ready")],
    ]
    return table(["type, after `urn:clout:problem:`", "status", "what it is", "such as"], rows)


def _what(error: type[CloutError]) -> str:
    return _paragraphs(error.__doc__ or "").partition("\n\n")[0]


def _detail(kind: str) -> str:
    return problems.DETAILS.get(kind, "")


def metrics() -> str:
    """Return every metric that the service exposes under /metrics, found in the code of the serving layer."""
    rows = [row for file in sorted((ROOT / "serving").rglob("*.py")) for row in _metrics_in(file)]
    return table(["metric", "kind", "labels", "meaning"], sorted(rows))


def _metrics_in(file: Path) -> Iterator[list[str]]:
    for node in ast.walk(ast.parse(file.read_text())):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
            continue
        kind = METRICS.get(node.func.id.removesuffix("MetricFamily"))
        texts = [argument.value for argument in node.args[:2] if isinstance(argument, ast.Constant)]
        if kind and len(texts) == 2:
            name = f"{texts[0]}{SUFFIXES.get(kind, '')}"
            yield [f"`{name}`", kind, ", ".join(_labels(node)), texts[1]]


def _labels(call: ast.Call) -> list[str]:
    nodes = [*call.args[2:], *(word.value for word in call.keywords if word.arg == "labels")]
    dicts = [
        key.value for node in nodes if isinstance(node, ast.Dict) for key in node.keys if isinstance(key, ast.Constant)
    ]
    lists = [
        item.value
        for node in nodes
        if isinstance(node, ast.List)
        for item in node.elts
        if isinstance(item, ast.Constant)
    ]
    return [f"`{label}`" for label in (*dicts, *lists)]


def sources() -> str:
    """Return what each importer makes of what it reads: the documentation of its module."""
    group: Any = typer.main.get_command(app)
    names = [name for name in group.commands["import"].commands if name != "table"]
    return "\n".join(_source(name, import_module(f"features.importers.{name}")) for name in [*names, "messages"])


def _source(name: str, module: Any) -> str:
    first, _, rest = inspect.cleandoc(module.__doc__).partition("\n\n")
    return f"## {name}\n\n{first}\n\n{rest}\n"


def fields() -> str:
    """Return the forms in which the fields of an event may come."""
    module = import_module("features.importers.event_fields")
    return "\n".join(line for line in inspect.cleandoc(module.__doc__).splitlines() if line.startswith("|")) + "\n"


def attacks() -> str:
    """Return every attack of the suite with its limit."""
    rows = [[f"`{attack.name}`", attack.description, f"{attack.limit:g}"] for attack in ATTACKS]
    return table(["attack", "what is done for a member", "points it may gain"], rows)


PARTS: dict[str, Callable[[], str]] = {
    "command-line": command_line,
    "configuration": configuration,
    "limits": limits,
    "environment": environment,
    "features": features,
    "routes": routes,
    "schemas": schemas,
    "problems": problem_kinds,
    "metrics": metrics,
    "sources": sources,
    "fields": fields,
    "attacks": attacks,
}


def generate(page: str) -> str:
    """Return a page with its generated parts made anew."""
    return PART.sub(lambda match: f"{match[1]}{PARTS[match['name']]()}{match[3]}", page)


if __name__ == "__main__":
    logging.disable()  # the service of an empty home has much to complain about
    for file in sorted((ROOT / "docs").rglob("*.md")):
        old = file.read_text()
        if (new := generate(old)) != old:
            file.write_text(new)
            print(f"{file.relative_to(ROOT)} is new")
