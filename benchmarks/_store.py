"""The file of figures: rows of several runs in one JSON, each with the context that it was measured in.

A row is known by its workload's name and the CPU level that klfast used; measuring it again replaces it. What many rows have
in common (machine, versions, settings) is written once, under a short name made of its content.
"""

import hashlib
import json
import math
import os
from datetime import UTC, datetime

DIGITS = 4  # that are kept of every number: a time is not known better


def empty_report():
    return {"contexts": {}, "rows": []}


def load_report(path):
    """What the file holds; nothing where there is no file."""
    return json.loads(path.read_text()) if path.exists() else empty_report()


def key(row):
    return row["name"], row["level"]


def digest(value):
    """A short name for a value that JSON can write."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]


def time_now():
    """In UTC; as text that sorts by time."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M")


def now():
    """When a row is measured, and how busy the machine is with everything."""
    return {"date": time_now(), "load_average": os.getloadavg()[0] if hasattr(os, "getloadavg") else None}


def add_row(report, row, context):
    """Put the row into the report, in the place of the one that it replaces, and its context beside it."""
    context = plain(context)
    name = digest(context)
    row = plain(row) | {"context": name}
    places = {key(other): place for place, other in enumerate(report["rows"])}
    if key(row) in places:
        report["rows"][places[key(row)]] = row
    else:
        report["rows"].append(row)
    report["contexts"][name] = context
    used = {other["context"] for other in report["rows"]}
    report["contexts"] = {name: report["contexts"][name] for name in sorted(used)}


def write_report(report, path):
    """Write beside the file and rename, so that a run that is cut off leaves what was there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".part")
    beside.write_text(as_text(report))
    beside.replace(path)


def as_text(report):
    """JSON with a line for each context, each row and each contestant, so that a difference between two files can be read."""
    contexts = [f"{json.dumps(name)}: {_line(context)}" for name, context in report["contexts"].items()]
    rows = [_row_text(row) for row in report["rows"]]
    return '{"contexts": {\n' + ",\n".join(contexts) + '\n},\n"rows": [\n' + ",\n".join(rows) + "\n]}\n"


def _row_text(row):
    head = _line({name: value for name, value in row.items() if name != "contestants"}).removesuffix("}")
    contestants = ",\n  ".join(_line(contestant) for contestant in row["contestants"])
    return f'{head}, "contestants": [\n  {contestants}]}}'


def _line(value):
    return json.dumps(value, allow_nan=False, ensure_ascii=False)


def plain(value):
    """The same structure with numbers cut to a few digits, and NaN and infinity as text, which JSON has no numbers for."""
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else str(value)
    return value
