"""A request -> a number of threads.

The first of these that says something counts: the argument `n_threads`, the context manager `threads`, `set_num_threads`,
KLFAST_NUM_THREADS, OMP_NUM_THREADS, and last what the machine offers. A limit that someone (threadpoolctl) has set for OpenMP
holds for all of them but the argument and the context manager.
"""

import contextlib
import contextvars
import functools
import math
import os
import warnings
from pathlib import Path

from klfast import _checks, _kernels

CPU_FOLDER = Path("/sys/devices/system/cpu")
CGROUP = Path("/sys/fs/cgroup")
CGROUP_OF_PROCESS = Path("/proc/self/cgroup")

_in_context = contextvars.ContextVar("klfast_threads", default=None)
_chosen = None
_is_forked = False


def resolve(n_threads, size=math.inf):
    """How many threads a call for so many elements may use."""
    if n_threads is None and size < _kernels.SMALL_WORK:
        return 1
    wanted = _in_context.get() if n_threads is None else _checks.thread_count("n_threads", n_threads)
    if _is_forked or _kernels.threading_driver() == "serial":
        return 1
    return wanted or min(_chosen or default_count(), _openmp_limit())


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

    A forked child uses one thread, whatever else is said, until this is called in it.

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
    global _chosen, _is_forked
    _chosen = None if n_threads is None else _checks.thread_count("n_threads", n_threads)
    _is_forked = False


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
    text = os.environ.get("KLFAST_NUM_THREADS", "").strip()
    if text:
        count = _positive(text)
        if count is None:
            raise ValueError(f"KLFAST_NUM_THREADS: {text!r} is not a positive integer")
        return count
    return _count_for_openmp() or max(1, min(_allowed_cpus(), _quota(), _physical_cores()))


@functools.cache
def _count_for_openmp():
    """The number in OMP_NUM_THREADS; None where it is empty, missing or no number.

    It may be a list, one number for each level of nesting. It is other libraries' variable too: what OpenMP itself would
    ignore must not stop a program.
    """
    text = os.environ.get("OMP_NUM_THREADS", "").strip()
    if not text:
        return None
    counts = [_positive(part.strip()) for part in text.split(",")]
    if None in counts:
        warnings.warn(f"OMP_NUM_THREADS: {text!r} is ignored, it is no positive integer", RuntimeWarning, stacklevel=2)
        return None
    return counts[0]


def _positive(text):
    return int(text) if text.isascii() and text.isdecimal() and int(text) > 0 else None


def _openmp_limit():
    """How many threads someone has limited OpenMP to in this thread of control; infinite if nobody has."""
    if _kernels.threading_driver() != "openmp":
        return math.inf
    most = _kernels.openmp_threads()
    return most if most < (_count_for_openmp() or _kernels.openmp_processors()) else math.inf


def _allowed_cpus():
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _quota():
    """How many CPUs' worth of time the container may use; infinite without a limit.

    A process's group lies in groups that have limits of their own, and the smallest counts. Inside a container the path of
    the group may be one that only the host can see: what is at the top is then the container's own.
    """
    limits = [math.inf]
    for folder in _groups(""):
        with contextlib.suppress(OSError, ValueError, ZeroDivisionError):
            quota, period = (folder / "cpu.max").read_text().split()
            limits.append(math.ceil(int(quota) / int(period)))  # "max" is no number and no limit
    for folder in _groups("cpu"):
        with contextlib.suppress(OSError, ValueError, ZeroDivisionError):
            quota = int((folder / "cpu.cfs_quota_us").read_text())
            period = int((folder / "cpu.cfs_period_us").read_text())
            limits.append(math.ceil(quota / period) if quota > 0 else math.inf)
    return max(1, min(limits))


def _groups(controller):
    """The folders of this process's control group and of those that it lies in; `controller` is empty in version 2."""
    top = CGROUP / controller
    folders = [top]
    with contextlib.suppress(OSError):
        for line in CGROUP_OF_PROCESS.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controller in controllers.split(","):
                parts = [part for part in path.split("/") if part not in ("", "..")]
                folders += [top.joinpath(*parts[: i + 1]) for i in range(len(parts))]
    return folders


def _physical_cores():
    """Two hardware threads of one core share its vector units, so only cores count; infinite where nobody tells."""
    siblings = {
        path.read_text().strip() for path in CPU_FOLDER.glob("cpu[0-9]*/topology/thread_siblings_list") if path.exists()
    }
    return len(siblings) or math.inf


def _after_fork():
    """The threads of the parent do not exist in a forked child, and there are often as many children as processors."""
    global _is_forked
    _kernels.after_fork()
    _is_forked = True
    default_count.cache_clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
