"""Timing: all contestants take turns, so that whatever the machine does to one it does to all."""

import time

# Between two contestants the idle threads of the first may still spin for a moment and hold the cores of the second.
SETTLE_SECONDS = 0.005
LONG_SECONDS = 0.2  # a call in which waking threads and filling the cache are no noticeable part


def seconds_for(call, repeats):
    start = time.perf_counter()
    for _ in range(repeats):
        call()
    return time.perf_counter() - start


def repeats_for(call, sample_seconds):
    """How many calls one sample takes, so that it lasts long enough to be timed."""
    repeats = 1
    while (elapsed := seconds_for(call, repeats)) < sample_seconds / 4:
        repeats *= 4
    return max(1, round(repeats * sample_seconds / elapsed))


def alternate(calls, repeats, n_rounds):
    """Time every call once a round, each round beginning with another one.

    Before each sample its contestant makes one call that is not timed: it wakes its threads and brings into the cache
    what its own last call would have left there. Calls that take long go without.

    Returns seconds per call: a list of n_rounds samples for each name.
    """
    names = list(calls)
    samples = {name: [] for name in names}
    for round_number in range(n_rounds):
        first = round_number % max(1, len(names))
        for name in names[first:] + names[:first]:
            time.sleep(SETTLE_SECONDS)
            if not samples[name] or samples[name][-1] < LONG_SECONDS:
                calls[name]()
            samples[name].append(seconds_for(calls[name], repeats[name]) / repeats[name])
    return samples
