"""Running code in an interpreter of its own, which has a hard limit of time: what hangs fails."""

import os
import subprocess
import sys

LIMIT = 60


def python(code, **environment):
    """Run code in a new interpreter; a variable that is None is taken out of its environment."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("KLFAST_", "OMP_"))}
    clean |= {name: value for name, value in environment.items() if value is not None}
    return subprocess.run([sys.executable, "-c", code], env=clean, capture_output=True, text=True, timeout=LIMIT)


def printed(code, **environment):
    done = python(code, **environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
