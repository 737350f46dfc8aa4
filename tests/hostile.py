"""Calls of every public function, made from its signature: what its rules allow, and the same with one thing that they refuse.

A new function is called as soon as there is one. See hostile_values.py for what a new name of an argument needs.
"""

import inspect
import operator

import numpy as np
from hostile_arrays import (
    BFLOAT16,
    FLOATS,
    INTEGERS,
    STYLES,
    laid_out,
    numbers_of,
    same_along,
    swapped,
)
from hostile_made import FITTING, MADE, Given, as_numbers
from hostile_values import ARRAYS, CHECK_SUMS, IGNORED, ONE_AXIS, OPTIONS, SOME_CLASS

import klfast
from klfast import _reference

NO_VALUES = {"out", "n_threads", "check", "dtype"}  # change no value, and the plain twins have none of them


def public(name):
    return operator.attrgetter(name)(klfast)


def twin(name):
    return getattr(_reference, name.replace(".", "_"))


class Call:
    """One call that the rules allow. `judged`: whether the plain twin can say what comes out of it."""

    def __init__(self, random, name):
        self.random, self.name = random, name
        self.parameters = inspect.signature(public(name)).parameters
        self.style = random.choice(STYLES)
        self.judged = self.style != "extreme"
        self.has_bits = "dtype" in self.parameters and random.random() < 0.08
        self.types = random.choice((FLOATS, FLOATS, ["f4"], ["f4", "f2", BFLOAT16], FLOATS + INTEGERS))
        main = [one for one in self.parameters if one in ARRAYS]
        self.whole = random.choice(main) if main else None  # the array that nothing is left for broadcasting
        self.used_types = []
        self._choose_shape(main)
        self.given = {}
        for parameter in self.parameters.values():
            self._make(parameter)
        self._agree()
        self._mask_some(main)
        if self.name.endswith("distance") and (self.value_of("base") or 2) < 1:
            self.judged = False  # a root of less than 0 is NaN, but where rounding alone says whether it is 0
        if 0 in self.shape and self.name.startswith(("rlhf.", "distill.topk_kl")):
            self.judged = False  # their twins cannot cut nothing into rows, or find something in no classes

    def one_in(self, count):
        return self.random.randrange(count) == 0

    def _choose_shape(self, main):
        """The shape that arrays have when broadcast, and the axis that is reduced."""
        random = self.random
        # js_divergence of one array is that of a stack
        self.is_stack = self.parameters.get("q") is not None and self.parameters["q"].default is None and self.one_in(3)
        has_axis = "axis" in self.parameters
        one_axis = has_axis and self.name.startswith(ONE_AXIS)
        lowest = 2 if self.is_stack else 1 if one_axis or {"tail", "cov1"} & set(self.parameters) else 0
        self.shape = tuple(
            random.choice((1, 2, 3, 5, 7)) for _ in range(random.choice((lowest, 1, 1, 2, 2, 3, 4)) or lowest)
        )
        self.shape = (2, 3)[: max(0, lowest - len(self.shape))] + self.shape
        if self.shape and self.one_in(12) and "cov1" not in self.parameters:  # long rows
            self.shape = (*self.shape[:-1][:1], random.choice((129, 300, 1025, 2500)))
            self.shape = (2,) * (lowest - len(self.shape)) + self.shape
        if has_axis:
            self.axis = self._choose_axis(one_axis, 1 if self.is_stack else 0)
            self.axes = self._normal(self.axis)
        else:
            self.axis, self.axes = -1, (len(self.shape) - 1,) if self.shape else ()
        if self.shape and self.one_in(12):
            place = random.randrange(1 if self.is_stack else 0, len(self.shape))
            if place not in self.axes or self.name not in SOME_CLASS:
                self.shape = self.shape[:place] + (0,) + self.shape[place + 1 :]
        self.rows = tuple(size for place, size in enumerate(self.shape) if place not in self.axes)
        self.classes = self.shape[self.axes[0]] if self.axes else 1

    def _choose_axis(self, one_axis, first):
        random, count = self.random, len(self.shape)
        if count == first:
            return None
        single = random.randrange(first, count)
        if one_axis or random.random() < 0.6:
            return random.choice((count - 1 - count, single, single - count, np.int64(single)))
        several = random.sample(range(first, count), random.randint(0, count - first))
        return random.choice((None, tuple(several), tuple(one - count for one in several)))

    def _normal(self, axis):
        if axis is None:
            return tuple(range(1 if self.is_stack else 0, len(self.shape)))
        several = axis if isinstance(axis, tuple) else (axis,)
        return tuple(sorted(int(one) % len(self.shape) for one in several))

    # Arguments

    def _make(self, parameter):
        name, is_needed = parameter.name, parameter.default is parameter.empty
        if name in ("out", "dtype"):
            if name == "dtype" and self.has_bits:
                self.given[name] = Given("bfloat16", "bfloat16", None)
            return
        if name == "axis":
            if type(self.axis) is not int or self.axis != -1 or self.one_in(2):
                self.given[name] = Given(self.axis, self.axis, self.axis)
            return
        if name in ARRAYS:
            if is_needed or not self.is_stack:
                self.given[name] = self.array(ARRAYS[name], self.broadcastable(name), is_main=True)
            return
        if not is_needed and not self.one_in(3):
            return
        found = MADE[name](self) if name in MADE else self._option(name)
        if found is not None:
            self.given[name] = found

    def _option(self, name):
        options = OPTIONS.get(f"{self.name}.{name}", OPTIONS.get(name))
        if options is None:
            raise LookupError(f"{self.name}: say in tests/hostile_values.py what {name!r} may be")
        value = self.random.choice(options)
        # numpy's own numbers would make the twin compute as float32
        return Given(value, value, value.item() if isinstance(value, np.generic) else value)

    def broadcastable(self, name):
        """The whole shape, or one that becomes it."""
        if name == self.whole or not self.one_in(4) or self.is_stack:
            return self.shape
        shape = tuple(1 if self.one_in(2) else size for size in self.shape)
        return shape[self.random.randrange(len(shape) + 1) :]

    def array(self, role, shape, *, is_main=False, types=None, style=None):
        random = self.random
        # uint16 beside bits of bfloat16 is taken for bits, too
        types = [one for one in types or self.types if one != "u2" or not self.has_bits]
        dtype = np.dtype(random.choice(types))
        if is_main and self.has_bits:
            dtype = BFLOAT16
        numbers = same_along(random, numbers_of(random, role, style or self.style, shape, dtype))
        as_bits = is_main and self.has_bits
        if is_main:
            self.used_types.append(dtype)
        given = self.arranged(np.array(numbers, order="C"), as_bits=as_bits)
        if 0 in numbers.strides:
            given = given._replace(value=numbers.view(np.uint16) if as_bits else numbers)
        return given

    def arranged(self, numbers, *, as_bits=False):
        """The numbers in some layout."""
        plain = numbers.view(np.uint16) if as_bits else numbers
        value = laid_out(self.random, swapped(self.random, plain))
        if plain.size and plain.dtype.str[1:] in ("f8", "i8", "b1") and self.one_in(15):
            value = plain.tolist()
        return Given(value, plain, as_numbers(numbers))

    def bools(self, shape, likely=0.7):
        numbers = np.random.default_rng(self.random.getrandbits(32))
        share = self.random.choice((likely, likely, likely, 0.0, 1.0))
        return numbers.random(shape) < share

    def mask(self, shape):
        """Bools of that shape, or of one that becomes it."""
        own = tuple(1 if self.one_in(4) else size for size in shape)
        own = own[self.random.randrange(len(own) + 1) :] if self.one_in(4) else own
        mask = self.bools(own)
        return Given(laid_out(self.random, mask), np.array(np.broadcast_to(mask, shape)), np.broadcast_to(mask, shape))

    def ids(self, shape):
        """Class ids, among them that which is ignored."""
        numbers = np.random.default_rng(self.random.getrandbits(32))
        types = [one for one in INTEGERS[:-1] if np.iinfo(one).max >= self.classes]
        types = [one for one in types if one[0] == "i"] if self.classes == 0 else types
        ids = numbers.integers(0, max(1, self.classes), shape).astype(self.random.choice(types))
        if ids.dtype.kind == "i" and (self.classes == 0 or self.one_in(2)):
            ids = np.where(numbers.random(shape) < (2.0 if self.classes == 0 else 0.3), ids.dtype.type(IGNORED), ids)
        return self.arranged(ids)

    def value_of_any(self, name):
        """The same; None where there is no such option."""
        return self.value_of(name) if name in self.parameters else None

    def value_of(self, name):
        """An option as it will be passed."""
        return self.given[name].plain if name in self.given else self.parameters[name].default

    def drop(self, *names):
        for name in names:
            self.given.pop(name, None)

    # What fits together

    def _agree(self):
        for name, fit in FITTING.items():
            if name in self.parameters:
                fit(self)
        if self.value_of("check") if "check" in self.given else False:
            families = self.name.startswith("families.")
            fine = self.style == "usual" or (self.style == "zeros" and not families and "mu" not in self.given)
            wide = families and any(one != BFLOAT16 and one.kind in "iub" for one in self.used_types)
            if not fine or wide or self.name.startswith(CHECK_SUMS):
                self.drop("check")

    def _mask_some(self, main):
        """Now and then an argument is a masked array. What it hides counts no more than what `where` leaves out."""
        name = "where" if "where" in self.parameters else "mask"
        if name == "mask" and (name not in self.parameters or self.given_rows()) or not self.one_in(8):
            return
        if self.is_stack or not main or "target" in self.parameters:
            return
        one = self.random.choice(main)
        array = np.asarray(self.given[one].value)
        hidden = ~self.bools(array.shape)
        shown = np.broadcast_to(~hidden, self.shape)
        if name in self.given:
            shown = shown & self.given[name].plain
        self.given[one] = self.given[one]._replace(value=np.ma.masked_array(array, hidden))
        given = self.given[name].value if name in self.given else None
        self.given[name] = Given(given, np.array(shown), shown)

    def given_rows(self):
        """Whether `mask` speaks of rows, not of entries."""
        return not {"logp", "behaviour_logp"} & set(self.parameters)

    # What is called

    def arguments(self, kind):
        """By name, of one kind: "value", "plain" or "twin"."""
        found = {name: getattr(one, kind) for name, one in self.given.items()}
        if kind != "value":
            found = {name: one for name, one in found.items() if name not in NO_VALUES - {"dtype"}}
        if kind == "twin":
            found.pop("dtype", None)
        return found
