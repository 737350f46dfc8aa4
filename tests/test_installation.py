"""What importing klfast does and does not do: CPU levels, floating-point state. Each in a fresh process."""

import pytest
from cpu_levels import LEVELS
from fresh_process import printed, python

import klfast

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
    assert "threads     3" in text


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


def test_an_import_takes_no_part_of_numpy_that_numpy_leaves_for_later():
    code = """
import sys, numpy
before = set(sys.modules)
import klfast
klfast.logits.cross_entropy(numpy.ones((2, 3)), numpy.array([0, 1]), axis=-1)
klfast.kl_divergence([1.0, 2.0], [2.0, 1.0])
print(sorted(name for name in set(sys.modules) - before if name.startswith("numpy.ma.")))
"""
    assert printed(code) == "[]"
