"""One thing that the rules refuse, put into a call that they allow."""

import numpy as np
from hostile_arrays import BFLOAT16, INTEGERS, REFUSED_TYPES
from hostile_values import ARRAYS, CHECK_SUMS, REFUSED

USUAL = (TypeError, ValueError)
NO_CLASS = (TypeError, ValueError, IndexError)
OTHER_SHAPE = (TypeError, ValueError)  # of something: an output cannot be right either


def fault(random, call):
    """(the argument that the error must name, what is changed or a function of the result, the errors); None if none fits."""
    kinds = list(FAULTS)
    random.shuffle(kinds)
    for kind in kinds:
        found = kind(random, call)
        if found is not None:
            return found
    return None


def _option(random, call):
    names = [name for name in call.parameters if name in REFUSED and not (name == "dtype" and call.has_bits)]
    if not names:
        return None
    name = random.choice(names)
    if name == "lengths" and len(call.shape) != 1:
        return None
    values = REFUSED.get(f"{call.name}.{name}", REFUSED[name])
    return name, {name: random.choice(values)}, USUAL


def _axis(random, call):
    if "axis" not in call.parameters:
        return None
    count = len(call.shape)
    axes = [count, -count - 1, 2**70, 0.0, "0", True, [0], np.float64(0), 1j, (0, "0"), (count, 0)]
    axes += [(0, 0), (-count, 0)] if count else []
    return "axis", {"axis": random.choice(axes)}, USUAL


def _arrays_of(call):
    return [name for name, one in call.given.items() if isinstance(one.plain, np.ndarray)]


def _type(random, call):
    """An argument that holds no real numbers, or something else than what it must hold."""
    name = random.choice(_arrays_of(call))
    array = call.given[name].plain
    types = REFUSED_TYPES
    if name in ("where", "mask"):
        types = ["u1", "f8", "i8", "O", "U1"]
    if name in ("ids", "teacher_ids", "lengths"):
        types = ["f8", "?", "c8", "O", BFLOAT16]
    if name == "lengths" and not array.size:
        return None
    if np.dtype("g").itemsize == 8:
        types = [one for one in types if one != "g"]
    return name, {name: np.zeros(array.shape, random.choice(types))}, USUAL


def _bits(random, call):
    """Bits in what cannot hold them."""
    names = [name for name in call.given if name in ARRAYS]
    if "dtype" not in call.parameters or not names:
        return None
    changes = {name: np.zeros(call.given[name].plain.shape, "u2") for name in names}
    name = random.choice(names)
    changes[name] = changes[name].astype(random.choice(("f4", "f8", "i2", "u4", "i8")))
    return name, changes | {"dtype": "bfloat16"}, USUAL


def _shape(random, call):
    """Shapes that do not fit."""
    names = [name for name in _arrays_of(call) if name not in ARRAYS or _has_company(call, name)]
    if not names:
        return None
    name = random.choice(names)
    array = call.given[name].plain
    last = max((2, *call.shape, *array.shape)) + 3
    wrong = (*array.shape[:-1], last) if array.ndim else (last, 2)
    if name in ("grad_output", "ids", "target"):  # whose last axis may have any length, or be another one
        wrong = (2, *call.shape, last)
    of_one = name == "lengths"  # of no tokens at all there may be any number of sequences
    return name, {name: np.full(wrong, of_one, array.dtype)}, OTHER_SHAPE


def _has_company(call, name):
    """Whether another array is there whose last axis stretches for nobody."""
    others = [one for one in call.given if one in ARRAYS and one != name and call.given[one].plain.ndim]
    return call.given[name].plain.ndim and any(call.given[one].plain.shape[-1] != 1 for one in others)


def _class(random, call):
    """A class that there is not, or one that is listed twice."""
    name = next((one for one in ("target", "ids", "teacher_ids") if one in call.given), None)
    if name is None or call.given[name].plain.dtype.kind not in "iu" or not call.given[name].plain.size:
        return None
    mask = call.given["mask"].plain if name == "teacher_ids" and "mask" in call.given else None
    if mask is not None or (call.name == "logits.compare_rows" and name not in call.given):
        return None
    ids = call.given[name].plain.astype("i8")
    place = np.unravel_index(random.randrange(ids.size), ids.shape)
    ids[place] = random.choice((-1, call.classes, 2**62, -(2**63)))
    ignored = call.value_of("ignore_index") if "ignore_index" in call.parameters else -100
    return None if ids[place] == ignored else (name, {name: ids}, NO_CLASS)


def _check(random, call):
    """A number that is none, where it is asked for."""
    names = [name for name in call.given if name in ARRAYS]
    if "check" not in call.parameters or call.name.startswith(CHECK_SUMS) or {"where", "mask"} & set(call.given):
        return None
    names = [name for name in names if call.given[name].plain.size and not call.has_bits]
    if call.style != "usual" or not names or 0 in call.shape or set(map(str, call.used_types)) & {"bool", *INTEGERS}:
        return None
    if any(dtype.kind in "iub" for dtype in call.used_types if dtype != BFLOAT16):
        return None
    name = random.choice(names)
    numbers = call.given[name].plain.astype(np.float64)
    numbers[np.unravel_index(random.randrange(numbers.size), numbers.shape)] = np.nan
    return name, {name: numbers, "check": True}, USUAL


def _output(random, call):
    """A place that results cannot go to."""
    if "out" not in call.parameters:
        return None
    if call.name.startswith("rlhf.kl_estimate") and "grad" not in call.name and call.value_of("reduction") != "none":
        return "out", {"out": np.zeros(call.shape)}, USUAL
    kind = random.choice(("list", "type", "shape", "read-only"))

    def changes(result):
        from hostile_judge import written

        place = written(call.name, result)
        return {"out": tuple(map(spoiled, place)) if isinstance(place, tuple) else spoiled(place)}

    def spoiled(like):
        like = np.asarray(like)
        if kind == "list":
            return like.tolist()
        if kind == "type":
            return np.full(like.shape, 7, random.choice(("i8", "c16", "U8", "?", "u8")))
        shape = random.choice(((*like.shape, 2), (*like.shape, 1), like.shape[1:] + (like.size + 2,)))
        result = np.full(shape if kind == "shape" else like.shape, 7, like.dtype)
        result.flags.writeable = kind == "shape"
        return result

    return "out", changes, USUAL


def _overlap(random, call):
    """A place that is also that of an input."""
    if "out" not in call.parameters or call.name.endswith(("_grad", "softmax")) or 0 in call.shape:
        return None
    names = [name for name in call.given if name in ARRAYS]
    if (
        not names
        or call.name.startswith("rlhf.kl_estimate")
        or ("ids" in call.given and not call.given["ids"].plain.size)
    ):
        return None
    name = random.choice(names)

    def changes(result):
        from hostile_judge import written

        place = np.asarray(written(call.name, result))
        numbers = call.given[name].plain
        memory = np.zeros(max(place.nbytes, numbers.nbytes) // 8 + 1)
        own = np.ndarray(numbers.shape, numbers.dtype, memory)
        own[...] = numbers
        return {name: own, "out": np.ndarray(place.shape, place.dtype, memory)}

    return "out", changes, USUAL


def _hidden(random, call):
    """A masked array where nothing can be left out."""
    names = [name for name in call.given if name in ARRAYS]
    if not call.name.startswith("families.") or call.name.startswith("families.kl_categorical"):
        return None
    name = random.choice(names)
    numbers = call.given[name].plain
    return name, {name: np.ma.masked_array(numbers, np.ones(numbers.shape, bool))}, USUAL


FAULTS = (_option, _option, _axis, _type, _bits, _shape, _class, _check, _output, _overlap, _hidden)
