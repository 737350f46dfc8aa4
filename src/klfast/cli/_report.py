"""A summary -> JSON or a table; per-row figures -> CSV. The summary is the one that Statistics gives."""

import contextlib
import csv
import io
import json
import math
import os
import sys

from klfast.cli._files import CommandError, errors_name
from klfast.cli._progress import has_rich

TABLE_WIDTH = 120
HEADINGS = ("figure, in nats", "value", "standard error")


def json_text(summary):
    """Strict JSON: NaN becomes null, an infinite number the string "inf" or "-inf"."""
    return json.dumps(_strict(summary), indent=2, allow_nan=False) + "\n"


def _strict(value):
    if isinstance(value, dict):
        return {key: _strict(each) for key, each in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value


class CsvWriter:
    """One line a row, in full precision; the numbers that are none are written nan and inf.

    `file` is open under the name `path`; None for standard output.
    """

    COLUMNS = ("kl", "reverse_kl", "js", "entropy_base", "entropy_test", "top_base", "top_test")
    TARGET_COLUMNS = ("target", "cross_entropy_base", "cross_entropy_test", "probability_change")

    def __init__(self, file, path, *, with_targets):
        self._columns = self.COLUMNS + (self.TARGET_COLUMNS if with_targets else ())
        self._errors = standard_output if file is None else lambda: errors_name(path)
        with self._errors() as output:
            self._writer = csv.writer(output if file is None else file, lineterminator="\n")
            self._writer.writerow(("row", *self._columns))

    def add(self, figures):
        rows = range(figures.first_row, figures.first_row + len(figures))
        # As Python numbers, whose text gives every bit back.
        columns = [getattr(figures, name).tolist() for name in self._columns]
        with self._errors():
            self._writer.writerows(zip(rows, *columns, strict=True))


def report_text(summary):
    """What a person reads: the files, the table, and a line for every kind of row that needs attention."""
    rows, files = summary["rows"], summary["files"]
    head = [f"{name:8}{_printable(path)}" for name, path in files.items() if path is not None]
    head.append(f"rows    {rows['used']} of {rows['total']}, {summary['dtype']}, vocabulary {summary['vocabulary']}")
    table = _rich_table(table_rows(summary)) if has_rich() else _plain_table(table_rows(summary))
    notes = [f"note: {line}\n" for line in note_lines(summary)]
    return "\n".join(head) + "\n\n" + table + "".join(notes)


def table_rows(summary):
    """Triples of strings: what, value, standard error. An empty triple stands between groups."""
    kl, top, entropy = summary["kl"], summary["same_top_token"], summary["entropy"]
    nothing = ("", "", "")
    rows = [
        _with_error("mean KL(base || test)", kl),
        ("  minimum", _number(kl["minimum"]), ""),
        ("  median", _number(kl["median"]), ""),
        *((f"  percentile {name}", _number(value), "") for name, value in kl["percentiles"].items()),
        ("  maximum", _number(kl["maximum"]), ""),
        nothing,
        _with_error("mean KL(test || base)", summary["reverse_kl"]),
        _with_error("mean Jensen-Shannon", summary["js"]),
        _with_error("mean entropy of base", entropy["base"]),
        _with_error("mean entropy of test", entropy["test"]),
        ("same top token", f"{top['fraction']:.3%}", f"{top['standard_error']:.3%}"),
    ]
    if "targets" not in summary:
        return rows
    targets = summary["targets"]
    perplexity, change = targets["perplexity"], targets["probability_change"]
    return [
        *rows,
        nothing,
        ("perplexity of base", _number(perplexity["base"]), ""),
        ("perplexity of test", _number(perplexity["test"]), ""),
        ("  test / base", _number(perplexity["ratio"]), ""),
        _with_error("  mean log ratio", targets["log_ratio"]),
        (
            "mean change of the target's probability",
            f"{change['mean']:.3%}",
            f"{change['standard_error']:.3%}",
        ),
        ("  root mean square", f"{change['rms']:.3%}", ""),
    ]


def note_lines(summary):
    """A line for the rows left out, and for each figure that is infinite in some row."""
    rows = summary["rows"]
    lines = []
    if rows["undefined"]["count"]:
        where = _rows_text(rows["undefined"])
        lines.append(f"{where}: left out of all figures, for NaN or +inf among the logits, or nothing but -inf")
    names = {
        "kl": "KL(base || test)",
        "reverse_kl": "KL(test || base)",
        "cross_entropy_base": "the cross-entropy of base",
        "cross_entropy_test": "the cross-entropy of test",
    }
    for figure, infinite in rows["infinite"].items():
        if infinite["count"]:
            lines.append(f"{_rows_text(infinite)}: {names[figure]} is infinite, and so is its mean")
    return lines


def _rows_text(found):
    numbers = ", ".join(map(str, found["first_rows"]))
    more = ", ..." if found["count"] > len(found["first_rows"]) else ""
    return f"{found['count']} {'row' if found['count'] == 1 else 'rows'} ({numbers}{more})"


def _number(value):
    return f"{value:.6g}"


def _with_error(label, moments):
    return label, _number(moments["mean"]), f"{moments['standard_error']:.2g}"


def _plain_table(rows):
    widths = [max(len(row[column]) for row in (HEADINGS, *rows)) for column in range(3)]
    rule = tuple("-" * width for width in widths)
    lines = [f"{row[0]:{widths[0]}}  {row[1]:>{widths[1]}}  {row[2]:>{widths[2]}}" for row in (HEADINGS, rule, *rows)]
    return "".join(line.rstrip() + "\n" for line in lines)


def _rich_table(rows):
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.HEAVY_HEAD if _encoding().lower().startswith("utf") else box.ASCII)
    for heading, side in zip(HEADINGS, ("left", "right", "right"), strict=True):
        table.add_column(heading, justify=side, no_wrap=True)
    for row in rows:
        if any(row):
            table.add_row(*row)
        else:
            table.add_section()
    # As wide as the table needs, however narrow the terminal: figures that are cut off are no figures.
    text = io.StringIO()
    Console(file=text, markup=False, highlight=False, emoji=False, width=TABLE_WIDTH).print(table)
    return text.getvalue()


def _encoding():
    return getattr(sys.stdout, "encoding", None) or "utf-8"


def _printable(path):
    """The path in characters that standard output can show, and that are no orders to a terminal."""
    return _shown(path).encode(_encoding(), "backslashreplace").decode(_encoding())


def _shown(text):
    return "".join(one if one.isprintable() else one.encode("unicode_escape", "surrogatepass").decode() for one in text)


def write_standard_output(text):
    with standard_output() as output:
        output.write(text)


@contextlib.contextmanager
def standard_output():
    """Let something be written there, all of it; what goes wrong is told in one line."""
    if sys.stdout is None:
        raise CommandError("standard output: is closed")
    try:
        yield sys.stdout
        sys.stdout.flush()
    except OSError as error:
        # The interpreter flushes once more when it ends: let that go nowhere, this error is told already.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise CommandError(f"standard output: {error.strerror}") from error


def tell(message):
    """One line on standard error, if there is one."""
    if sys.stderr is not None:
        print("klfast:", _shown(" ".join(message.split())), file=sys.stderr)
