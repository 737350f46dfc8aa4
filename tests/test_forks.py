"""After a fork klfast never hangs: a child computes with one thread until it asks for more. Each in a process with a limit."""

import importlib.util
import multiprocessing
import os

import pytest
from fresh_process import printed, python

from klfast import _kernels

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")

DRIVERS = _kernels.threading_drivers()
every_driver = pytest.mark.parametrize("driver", DRIVERS)

# `work` takes both ways of sharing out, rows and blocks; `in_child` runs a function in a forked child and says how it ended.
BEGINNING = """
import faulthandler, os, signal, sys, threading, time
import numpy as np
import klfast
from klfast import _kernels
faulthandler.dump_traceback_later(45, exit=True)
p = np.random.default_rng(0).random((50, 5000))
long = p.reshape(1, -1)
def work(**options):
    return klfast.entropy(p, **options), klfast.entropy(long, **options), klfast.entr(p, **options).sum()
def is_right(results):
    return all(np.array_equal(one, other) for one, other in zip(results, expected))
def tasks():
    return len(os.listdir("/proc/self/task")) if os.path.isdir("/proc/self/task") else 1
def in_child(function):
    child = os.fork()
    if child == 0:
        code = 99
        try:
            code = 0 if function() else 1
        finally:
            os._exit(code)
    for _ in range(400):
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.05)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "hangs"
def is_serial():
    return is_right(work()) and is_right(work(n_threads=4)) and klfast.get_num_threads() == 1 and tasks() == 1
"""
USED = BEGINNING + "expected = work()\n"


def outcome(code, driver):
    return printed(code, KLFAST_THREADING=driver, KLFAST_NUM_THREADS="4")


@every_driver
def test_a_child_computes_with_one_thread(driver):
    assert outcome(USED + "print(in_child(is_serial))", driver) == "0"


@every_driver
def test_a_child_of_a_process_that_has_not_computed_yet(driver):
    code = BEGINNING + """
row_by_row = [np.array([klfast.entropy(row, n_threads=1) for row in rows]) for rows in (p, long)]
expected = [*row_by_row, klfast.entr(p, n_threads=1).sum()]
print(in_child(is_serial))
"""
    assert outcome(code, driver) == "0"


@every_driver
def test_the_parent_goes_on_with_its_threads(driver):
    code = USED + "print(in_child(is_serial), is_right(work()), klfast.get_num_threads(), _kernels.threading_driver())"
    assert outcome(code, driver) == f"0 True {1 if driver == 'serial' else 4} {driver}"


@every_driver
def test_a_child_that_asks_for_threads_gets_some_of_its_own(driver):
    """They come from the pool: OpenMP's threads stayed in the parent, and it would wait for them."""
    code = USED + """
def more():
    klfast.set_num_threads(3)
    count = klfast.get_num_threads()
    started = is_right(work()) and tasks() - 1
    print(count, started, _kernels.threading_driver(), flush=True)
    return is_right(work(n_threads=4)) and is_right(work(n_threads=2))
print(in_child(more))
"""
    lines = outcome(code, driver).splitlines()
    assert lines == ["1 0 serial" if driver == "serial" else "3 2 pool", "0"]


@every_driver
def test_a_child_that_goes_back_to_the_default(driver):
    code = USED + """
def default():
    klfast.set_num_threads(None)
    print(klfast.get_num_threads(), flush=True)
    return is_right(work())
print(in_child(default))
"""
    assert outcome(code, driver).splitlines() == ["1" if driver == "serial" else "4", "0"]


@every_driver
def test_a_number_of_threads_in_force_at_the_fork_does_not_count_in_the_child(driver):
    code = USED + """
klfast.set_num_threads(4)
with klfast.threads(3):
    print(in_child(is_serial))
"""
    assert outcome(code, driver) == "0"


@every_driver
def test_two_generations(driver):
    code = USED + """
def first():
    klfast.set_num_threads(3)
    return is_right(work()) and in_child(second) == 0 and is_right(work())
def second():
    return is_serial()
print(in_child(first), in_child(lambda: is_serial() and in_child(is_serial) == 0 and is_serial()))
"""
    assert outcome(code, driver) == "0 0"


@every_driver
def test_a_fork_from_another_thread_than_the_main_one(driver):
    code = USED + """
ended = []
def fork():
    work()
    ended.append(in_child(is_serial))
    ended.append(in_child(lambda: klfast.set_num_threads(3) or is_right(work())))
thread = threading.Thread(target=fork)
thread.start()
thread.join()
print(*ended)
"""
    assert outcome(code, driver) == "0 0"


@every_driver
def test_forks_while_other_threads_are_inside_a_kernel(driver):
    code = USED + """
is_over = threading.Event()
def busy():
    while not is_over.is_set():
        work()
threads = [threading.Thread(target=busy) for _ in range(3)]
for one in threads: one.start()
ended = [in_child(lambda: is_serial() and (klfast.set_num_threads(2) or is_right(work()))) for _ in range(12)]
is_over.set()
for one in threads: one.join()
print(set(ended), is_right(work()))
"""
    assert outcome(code, driver) == "{0} True"


@every_driver
def test_a_fork_that_python_knows_nothing_of(driver):
    """Its hooks do not run, so the child goes on with the number of threads; they are its own all the same."""
    code = USED + """
import ctypes
fork = ctypes.PyDLL(None).fork
os.fork = fork
print(in_child(lambda: is_right(work()) and is_right(work(n_threads=2))))
"""
    assert outcome(code, driver) == "0"


@every_driver
def test_a_pool_of_forked_workers(driver):
    code = USED + """
import multiprocessing
def job(number):
    return is_right(work()) and klfast.get_num_threads() == 1
with multiprocessing.get_context("fork").Pool(3) as pool:
    print(all(pool.map_async(job, range(20)).get(timeout=30)))
"""
    assert outcome(code, driver) == "True"


@pytest.mark.parametrize("method", [name for name in multiprocessing.get_all_start_methods() if name != "fork"])
def test_workers_of_other_kinds_start_from_scratch(method, tmp_path):
    (tmp_path / "worker.py").write_text(BEGINNING + """
expected = work(n_threads=1)
def job(number):
    return is_right(work()) and klfast.get_num_threads() == 3
""")
    code = f"""
import multiprocessing, sys
sys.path.insert(0, {str(tmp_path)!r})
import worker
worker.work()
if __name__ == "__main__":
    with multiprocessing.get_context({method!r}).Pool(2) as pool:
        print(all(pool.map_async(worker.job, range(6)).get(timeout=40)))
"""
    (tmp_path / "main.py").write_text(code)
    run = f"import runpy; runpy.run_path({str(tmp_path / 'main.py')!r}, run_name='__main__')"
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = python(run, KLFAST_NUM_THREADS="3", PYTHONPATH=path)
    assert (done.stdout.strip(), done.returncode) == ("True", 0), done.stderr


@pytest.mark.skipif(importlib.util.find_spec("loky") is None, reason="loky is not installed")
def test_loky_workers():
    code = USED + """
import loky
def job(number):
    import klfast
    import numpy as np
    p = np.random.default_rng(0).random((50, 5000))
    return klfast.entropy(p, n_threads=3)
with loky.ProcessPoolExecutor(2) as pool:
    print(all(np.array_equal(one, expected[0]) for one in pool.map(job, range(6), timeout=40)))
"""
    assert outcome(code, DRIVERS[-1]) == "True"


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="torch is too large for the tests' requirements")
@every_driver
def test_workers_of_a_torch_data_loader(driver):
    code = USED + """
import torch
torch.ones(2000, 2000) @ torch.ones(2000, 2000)
class Rows(torch.utils.data.Dataset):
    def __len__(self):
        return 12
    def __getitem__(self, number):
        return float(is_right(work()))
loader = torch.utils.data.DataLoader(Rows(), batch_size=2, num_workers=2, multiprocessing_context="fork", timeout=30)
print(sum(batch.sum().item() for batch in loader), is_right(work()))
"""
    assert outcome(code, driver) == "12.0 True"
