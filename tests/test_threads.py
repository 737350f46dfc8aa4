"""How many threads a call uses, who lends them, and that neither they nor other callers change a bit."""

import os
import sys
import threading

import numpy as np
import pytest
from fresh_process import printed, python

import klfast
from klfast import _kernels, _threads

COUNT = "import klfast; print(klfast.get_num_threads())"
DRIVERS = _kernels.threading_drivers()
needs_proc = pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="this system does not list a process's threads")
needs_openmp = pytest.mark.skipif("openmp" not in DRIVERS, reason="this build has no OpenMP")


# The number of threads ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environment", "count"),
    [
        ({"KLFAST_NUM_THREADS": "3"}, "3"),
        ({"KLFAST_NUM_THREADS": " 3 "}, "3"),
        ({"OMP_NUM_THREADS": "5"}, "5"),
        ({"KLFAST_NUM_THREADS": "3", "OMP_NUM_THREADS": "5"}, "3"),
        ({"KLFAST_NUM_THREADS": "5", "OMP_NUM_THREADS": "3"}, "5"),
        ({"KLFAST_NUM_THREADS": "", "OMP_NUM_THREADS": "4,2"}, "4"),
        ({"OMP_NUM_THREADS": " 6 "}, "6"),
    ],
)
@pytest.mark.parametrize("driver", [name for name in DRIVERS if name != "serial"])
def test_the_environment_sets_the_number_of_threads(driver, environment, count):
    assert printed(COUNT, KLFAST_THREADING=driver, **environment) == count


@pytest.mark.parametrize("text", ["", " ", None])
def test_by_default_there_are_no_more_threads_than_cpus(text):
    count = int(printed(COUNT, OMP_NUM_THREADS=text))
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert 1 <= count <= allowed


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system does not bind processes to CPUs")
def test_a_process_that_is_bound_to_one_cpu_uses_one_thread():
    code = "import os; os.sched_setaffinity(0, list(os.sched_getaffinity(0))[:1]); " + COUNT
    assert printed(code) == "1"


@pytest.mark.parametrize("text", ["none", "0", "-2", "1.5", "²"])
def test_a_wrong_number_in_klfast_num_threads_is_named(text):
    done = python(COUNT, KLFAST_NUM_THREADS=text, PYTHONIOENCODING="utf-8")
    assert done.stderr.strip().splitlines()[-1] == f"ValueError: KLFAST_NUM_THREADS: {text!r} is not a positive integer"


@pytest.mark.parametrize("text", ["none", "0,4", "-2", "1.5", "4,", ",2"])
def test_a_wrong_number_in_omp_num_threads_is_ignored_with_a_warning(text):
    code = """
import warnings
import klfast
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    klfast.get_num_threads(), klfast.get_num_threads()
print(*[f"{one.category.__name__}: {one.message}" for one in caught], sep="\\n")
"""
    told = f"RuntimeWarning: OMP_NUM_THREADS: {text!r} is ignored, it is no positive integer"
    assert printed(code, OMP_NUM_THREADS=text) == told


@pytest.mark.skipif(DRIVERS == ["serial"], reason="this build has no threads")
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
        ({"cpu.max": "50000 100000"}, 1),
        ({"cpu.max": "max 100000", "a/cpu.max": "300000 100000", "a/b/cpu.max": "max 100000"}, 3),
        ({"cpu.max": "max 100000", "a/cpu.max": "300000 100000", "a/b/cpu.max": "200000 100000"}, 2),
        ({"cpu.max": "max 100000", "other/cpu.max": "200000 100000"}, np.inf),
        ({"cpu/cpu.cfs_quota_us": "400000", "cpu/cpu.cfs_period_us": "100000"}, 4),
        ({"cpu/c/cpu.cfs_quota_us": "400000", "cpu/c/cpu.cfs_period_us": "100000"}, 4),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, np.inf),
        ({"cpu/cpu.cfs_quota_us": "400000"}, np.inf),
        ({}, np.inf),
        ({"cpu.max": "nonsense"}, np.inf),
        ({"cpu.max": "100000 0"}, np.inf),
    ],
)
def test_the_quota_of_a_container_is_read(files, quota, tmp_path, monkeypatch):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    own = tmp_path / "own"
    own.write_text("3:cpu,cpuacct:/c\n0::/../a/b\n")
    monkeypatch.setattr(_threads, "CGROUP", tmp_path)
    monkeypatch.setattr(_threads, "CGROUP_OF_PROCESS", own)
    assert _threads._quota() == quota


def test_hardware_threads_of_one_core_count_once(tmp_path, monkeypatch):
    for cpu, siblings in enumerate(["0,2", "1,3", "0,2", "1,3"]):
        folder = tmp_path / f"cpu{cpu}" / "topology"
        folder.mkdir(parents=True)
        (folder / "thread_siblings_list").write_text(siblings + "\n")
    monkeypatch.setattr(_threads, "CPU_FOLDER", tmp_path)
    assert _threads._physical_cores() == 2


# Who lends the threads ---------------------------------------------------------------------------------------------


def test_the_usual_driver_is_openmp_where_the_build_has_it():
    assert printed("import klfast; print(klfast._kernels.threading_driver())") == DRIVERS[-1]
    assert DRIVERS[:2] == ["serial", "pool"]
    assert ("openmp" in DRIVERS) == (_kernels.openmp_version() > 0)


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_driver_can_be_forced(driver):
    code = "import klfast; klfast.show_config(); print(klfast.get_num_threads())"
    text = printed(code, KLFAST_THREADING=driver, KLFAST_NUM_THREADS="3")
    assert f"threading   {driver}" in text
    assert f"(available: {', '.join(DRIVERS)})" in text
    assert text.endswith("1" if driver == "serial" else "3")


@pytest.mark.parametrize("driver", ["OpenMP", "tbb", "2"])
def test_an_impossible_driver_lists_the_possible_ones(driver):
    done = python("import klfast", KLFAST_THREADING=driver)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last == f"ImportError: KLFAST_THREADING={driver!r} is not possible here; possible are {', '.join(DRIVERS)}"


# Every way in which work is shared out: many rows, few long ones with results and gradients, elements, terms, top k.
WORK = """
import hashlib
import numpy as np
import klfast
random = np.random.default_rng(5)
p, q = random.random((2, 300, 700))
x, y = random.normal(size=(2, 2, 90_000)).astype(np.float32)
long = np.random.default_rng(6).random(400_001)
def work():
    results = [
        klfast.kl_divergence(p, q), klfast.js_divergence(p, q, axis=0), klfast.entropy(long), klfast.rel_entr(p, q),
        klfast.kl_divergence(x, y, normalize=False), klfast.logits.kl_divergence(x, y),
        *klfast.logits.cross_entropy_value_and_grad(x, [3, 4]), klfast.rlhf.kl_estimate(x, y, "k3"),
        klfast.rlhf.kl_estimate(x[0], y[0], "k2", lengths=[50_000, 0, 39_999, 1]),
        klfast.gaussian.kl_standard_normal(p, q), *klfast.distill.topk(p, 5),
    ]
    return hashlib.sha256(b"".join(np.ascontiguousarray(one).tobytes() for one in results)).hexdigest()
"""


def test_no_driver_and_no_number_of_threads_changes_a_bit():
    digests = {
        printed(WORK + "print(work())", KLFAST_THREADING=driver, KLFAST_NUM_THREADS=count)
        for driver in DRIVERS
        for count in ("1", "2", "7")
    }
    assert len(digests) == 1


TASKS = """
import os
def tasks():
    return len(os.listdir("/proc/self/task"))
"""


@needs_proc
@pytest.mark.parametrize("driver", DRIVERS)
def test_only_large_work_wakes_threads(driver):
    code = TASKS + """
import numpy as np
import klfast
before = tasks()
small, large = np.ones(1000), np.ones((100, 10_000))
klfast.entropy(small), klfast.entropy(small.reshape(100, 10)), klfast.entr(small), klfast.distill.topk(small, 3)
klfast.rlhf.kl_estimate(small, small), klfast.gaussian.kl_standard_normal(small, small)
klfast.entropy(large, n_threads=1)
alone = tasks() - before
klfast.entropy(large)
print(alone, tasks() - before)
"""
    more = "0" if driver == "serial" else "3"
    assert printed(code, KLFAST_THREADING=driver, KLFAST_NUM_THREADS="4") == f"0 {more}"


@needs_openmp
def test_threadpoolctl_sees_and_limits_the_runtime():
    pytest.importorskip("threadpoolctl", reason="threadpoolctl is not installed")
    code = """
import klfast
import threadpoolctl
runtimes = [one for one in threadpoolctl.threadpool_info() if one["user_api"] == "openmp"]
assert [one["prefix"] for one in runtimes] == ["libgomp"] or runtimes, runtimes
found = [klfast.get_num_threads()]
with threadpoolctl.threadpool_limits(2, user_api="openmp"):
    found.append(klfast.get_num_threads())
    with klfast.threads(3):
        found.append(klfast.get_num_threads())
    klfast.set_num_threads(1)
    found.append(klfast.get_num_threads())
    klfast.set_num_threads(6)
    found.append(klfast.get_num_threads())
found.append(klfast.get_num_threads())
print(*found)
"""
    assert printed(code, OMP_NUM_THREADS="4") == "4 2 3 1 2 6"


@needs_openmp
def test_a_thread_needs_no_more_stack_than_is_promised():
    """512 KiB, half of what threads of the pool have: see system_threads.h. Tiles need most."""
    code = """
import numpy as np
import klfast
for dtype, length, order in ((dtype, length, order) for dtype in "fd" for length in (100, 256, 512, 3000) for order in "CF"):
    random = np.random.default_rng(length)
    x = np.asarray(random.normal(size=(300, length)), dtype, order)
    y = np.asarray(x + random.normal(size=(300, length)), dtype, order)
    y[3] = x[3]
    p, q = abs(x), abs(y)
    p[5] *= 3e-31
    for where in (np.True_, random.random((300, length)) < 0.7):
        with klfast.threads(4):
            for function in (klfast.kl_divergence, klfast.js_divergence, klfast.chi2_divergence, klfast.cross_entropy):
                function(p, q, where=where)
            klfast.renyi_divergence(p, q, 0.5, where=where)
            klfast.logits.kl_divergence_grad(x, y, where=where)
            klfast.logits.js_divergence_grad(x, y, beta=0.3, where=where)
            klfast.logits.js_divergence_grad(x, y, where=where)
            klfast.logits.cross_entropy_grad(x, p, where=where)
            klfast.logits.softmax(x, where=where)
print("done")
"""
    assert printed(code, KLFAST_THREADING="openmp", OMP_STACKSIZE="512k") == "done"


def test_nothing_is_set_for_the_user():
    code = """
import ctypes, os
names = ["OMP_NUM_THREADS", "OMP_WAIT_POLICY", "OMP_PROC_BIND", "GOMP_SPINCOUNT", "GOMP_CPU_AFFINITY", "KMP_BLOCKTIME",
         "KMP_DUPLICATE_LIB_OK", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"]
before = dict(os.environ)
import numpy as np
import klfast
klfast.entropy(np.ones((100, 10_000)), n_threads=3)
assert dict(os.environ) == before
c = ctypes.CDLL(None)
c.getenv.restype, c.getenv.argtypes = ctypes.c_char_p, [ctypes.c_char_p]
print([name for name in names if name not in before and c.getenv(name.encode())])
"""
    assert printed(code) == "[]"


# Parallel callers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("driver", DRIVERS)
def test_callers_in_parallel_get_the_same_bits(driver):
    code = WORK + """
import sys
import threading
expected, found, barrier = work(), [], threading.Barrier(9)
sys.setswitchinterval(1e-5)
def call(number):
    barrier.wait()
    for _ in range(6):
        with klfast.threads(1 + number % 4):
            found.append(work())
        found.append(work())
def change():
    barrier.wait()
    for count in range(300):
        klfast.set_num_threads(1 + count % 5)
        assert 1 <= klfast.get_num_threads() <= 5
callers = [threading.Thread(target=call, args=(number,)) for number in range(8)] + [threading.Thread(target=change)]
for one in callers: one.start()
for one in callers: one.join()
print(len(found), set(found) == {expected})
"""
    assert printed(code, KLFAST_THREADING=driver, KLFAST_NUM_THREADS="3") == "96 True"


LONG = np.random.default_rng(0).random(3_000_000)
CALLS = {
    "one vector": lambda: klfast.kl_divergence(LONG, LONG[::-1].copy(), n_threads=1),
    "rows": lambda: klfast.kl_divergence(LONG.reshape(3000, 1000), LONG[:1000], n_threads=1),
    "blocks of rows": lambda: klfast.js_divergence(LONG[None, ::-1], LONG[None], n_threads=2),
    "gradients": lambda: klfast.logits.entropy_grad(LONG.reshape(3000, 1000), n_threads=1),
    "elements": lambda: klfast.rel_entr(LONG, LONG[::-1].copy(), n_threads=1),
    "terms": lambda: klfast.rlhf.kl_estimate(LONG, LONG[::-1], "k3", n_threads=1),
    "largest": lambda: klfast.distill.topk(LONG.reshape(3, 1_000_000), 100, n_threads=1),
}


@pytest.mark.parametrize("name", CALLS)
def test_the_global_lock_is_released_while_kernels_work(name):
    """Python never takes the lock away here: this thread runs only if the calling one lets go of it."""
    code_runs, is_done = threading.Event(), threading.Event()

    def call():
        code_runs.set()
        for _ in range(3):
            CALLS[name]()
        is_done.set()

    caller = threading.Thread(target=call)
    before = sys.getswitchinterval()
    sys.setswitchinterval(1000)
    try:
        caller.start()
        code_runs.wait()
        turns = 0
        while not is_done.is_set():
            turns += 1
            threading.Event().wait(1e-4)
    finally:
        sys.setswitchinterval(before)
        caller.join()
    assert turns > 3
