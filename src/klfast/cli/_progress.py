"""The progress bar: drawn by rich, on standard error, when a person is looking."""

import contextlib
import importlib.util
import sys


@contextlib.contextmanager
def progress_bar(rows, *, quiet):
    """Yield a function to be called with the number of rows just done."""
    if quiet or sys.stderr is None or not sys.stderr.isatty() or not has_rich():
        yield lambda count: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn("comparing"), BarColumn(), MofNCompleteColumn(), TextColumn("rows"), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=rows)
        yield lambda count: progress.advance(task, count)


def has_rich():
    """Rich is an extra: without it there is no bar, and the table is plain text."""
    return importlib.util.find_spec("rich") is not None
