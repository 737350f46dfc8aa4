"""What is timed: every public function by its name, and the operations of the compiled table that are no function's own."""

import inspect
from dataclasses import dataclass, field

import klfast
from klfast import _kernels

SMOOTHING = 0.1
PUBLIC = {
    "": (klfast.probs, klfast.divergences, klfast.elementwise),
    "logits": (klfast.logits,),
    "logprobs": (klfast.logprobs,),
    "distill": (klfast.distill,),
    "families": (klfast.families,),
    "gaussian": (klfast.gaussian,),
    "rlhf": (klfast.rlhf,),
}


@dataclass(frozen=True)
class Entry:
    """A function, and with which keywords. `operation` is the compiled one that it must come to; None: not one alone."""

    function: object
    operation: str | None
    keywords: dict = field(default_factory=dict)
    instead: dict = field(default_factory=dict)  # parameters that are made like others


def public_functions():
    """From the name in klfast to the function."""
    functions = {}
    for family, modules in PUBLIC.items():
        for module in modules:
            for name, function in vars(module).items():
                is_here = inspect.isfunction(function) and function.__module__.startswith(module.__name__)
                if is_here and not name.startswith("_"):
                    functions[f"{family}.{name}".lstrip(".")] = function
    return functions


def catalogue():
    """From the name of a benchmark to its entry: functions by their own names, operations by theirs."""
    functions = public_functions()
    tables = {**_kernels.OPERATIONS, **_kernels.ELEMENTWISE}
    by_operation = {name.replace(".", "_"): name for name in functions}
    entries = {
        name: Entry(function, operation if (operation := name.replace(".", "_")) in tables else None)
        for name, function in functions.items()
    }
    for operation in tables:
        if operation not in by_operation:
            entries[operation] = _variant(operation, functions)
    return entries


def _variant(operation, functions):
    """An operation that a keyword or another target chooses."""
    if operation.startswith("raw_"):
        return Entry(functions[operation.removeprefix("raw_")], operation, {"normalize": False})
    if operation == "logits_smoothed_cross_entropy":
        return Entry(functions["logits.cross_entropy"], operation, {"label_smoothing": SMOOTHING})
    if operation == "logits_soft_cross_entropy":
        return Entry(functions["logits.cross_entropy"], operation, instead={"target": "p"})
    raise LookupError(f"{operation}: no public function is known that comes to it")
