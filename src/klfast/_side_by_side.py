"""Python calls in several threads at once: for work that is many calls of kernels, each too small to be shared out.

A signal (Ctrl-C, or a handler that raises) may raise its exception between any two steps of Python code. The pools of the
standard library wait for each other in Python code: interrupted there, they print tracebacks, raise another exception in
the place of the signal's, or wait for ever. Here the calling thread starts others, and waits for them, in calls of C alone.
"""

import _thread
from collections import deque
from queue import SimpleQueue

NOTHING = object()


def side_by_side(work, items, n_threads):
    """Call `work` with every item, in this thread and `n_threads` - 1 more, and raise the first exception of any of them.

    No thread works any more when it returns or raises, unless a second signal comes while it waits for them.
    """
    left = deque(items)  # taking from it is one step, so that no item is taken twice
    ended = SimpleQueue()

    def take():
        try:
            return left.popleft()
        except IndexError:
            return NOTHING

    def work_on():
        while (item := take()) is not NOTHING:
            work(item)

    def help_out():
        error = None
        try:
            work_on()
        except BaseException as raised:
            error = raised
            left.clear()
        ended.put(error)

    helpers, errors = 0, []
    try:
        for _ in range(n_threads - 1):
            _thread.start_new_thread(help_out, ())
            helpers += 1
        work_on()
    finally:
        left.clear()
        while len(errors) < helpers:
            errors.append(ended.get())
    for error in errors:
        if error is not None:
            raise error
