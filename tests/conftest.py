"""Settings that hold for every test.

Where the tests lie beside an installed klfast, without the source tree, those that read it are left out.
"""

import os
from pathlib import Path

# Before OpenMP is loaded: tests run in as many processes as there are CPUs, each of which has as many threads, and threads that
# wait by spinning keep the others from work.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

NEED_THE_SOURCE = [
    "test_docs.py",
    "test_elementary.py",
    "test_figures.py",
    "test_structure.py",
    "test_wheel_tools.py",
]

collect_ignore = [] if (Path(__file__).parents[1] / "src").is_dir() else NEED_THE_SOURCE
