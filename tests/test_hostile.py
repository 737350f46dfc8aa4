"""Whatever callers come up with: the compiled functions do what the plain twins do, or say what is wrong before any work.

See hostile_judge.py for what is asked of every call; tools/fuzz.py asks the same for as long as one likes.
"""

import inspect
from random import Random

import numpy as np
import pytest
from hostile_arrays import laid_out, source
from hostile_judge import Failed, judge
from hypothesis import given, settings
from hypothesis import strategies as st
from test_structure import FUNCTIONS

import klfast

# The same calls in every run: what new ones find is for the fuzzer.
CALLS = 150


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_call_is_right_or_refused_before_any_work(name):
    for seed in range(CALLS):
        try:
            judge(Random(f"{seed} {name}"), name)
        except Failed as failure:
            for argument, value in failure.arguments.items():
                failure.add_note(f"{argument} = {source(value)}")
            raise


@given(
    st.randoms(use_true_random=False), st.sampled_from(["f8", "<f2", ">i4", "u1", "?", "c16", "M8[D]"]), st.booleans()
)
@settings(max_examples=50, deadline=None, derandomize=True, database=None)
def test_an_array_can_be_made_again_from_its_source(random, dtype, writable):
    """Else the reproductions that the fuzzer prints would show something else than what has failed."""
    shape = tuple(random.randrange(4) for _ in range(random.randrange(4)))
    array = laid_out(random, np.arange(np.prod(shape)).reshape(shape).astype(dtype), writable=writable)
    again = eval(source(array), {"np": np})
    assert (again.dtype, again.shape, again.flags.writeable) == (array.dtype, array.shape, array.flags.writeable)
    assert again.tobytes() == array.tobytes()
    if array.size:
        assert again.strides == array.strides and (again.ctypes.data - array.ctypes.data) % 8 == 0


def test_a_wrong_result_would_be_seen(monkeypatch):
    """The judge itself is held against functions that do what they must not."""
    right = klfast.entropy

    def outcomes(wrong):
        monkeypatch.setattr(klfast, "entropy", wrong)
        for seed in range(300):
            try:
                judge(Random(seed), "entropy")
            except Failed as failure:
                yield str(failure)

    def off(p, **options):
        return right(p, **options) * (1 + 1e-5)

    def crashes(p, **options):
        try:
            return right(p, **options)
        except TypeError:
            raise KeyError("p") from None

    def writes_first(p, *, out=None, **options):
        if isinstance(out, np.ndarray) and out.flags.writeable and out.dtype == np.float64:
            out[...] = 0.0
        return right(p, out=out, **options)

    def writes_beside(p, *, out=None, **options):
        result = right(p, out=out, **options)
        if out is not None and isinstance(out.base, np.ndarray) and out.base.dtype == np.uint8:
            out.base[-1] = 0
        return result

    for wrong, what in (
        (off, "not as the twin"),
        (crashes, "in place of TypeError or ValueError"),
        (writes_first, "something was written"),
        (writes_beside, "memory beside out"),
    ):
        wrong.__signature__ = inspect.signature(right)
        wrong.__module__ = right.__module__
        assert any(what in told for told in outcomes(wrong)), what
    assert not list(outcomes(right))
