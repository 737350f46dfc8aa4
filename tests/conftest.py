"""Where the tests lie beside an installed klfast, without the source tree, those that read it are left out."""

from pathlib import Path

NEED_THE_SOURCE = [
    "test_docs.py",
    "test_elementary.py",
    "test_figures.py",
    "test_structure.py",
    "test_wheel_tools.py",
]

collect_ignore = [] if (Path(__file__).parents[1] / "src").is_dir() else NEED_THE_SOURCE
