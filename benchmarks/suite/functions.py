"""One class for every entry of the catalogue, made from it, so that a name cannot disagree with what it times."""

from functools import partial

from ._catalogue import catalogue
from ._inputs import make_inputs

SHAPES = {"10": (10,), "1000x100": (1000, 100), "4x100000": (4, 100_000)}
DTYPES = ("float32", "float64")


class _Benchmark:
    """asv calls `setup` first, which is not timed, and then `time_call` again and again."""

    params = (tuple(SHAPES), DTYPES)
    param_names = ("shape", "dtype")
    timeout = 60

    def setup(self, shape, dtype):
        arguments = make_inputs(self.entry.function, SHAPES[shape], dtype, self.entry.instead)
        self.call = partial(self.entry.function, **arguments, **self.entry.keywords)
        self.call()

    def time_call(self, shape, dtype):
        self.call()


def _benchmark(name, entry):
    members = {"entry": entry, "__doc__": f"klfast.{name}", "__module__": __name__}
    return type(name.replace(".", "_"), (_Benchmark,), members)


BENCHMARKS = {name: _benchmark(name, entry) for name, entry in catalogue().items()}
globals().update({benchmark.__name__: benchmark for benchmark in BENCHMARKS.values()})
