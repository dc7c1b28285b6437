"""Check that the fast tests call a function of every module: `check_fast_coverage.py COVERAGE.json`."""

import json
import sys
from pathlib import Path

BY_THE_GATE = {"serving/cli/demo.py"}  # the gate runs the demo itself


def unreached(report: dict) -> list[str]:
    """Return the modules that have functions, none of which ran."""
    modules = []
    for name, file in report["files"].items():
        functions = [entry for function, entry in file["functions"].items() if function]
        if functions and not any(entry["summary"]["covered_lines"] for entry in functions):
            modules.append(name)
    return sorted(set(modules) - BY_THE_GATE)


if __name__ == "__main__":
    if modules := unreached(json.loads(Path(sys.argv[1]).read_text())):
        sys.exit(
            f"no fast test calls a function of: {', '.join(modules)}; see FAST_TESTS_PER_FILE in tests/conftest.py"
        )
