"""The command `klfast`: arguments in, one line and a status out when something is wrong."""

import argparse
import contextlib
import signal
import sys

import klfast
from klfast.cli._compare import compare_rows
from klfast.cli._files import (
    CommandError,
    check_outputs,
    check_same_form,
    errors_name,
    open_logits,
    open_targets,
    whole_file,
)
from klfast.cli._progress import progress_bar
from klfast.cli._report import CsvWriter, json_text, note_lines, report_text, tell, write_standard_output
from klfast.cli._statistics import Statistics

USER_ERROR = 2
INTERRUPTED = 130

COMPARE_DESCRIPTION = """\
Compare two files of logits, row by row: how far are the predictions of TEST from those of BASE?
Both files are .npy arrays of shape (rows, vocabulary) and type float32, float64 or float16; more leading axes are
read as one. They are mapped into memory and read once, so they may be far larger than it.
All figures are in nats. Rows that hold NaN or +inf, or nothing but -inf, are counted, named and left out."""


def main(arguments=None):
    """Run the command and return its exit status: 0, 2 after an error of the user's, 130 after Ctrl-C."""
    try:
        with unwound_by_signals():
            options = build_parser().parse_args(arguments)
            options.run(options)
        return 0
    except CommandError as error:
        tell(str(error))
        return USER_ERROR
    except KeyboardInterrupt:
        tell("interrupted")
        return INTERRUPTED


@contextlib.contextmanager
def unwound_by_signals():
    """Told to end, or when the terminal is gone, leave no half-written file behind: unwind, as after Ctrl-C, but with the
    status of the signal. What is ignored (nohup) stays so. When the work is done, a signal has nothing to unwind any more.
    """
    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    taken = [number for number in numbers if signal.getsignal(number) == signal.SIG_DFL]
    try:
        for number in taken:
            signal.signal(number, lambda number, frame: sys.exit(128 + number))
        yield
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)


class Parser(argparse.ArgumentParser):
    """Reports a wrong command line as every other error is reported, in one line."""

    def error(self, message):
        raise CommandError(f"{message} (see {self.prog} --help)")


def build_parser():
    parser = Parser(prog="klfast", description=klfast.__doc__)
    parser.add_argument("--version", action="version", version=f"klfast {klfast.__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    compare = commands.add_parser(
        "compare",
        help="compare two files of logits",
        description=COMPARE_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    compare.set_defaults(run=run_compare)
    compare.add_argument("base", metavar="BASE", help=".npy file with the logits of the model to compare against")
    compare.add_argument("test", metavar="TEST", help=".npy file with the logits of the other model")
    compare.add_argument(
        "--targets", metavar="FILE", type=file_name, help=".npy file with the class id that is right, one a row"
    )
    compare.add_argument(
        "--json", metavar="FILE", type=file_name, help="write the figures as JSON; - writes them in place of the table"
    )
    compare.add_argument(
        "--csv",
        metavar="FILE",
        type=file_name,
        help="write the figures of every row; - writes them in place of the table",
    )
    compare.add_argument("--plot", metavar="FILE.png", type=file_name, help="draw the distribution of the rows' KL")
    compare.add_argument("--threads", metavar="N", type=positive, help="number of threads (default: as the library)")
    compare.add_argument("--quiet", action="store_true", help="show no progress bar")
    return parser


def positive(text):
    """An argument that is an integer above zero."""
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive integer")
    return int(text)


def file_name(text):
    """An argument that names a file."""
    if not text:
        raise argparse.ArgumentTypeError("'' is no name of a file")
    return text


def run_compare(options):
    """Check everything, open the output files, stream the rows, then let all output appear."""
    base, test = open_logits(options.base), open_logits(options.test)
    check_same_form(base, test)
    targets = open_targets(options.targets, base.shape) if options.targets else None
    if options.json == options.csv == "-":
        raise CommandError("--json and --csv: only one of them can be standard output")
    json_file, csv_file = (None if name == "-" else name for name in (options.json, options.csv))
    check_outputs([json_file, csv_file, options.plot], [options.base, options.test, options.targets])
    draw = _load_plot(options.plot) if options.plot else None
    check_threads()

    rows = len(base.array)
    statistics = Statistics(rows, with_targets=targets is not None)
    with contextlib.ExitStack() as files:
        json_output = files.enter_context(whole_file(json_file)) if json_file else None
        csv_output = files.enter_context(whole_file(csv_file)) if csv_file else None
        plot_output = files.enter_context(whole_file(options.plot, binary=True)) if options.plot else None
        csv_writer = CsvWriter(csv_output, csv_file, with_targets=targets is not None) if options.csv else None
        if options.threads:
            files.enter_context(klfast.threads(options.threads))
        with progress_bar(rows, quiet=options.quiet or options.csv == "-") as advance:
            for figures in compare_rows(base, test, targets):
                statistics.add(figures)
                if csv_writer:
                    csv_writer.add(figures)
                advance(len(figures))
        summary = {"klfast": klfast.__version__, "unit": "nats", **_inputs(base, test, targets), **statistics.summary()}
        if json_output:
            with errors_name(json_file):
                json_output.write(json_text(summary))
        if plot_output:
            with errors_name(options.plot):
                draw(plot_output, statistics.sorted_kl(), summary)

    if "-" not in (options.json, options.csv):
        write_standard_output(report_text(summary))
        return
    if options.json == "-":
        write_standard_output(json_text(summary))
    for line in note_lines(summary):
        tell(line)


def check_threads():
    """The environment may ask for a number of threads that is none."""
    try:
        klfast.get_num_threads()
    except ValueError as error:
        raise CommandError(str(error)) from error


def _inputs(base, test, targets):
    return {
        "files": {"base": base.path, "test": test.path, "targets": targets.path if targets else None},
        "dtype": base.dtype.name,
        "vocabulary": base.shape[-1],
    }


def _load_plot(path):
    """Import the plotting only when it is wanted, and complain about it before any work is done."""
    if not path.lower().endswith(".png"):
        raise CommandError(f"{path}: the plot is a PNG file, so its name must end in .png")
    try:
        from klfast.cli._plot import draw_plot
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "matplotlib":
            raise
        raise CommandError(f"{path}: drawing it needs matplotlib: pip install 'klfast[plot]'") from error
    return draw_plot
