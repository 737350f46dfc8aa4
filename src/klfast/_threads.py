"""A request -> a number of threads.

The first of these that says something counts: the argument `n_threads`, the context manager `threads`, `set_num_threads`,
KLFAST_NUM_THREADS, OMP_NUM_THREADS, and last what the machine offers.
"""

import contextlib
import contextvars
import functools
import math
import os
from pathlib import Path

from klfast import _checks, _kernels

CPU_FOLDER = Path("/sys/devices/system/cpu")
CGROUP = Path("/sys/fs/cgroup")

_in_context = contextvars.ContextVar("klfast_threads", default=None)
_chosen = None


def resolve(n_threads):
    """How many threads a call may use."""
    if n_threads is not None:
        wanted = _checks.thread_count("n_threads", n_threads)
    else:
        wanted = _in_context.get() or _chosen or default_count()
    return wanted if _kernels.has_openmp() else 1


def get_num_threads():
    """Return how many threads a call uses that does not say otherwise.

    Examples
    --------
    >>> import klfast
    >>> with klfast.threads(1):
    ...     klfast.get_num_threads()
    1
    """
    return resolve(None)


def set_num_threads(n_threads):
    """Set how many threads calls use from now on; None goes back to the default.

    Parameters
    ----------
    n_threads : int or None
        At least 1.

    Examples
    --------
    >>> import klfast
    >>> klfast.set_num_threads(1)
    >>> klfast.get_num_threads()
    1
    >>> klfast.set_num_threads(None)
    """
    global _chosen
    _chosen = None if n_threads is None else _checks.thread_count("n_threads", n_threads)


@contextlib.contextmanager
def threads(n_threads):
    """Let the calls inside a `with` block use `n_threads` threads, in this thread of control only.

    Parameters
    ----------
    n_threads : int
        At least 1.

    Examples
    --------
    >>> import klfast
    >>> with klfast.threads(2):
    ...     float(klfast.entropy([0.5, 0.5], base=2))
    1.0
    """
    token = _in_context.set(_checks.thread_count("n_threads", n_threads))
    try:
        yield
    finally:
        _in_context.reset(token)


@functools.cache
def default_count():
    for name in ("KLFAST_NUM_THREADS", "OMP_NUM_THREADS"):
        # OMP_NUM_THREADS may be a list, one number for each level of nesting.
        text = os.environ.get(name, "").split(",")[0].strip()
        if text:
            if not text.isdecimal() or int(text) == 0:
                raise ValueError(f"{name}: {text!r} is not a positive integer")
            return int(text)
    return max(1, min(_allowed_cpus(), _quota(), _physical_cores()))


def _allowed_cpus():
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _quota():
    """How many CPUs' worth of time the container may use; infinite without a limit."""
    with contextlib.suppress(OSError, ValueError):
        quota, period = (CGROUP / "cpu.max").read_text().split()
        return math.inf if quota == "max" else math.ceil(int(quota) / int(period))
    with contextlib.suppress(OSError, ValueError):
        quota = int((CGROUP / "cpu/cpu.cfs_quota_us").read_text())
        return math.inf if quota <= 0 else math.ceil(quota / int((CGROUP / "cpu/cpu.cfs_period_us").read_text()))
    return math.inf


def _physical_cores():
    """Two hardware threads of one core share its vector units, so only cores count; infinite where nobody tells."""
    siblings = {
        path.read_text().strip() for path in CPU_FOLDER.glob("cpu[0-9]*/topology/thread_siblings_list") if path.exists()
    }
    return len(siblings) or math.inf


def _after_fork():
    """The runtime's threads do not exist in a forked child, and waiting for them would never end: run serial there."""
    set_num_threads(1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
