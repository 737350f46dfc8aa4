"""What must come out of a call, and what one refused argument must do to it.

A call that the rules allow raises nothing, warns of nothing (but an overflow at the ends of the range), changes no argument,
writes nothing beside `out`, returns the same bits as the same call with plain arrays, and, where the plain twin can judge it,
what that returns. A call with one argument that the rules refuse raises TypeError or ValueError (IndexError for a class that
there is not), names the argument, and leaves everything as it was.
"""

import warnings

import numpy as np
from hostile import Call, public, twin
from hostile_arrays import BFLOAT16, GARBAGE, laid_out
from hostile_faults import OTHER_SHAPE, fault

NARROW, WIDE = 2.0**-20, 1e-10  # relative error of results computed as float, and of the twin
ROUNDING = 1e-12  # of the twin, relative to the largest numbers that it adds up


class Failed(AssertionError):
    """A call that did not do what it must; `arguments` repeat it."""

    def __init__(self, what, name, arguments):
        super().__init__(f"{name}: {what}")
        self.name, self.arguments = name, arguments


def judge(random, name):
    """Make a call and look at it; returns what was tried: "fine", or the type of the error that came as it must."""
    call = Call(random, name)
    if random.random() < 0.3:
        refused = fault(random, call)
        if refused is not None:
            return _judge_refused(random, call, *refused)
    return _judge_allowed(random, call)


def _judge_allowed(random, call):
    arguments, plain = call.arguments("value"), plainly(call)
    add_output(random, call, arguments, plain)
    kept = Kept(arguments)
    try:
        result = silently(call, arguments)
    except Exception as error:
        raise Failed(f"{error!r}, but the rules allow this", call.name, kept.arguments) from error
    if not kept.unchanged(arguments, result, call.name):
        raise Failed("an argument, or memory beside out, was written", call.name, kept.arguments)
    for one, other in zip(parts(result), parts(plain), strict=True):
        if not same_bits(one, other):
            raise Failed(f"{one!r}, but of plain arrays {other!r}", call.name, kept.arguments)
    if call.judged:
        _judge_by_twin(call, plain)
    return "fine"


def plainly(call):
    """What comes of the call with plain arrays."""
    try:
        return silently(call, call.arguments("plain"))
    except Exception as error:
        raise Failed(
            f"{error!r} for plain arrays, but the rules allow this", call.name, call.arguments("plain")
        ) from error


def _judge_by_twin(call, plain):
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            expected = parts(twin(call.name)(**call.arguments("twin")))
        except Exception as error:
            raise Failed(f"{plain!r}, but the twin says {error!r}", call.name, call.arguments("plain")) from error
    if len(parts(plain)) != len(expected):
        raise Failed(f"{len(parts(plain))} results in place of {len(expected)}", call.name, call.arguments("plain"))
    for one, other in zip(parts(plain), expected):
        if call.name.endswith("distance"):
            one, other = np.square(one), np.square(other)
        what = difference(call, one, other)
        if what:
            raise Failed(what, call.name, call.arguments("plain"))


def difference(call, one, other):
    """How a result differs from that of the twin by more than rounding; nothing if it does not."""
    other = np.asarray(other)
    if one.shape != other.shape:
        return f"shape {one.shape}, but the twin has {other.shape}"
    if one.dtype == np.uint16 and call.has_bits:
        one = one.view(BFLOAT16)
    if one.dtype.kind in "iu":
        return "" if np.array_equal(one, other) else f"{one}, but the twin has {other}"
    some = all if call.name == "logits.compare_rows" else any  # which has figures of one of them alone
    relative = WIDE if not call.used_types or some(map(is_wide, call.used_types)) else NARROW
    absolute = (NARROW if relative == NARROW else ROUNDING) * largest_number(call)
    if one.dtype.itemsize < 8:  # the twin's numbers in the type of the results
        epsilon = 2.0**-8 if one.dtype == BFLOAT16 else float(np.finfo(one.dtype).eps)
        relative = max(relative, 2 * epsilon)
        with np.errstate(over="ignore"):
            other = other.astype(one.dtype).astype(np.float64)
        absolute += 1e-7 if one.dtype == np.float16 else 0.0
    one = one.astype(np.float64)
    try:
        np.testing.assert_allclose(one, other, rtol=relative, atol=absolute)
    except AssertionError as error:
        return f"not as the twin: {' '.join(str(error).split())}"
    return ""


def is_wide(dtype):
    return not (dtype == BFLOAT16 or (dtype.kind == "f" and dtype.itemsize <= 4))


def largest_number(call):
    """How large the numbers are that the twin adds up, roughly and from above."""
    scale, temperature = 1.0, float(call.value_of("temperature") or 1.0) if "temperature" in call.parameters else 1.0
    given = call.arguments("twin")
    for name, one in given.items():
        if isinstance(one, np.ndarray) and one.dtype.kind == "f" and name != "grad_output":
            finite = np.abs(one[np.isfinite(one)])
            scale = max(scale, float(finite.max(initial=1.0)) / min(1.0, temperature))
    if "z_loss" in given or "weight" in given:
        scale *= scale
    if "grad_output" in given:
        scale *= max(1.0, float(np.abs(given["grad_output"]).max(initial=1.0)))
    count = np.prod([size for size in call.shape if size]) if call.value_of_any("reduction") != "none" else 1
    return scale * max(1.0, count) * max(1.0, temperature) ** (2 if call.value_of_any("scale_by_t2") else 0)


# Refused -------------------------------------------------------------------------------------------------------------


def _judge_refused(random, call, named, changes, kinds):
    arguments, plain = call.arguments("value"), plainly(call)
    if callable(changes):
        changes = changes(plain)
    elif kinds is not OTHER_SHAPE:
        add_output(random, call, arguments, plain, in_place=False)
    arguments |= changes
    kept = Kept(arguments)
    try:
        result = silently(call, arguments)
    except kinds as error:
        if named not in str(error):
            raise Failed(f"{error!r} does not name {named}", call.name, kept.arguments) from error
        if not kept.unchanged(arguments, None, call.name):
            raise Failed(f"something was written before {error!r}", call.name, kept.arguments) from error
        return type(error).__name__
    except Exception as error:
        raise Failed(f"{error!r} in place of TypeError or ValueError", call.name, kept.arguments) from error
    raise Failed(f"{named} is refused by the rules, but the result is {result!r}", call.name, kept.arguments)


# Results and memory --------------------------------------------------------------------------------------------------


def silently(call, arguments):
    """The result; a warning is an error, but for numbers at the ends of the range, and a list of one class that is made all."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", "one renormalized class")
        if call.style == "extreme":
            warnings.filterwarnings("ignore", "overflow encountered", RuntimeWarning)
        return public(call.name)(**arguments)


def parts(result):
    """All arrays of a result: of pairs of pairs, and of records."""
    if isinstance(result, tuple):
        return [part for one in result for part in parts(one)]
    result = np.asarray(result)
    return [result[field] for field in result.dtype.names] if result.dtype.names else [result]


def same_bits(one, other):
    if one.shape != other.shape or one.dtype.newbyteorder("=") != other.dtype:
        return False
    if other.dtype.kind == "f" and other.dtype != BFLOAT16:
        return bool(
            np.all(((one == other) & (np.signbit(one) == np.signbit(other))) | (np.isnan(one) & np.isnan(other)))
        )
    if other.dtype == BFLOAT16:
        return same_bits(one.astype(np.float32), other.astype(np.float32))
    return bool(np.array_equal(one, other))


def written(name, result):
    """The part of a result that `out` takes."""
    if name == "rlhf.shaped_rewards":
        return result[0]
    if name.endswith("_value_and_grad"):
        return result[1]
    return result[0] if isinstance(result, tuple) and not name.endswith("_grad") else result


def add_output(random, call, arguments, plain, *, in_place=True):
    """Now and then a place for the results: of any layout, or the input itself where that may be overwritten."""
    if "out" not in call.parameters or random.random() < 0.5:
        return
    if call.name.startswith("rlhf.kl_estimate") and call.value_of("reduction") != "none" and "grad" not in call.name:
        return
    place = written(call.name, plain)
    if in_place and call.name.endswith(("_grad", "softmax")) and random.random() < 0.3:
        for name in ("x", "student_logits", "logp"):
            if name in arguments and can_be_overwritten(call, arguments, name, place):
                arguments["out"] = arguments[name]
                return
    # Functions of elements leave alone what does not count, and that is 0 where there was no output before.
    before = 0 if public(call.name).__module__ == "klfast.elementwise" else 7
    if isinstance(place, tuple):
        arguments["out"] = tuple(_output(random, one, before) for one in place)
    else:
        arguments["out"] = _output(random, np.asarray(place), before)


def can_be_overwritten(call, arguments, name, place):
    one = arguments[name]
    if type(one) is not np.ndarray or not isinstance(place, np.ndarray) or one.shape != place.shape:
        return False
    takes_its_own = name != "logp" and call.value_of_any("wrt") in (None, name)  # also in the foreign byte order
    is_own_type = one.dtype == place.dtype or (takes_its_own and one.dtype.newbyteorder("=") == place.dtype)
    return is_own_type and one.flags.writeable and 0 not in one.strides


def _output(random, like, before):
    return laid_out(random, np.full(like.shape, before, like.dtype), writable=True)


class Kept:
    """The arguments of a call as they were before it."""

    def __init__(self, arguments):
        self.arguments = {name: copied(one) for name, one in arguments.items()}
        if "out" in arguments:
            for name, one in arguments.items():
                if name != "out" and one is arguments["out"]:
                    self.arguments["out"] = self.arguments[name]

    def unchanged(self, arguments, result, name):
        """Whether every argument is what it was, but for `out`, where there is a result; and it is the result."""
        for argument, one in arguments.items():
            if argument == "out" and result is not None:
                continue
            if result is not None and one is arguments.get("out"):
                continue
            if not same_content(one, self.arguments[argument]):
                return False
        if result is None or arguments.get("out") is None:
            return True
        place, out = written(name, result), arguments["out"]
        is_it = all(a is b for a, b in zip(place, out)) if isinstance(out, tuple) else place is out
        return is_it and all(gaps_are_left(one) for one in (out if isinstance(out, tuple) else (out,)))


def copied(value):
    """The value with memory of its own, laid out alike."""
    if isinstance(value, tuple):
        return tuple(map(copied, value))
    if not isinstance(value, np.ndarray) or value.dtype.hasobject:
        return value
    memory = whole_memory(value)
    if memory is None or isinstance(value, np.ma.MaskedArray):
        return value.copy()
    own = memory.copy()
    result = np.ndarray(
        value.shape, value.dtype, own, value.ctypes.data - memory.ctypes.data, value.strides if value.size else None
    )
    result.flags.writeable = value.flags.writeable
    return result


def whole_memory(array):
    """The bytes that the array is a view of; None where there is nothing beside its elements."""
    base = array
    while isinstance(base.base, np.ndarray):
        base = base.base
    return base if base.dtype == np.uint8 and base.ndim == 1 and base is not array else None


def same_content(one, other):
    if isinstance(one, tuple):
        return all(map(same_content, one, other))
    if not isinstance(one, np.ndarray) or one.dtype.hasobject:
        return True
    return np.ma.getdata(one).tobytes() == np.ma.getdata(other).tobytes() and gaps_are_left(one)


def gaps_are_left(array):
    """Whether the bytes between and around the elements are those that `laid_out` put there."""
    memory = whole_memory(array)
    if memory is None:
        return True
    elements = np.zeros(memory.shape, bool)
    if array.size:
        offset = array.ctypes.data - memory.ctypes.data
        for byte in range(array.itemsize):
            np.ndarray(array.shape, bool, elements, offset + byte, array.strides)[...] = True
    return bool(np.all(memory[~elements] == GARBAGE))
