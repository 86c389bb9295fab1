#!/usr/bin/env python3
"""Runs the Autobahn test suite against a WebSocket echo server, and says what failed.

    run.py HOST:PORT [CASE ...]

The suite is kosoku (PyPI), which drives Autobahn's own case files. It is installed in the virtual
environment that KAIWA_VENV names (default: .venv at the root of the repository). CASE is an id or a
pattern such as '9.*'; without any, all cases run but those of compression, which Kaiwa does not
offer. Exits with 1 when a case's behavior or behaviorClose is FAILED.
"""

import collections
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import venv

COMPRESSION = ("12.*", "13.*")
ROOT = pathlib.Path(__file__).resolve().parents[2]
REQUIREMENTS = ROOT / "tests" / "requirements.txt"


def suite():
    """The suite's program, installed the first time."""
    folder = pathlib.Path(os.environ.get("KAIWA_VENV", ROOT / ".venv"))
    program = folder / "bin" / "kosoku"
    if not program.exists():
        if not (folder / "bin" / "python").exists():
            venv.create(folder, with_pip=True)
        pip = [folder / "bin" / "python", "-m", "pip", "install", "--quiet"]
        pip += ["-r", REQUIREMENTS]
        subprocess.run(pip, check=True)
    return program


def run(address, cases, reports):
    """Runs the cases; gives each one's result."""
    command = [suite(), "-m", "fuzzingclient", "-p", "4", "-o", reports, address]
    for case in cases:
        command += ["-i", case]
    for case in COMPRESSION:
        command += ["-x", case]
    # Its exit code is not looked at: the report says more.
    subprocess.run(command, check=False, stdout=subprocess.DEVNULL)
    index = json.loads((pathlib.Path(reports) / "index.json").read_text())
    return {case: result for agent in index.values() for case, result in agent.items()}


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    with tempfile.TemporaryDirectory(prefix="kaiwa-autobahn-") as reports:
        results = run(sys.argv[1], sys.argv[2:], reports)
    for field in ("behavior", "behaviorClose"):
        counts = collections.Counter(result[field] for result in results.values())
        words = ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
        print(f"{field}: {words}")
    bad = [
        case
        for case, result in results.items()
        if "FAILED" in (result["behavior"], result["behaviorClose"])
    ]
    if bad or not results:
        sys.exit(f"{len(bad)} of {len(results)} cases failed: {' '.join(sorted(bad))}")


if __name__ == "__main__":
    main()
