"""What importing klfast does and does not do: CPU levels, threads, forks, floating-point state. Each in a fresh process."""

import os
import subprocess
import sys

import numpy as np
import pytest
from cpu_levels import LEVELS

import klfast
from klfast import _kernels, _threads


def python(code, **environment):
    """Run code in a new interpreter; a variable that is None is taken out of its environment."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("KLFAST_", "OMP_"))}
    clean |= {name: value for name, value in environment.items() if value is not None}
    return subprocess.run([sys.executable, "-c", code], env=clean, capture_output=True, text=True, timeout=60)


def printed(code, **environment):
    done = python(code, **environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


# CPU levels ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", LEVELS)
def test_a_level_can_be_forced(level):
    assert printed("import klfast; print(klfast._kernels.cpu_target())", KLFAST_CPU=level) == level


def test_the_best_level_is_the_default():
    assert printed("import klfast; print(klfast._kernels.cpu_target())") == LEVELS[-1]
    assert printed("import klfast; print(klfast._kernels.cpu_target())", KLFAST_CPU="") == LEVELS[-1]


@pytest.mark.parametrize("level", ["x86-64-v5", "avx2", "BASELINE"])
def test_an_impossible_level_lists_the_possible_ones(level):
    done = python("import klfast", KLFAST_CPU=level)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last == f"ImportError: KLFAST_CPU={level!r} is not possible here; possible are {', '.join(LEVELS)}"


def test_show_config_says_what_is_in_use():
    text = printed("import klfast; klfast.show_config()", KLFAST_CPU="baseline", KLFAST_NUM_THREADS="3")
    assert f"klfast      {klfast.__version__}" in text
    assert f"CPU target  baseline (available: {', '.join(LEVELS)})" in text
    assert f"threads     {3 if _kernels.has_openmp() else 1}" in text


# The process around it -----------------------------------------------------------------------------------------------


def test_subnormal_numbers_survive_the_import_in_every_thread():
    code = """
import threading
import numpy as np
tiny = np.float64(5e-324)
import klfast
klfast.entropy(np.ones((100, 1000)), n_threads=4)
found = [float(tiny * 1.0)]
thread = threading.Thread(target=lambda: found.append(float(np.ldexp(1.0, -1074) * 1.0)))
thread.start(); thread.join()
p = np.full((64, 1000), 5e-324)
p[:, ::2] = 1e-323
assert found == [5e-324, 5e-324], found
results = klfast.entropy(p, n_threads=4)
assert np.all(results == results[0]) and results[0] > 6.8, results
"""
    assert printed(code) == ""


def test_numpy_is_all_that_an_import_needs():
    code = """
import sys
before = set(sys.modules)
import klfast
new = {name.partition(".")[0] for name in set(sys.modules) - before}
print(sorted(new & {"rich", "matplotlib", "scipy", "mpmath", "torch", "argparse"}))
"""
    assert printed(code) == "[]"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")
def test_a_forked_child_computes_and_does_not_hang():
    code = """
import os
import numpy as np
import klfast
p = np.random.default_rng(0).random((50, 5000))
expected = klfast.entropy(p, n_threads=4)
child = os.fork()
if child == 0:
    same = np.array_equal(klfast.entropy(p), expected) and klfast.get_num_threads() == 1
    os._exit(0 if same else 1)
_, status = os.waitpid(child, 0)
print(os.waitstatus_to_exitcode(status))
"""
    assert printed(code, KLFAST_NUM_THREADS="4") == "0"


# Threads -------------------------------------------------------------------------------------------------------------

COUNT = "import klfast; print(klfast.get_num_threads())"
needs_threads = pytest.mark.skipif(not _kernels.has_openmp(), reason="this build has no threads")


@needs_threads
@pytest.mark.parametrize(
    ("environment", "count"),
    [
        ({"KLFAST_NUM_THREADS": "3"}, "3"),
        ({"OMP_NUM_THREADS": "5"}, "5"),
        ({"KLFAST_NUM_THREADS": "3", "OMP_NUM_THREADS": "5"}, "3"),
        ({"KLFAST_NUM_THREADS": "", "OMP_NUM_THREADS": "4,2"}, "4"),
        ({"OMP_NUM_THREADS": " 6 "}, "6"),
    ],
)
def test_the_environment_sets_the_number_of_threads(environment, count):
    assert printed(COUNT, **environment) == count


def test_by_default_there_are_no_more_threads_than_cpus():
    count = int(printed(COUNT, OMP_NUM_THREADS=""))
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert 1 <= count <= allowed


@pytest.mark.parametrize("text", ["none", "0", "-2", "1.5"])
def test_a_wrong_number_in_klfast_num_threads_is_named(text):
    done = python(COUNT, KLFAST_NUM_THREADS=text)
    assert done.stderr.strip().splitlines()[-1] == f"ValueError: KLFAST_NUM_THREADS: {text!r} is not a positive integer"


@needs_threads
def test_the_nearest_word_counts():
    try:
        klfast.set_num_threads(5)
        assert klfast.get_num_threads() == 5
        with klfast.threads(3):
            assert klfast.get_num_threads() == 3
            with klfast.threads(2):
                assert klfast.get_num_threads() == 2
            assert klfast.get_num_threads() == 3
            assert _threads.resolve(7) == 7
        assert klfast.get_num_threads() == 5
    finally:
        klfast.set_num_threads(None)


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({"cpu.max": "max 100000"}, np.inf),
        ({"cpu.max": "150000 100000"}, 2),
        ({"cpu/cpu.cfs_quota_us": "400000", "cpu/cpu.cfs_period_us": "100000"}, 4),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, np.inf),
        ({}, np.inf),
        ({"cpu.max": "nonsense"}, np.inf),
    ],
)
def test_the_quota_of_a_container_is_read(files, quota, tmp_path, monkeypatch):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(_threads, "CGROUP", tmp_path)
    assert _threads._quota() == quota


def test_hardware_threads_of_one_core_count_once(tmp_path, monkeypatch):
    for cpu, siblings in enumerate(["0,2", "1,3", "0,2", "1,3"]):
        folder = tmp_path / f"cpu{cpu}" / "topology"
        folder.mkdir(parents=True)
        (folder / "thread_siblings_list").write_text(siblings + "\n")
    monkeypatch.setattr(_threads, "CPU_FOLDER", tmp_path)
    assert _threads._physical_cores() == 2
