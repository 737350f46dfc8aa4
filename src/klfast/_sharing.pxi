# ---- threads: who lends them, chosen once ----

cdef tuple drivers = ("serial", "pool", "openmp")  # by their numbers in share.h


def threading_drivers():
    """The names of the drivers that this build has, the usual one last."""
    return list(drivers if klfast_openmp_version() else drivers[:OPENMP_DRIVER])


def threading_driver():
    """The name of the driver in use; in a forked child it may be another one than in its parent."""
    return drivers[klfast_driver()]


def _choose_driver():
    possible = threading_drivers()
    wanted = os.environ.get("KLFAST_THREADING") or possible[len(possible) - 1]
    if wanted not in possible:
        raise ImportError(f"KLFAST_THREADING={wanted!r} is not possible here; possible are {', '.join(possible)}")
    klfast_use_driver(drivers.index(wanted))


_choose_driver()


def after_fork():
    """To be called in a forked child, before anything else."""
    klfast_after_fork()


def openmp_version():
    """The date of the OpenMP standard that the build follows; 0 without OpenMP."""
    return klfast_openmp_version()


def openmp_threads():
    """How many threads OpenMP would give the calling thread now; 0 without OpenMP."""
    return klfast_openmp_threads()


def openmp_processors():
    """How many processors OpenMP sees; 0 without OpenMP."""
    return klfast_openmp_processors()
