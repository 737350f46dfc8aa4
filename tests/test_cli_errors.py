"""`klfast compare`, run as a process that cannot succeed: one line says why, and no file is the worse for it."""

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from command import TIMEOUT, command_line, environment, logits, npy_bytes, run, save, without

INTERRUPT_SECONDS = 10
USER_ERROR, INTERRUPTED = 2, 130
LOGITS = np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32)
TARGETS = np.array([0, 5, 2, 1])
ARGUMENTS = {
    "base": "base.npy",
    "test": "test.npy",
    "--targets": "targets.npy",
    "--json": "out.json",
    "--csv": "out.csv",
    "--plot": "out.png",
}

needs_a_shell = pytest.mark.skipif(sys.platform == "win32", reason="needs a Unix shell")


class Failure(NamedTuple):
    """What is done to the folder of good inputs, what is changed in ARGUMENTS, and what the message must name."""

    spoil: Callable | None
    changes: dict
    words: tuple


def spoiled(name, content, *words):
    """One input is another array, or other bytes, than a good one."""

    def spoil(folder):
        if isinstance(content, bytes):
            (folder / name).write_bytes(content)
        else:
            np.save(folder / name, content)

    return Failure(spoil, {}, (name, *words))


def edited(name, edit, *words):
    """One input is a good one with its bytes edited."""

    def spoil(folder):
        (folder / name).write_bytes(edit((folder / name).read_bytes()))

    return Failure(spoil, {}, (name, *words))


def asked(changes, *words, spoil=None):
    """The inputs are good, and the command is given other arguments."""
    return Failure(spoil, changes, words)


def make_folder(folder):
    (folder / "folder").mkdir()


def make_link(folder):
    (folder / "link.npy").symlink_to(folder / "base.npy")


def header(shape, descr="<f4"):
    return f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n"


def changed_target(row, value, dtype=np.int64):
    targets = TARGETS.astype(dtype)
    targets[row] = value
    return targets


FAILURES = {
    # An input that cannot be read.
    "missing file": asked({"test": "nowhere.npy"}, "nowhere.npy", "No such file"),
    "missing targets": asked({"--targets": "nowhere.npy"}, "nowhere.npy", "No such file"),
    "name with a line break": asked({"test": "no\nwhere.npy"}, "no where.npy", "No such file"),
    "no name of targets": asked({"--targets": ""}),
    "directory": asked({"base": "folder"}, "folder", "directory", spoil=make_folder),
    "device": asked({"test": "/dev/null"}, "/dev/null", "not a regular file"),
    "text file": spoiled("test.npy", b"0.1, 0.2\n", "not an .npy file", "b'0.1, 0'"),
    "empty file": spoiled("base.npy", b"", "not an .npy file", "b''"),
    "truncated": edited("test.npy", lambda content: content[:-1], "truncated", "223 bytes", "224"),
    "truncated in the header": edited("test.npy", lambda content: content[:60], "header"),
    "trailing bytes": edited("base.npy", lambda content: content + b"\n", "225 bytes", "224"),
    "truncated targets": edited("targets.npy", lambda content: content[:-8], "truncated", "152 bytes", "160"),
    "header without a key": edited("test.npy", lambda content: content.replace(b"descr", b"dexcr"), "header", "dexcr"),
    "header that is no Python": edited("test.npy", lambda content: content.replace(b"{", b"("), "header"),
    "header of binary zeros": spoiled("base.npy", npy_bytes("\0" * 118), "header"),
    "unknown version": edited("test.npy", lambda content: content.replace(b"Y\1\0", b"Y\7\0"), "header", "7.0"),
    "huge shape": spoiled("test.npy", npy_bytes(header((2**62, 2**62))), f"({2**62}, {2**62})"),
    "shape beyond printing": spoiled("test.npy", npy_bytes(header((10**4200, 10**4200)))),
    "negative shape": spoiled("base.npy", npy_bytes(header((-4, -6)), LOGITS.tobytes()), "(-4, -6)"),
    # An array that is none of logits.
    "pickled objects": spoiled("base.npy", LOGITS.astype(object), "object", "pickled"),
    "records": spoiled("base.npy", np.zeros(4, "f4,i4"), "f0"),
    "integer logits": spoiled("test.npy", LOGITS.astype(np.int32), "int32"),
    "complex logits": spoiled("test.npy", LOGITS.astype(np.complex64), "complex64"),
    "Fortran order": spoiled("test.npy", np.asfortranarray(LOGITS), "Fortran order", "(4, 6)"),
    "no axis": spoiled("base.npy", LOGITS[0, 0], "()"),
    "no rows": spoiled("base.npy", LOGITS[:0], "(0, 6)"),
    "no classes": spoiled("test.npy", LOGITS[:, :0], "(4, 0)"),
    # Files that do not belong together.
    "other vocabulary": spoiled("test.npy", LOGITS[:, :5], "(4, 5)", "(4, 6)", "base.npy"),
    "other number of rows": spoiled("test.npy", LOGITS[:3], "(3, 6)", "(4, 6)", "base.npy"),
    "other axes": spoiled("test.npy", LOGITS.reshape(2, 2, 6), "(2, 2, 6)", "(4, 6)", "base.npy"),
    "other dtype": spoiled("test.npy", LOGITS.astype(np.float64), "float64", "float32", "base.npy"),
    "too few targets": spoiled("targets.npy", TARGETS[:3], "(3,)", "4 rows"),
    "a column of targets": spoiled("targets.npy", TARGETS[:, np.newaxis], "(4, 1)", "4 rows"),
    "targets of float": spoiled("targets.npy", TARGETS.astype(np.float32), "float32"),
    "negative target": spoiled("targets.npy", changed_target(2, -1), "-1", "row 2", "0 to 5"),
    "target too large": spoiled("targets.npy", changed_target(1, 6), "target 6", "row 1", "0 to 5"),
    "target beyond int64": spoiled(
        "targets.npy", changed_target(3, 2**64 - 1, np.uint64), f"target {2**64 - 1}", "row 3"
    ),
    # Outputs.
    "output in no directory": asked({"--csv": "nowhere/out.csv"}, "nowhere/out.csv", "No such file"),
    "last output in no directory": asked({"--plot": "nowhere/out.png"}, "nowhere/out.png", "No such file"),
    "output in a file": asked({"--json": "base.npy/out.json"}, "base.npy/out.json", "Not a directory"),
    "output that is an input": asked({"--json": "base.npy"}, "base.npy", "input"),
    "output that is the targets": asked({"--csv": "folder/../targets.npy"}, "targets.npy", "input", spoil=make_folder),
    "output that links to an input": asked({"--json": "link.npy"}, "link.npy", "input", spoil=make_link),
    "output that an input links to": asked(
        {"base": "link.npy", "--json": "base.npy"}, "base.npy", "input", spoil=make_link
    ),
    "two outputs that are the same": asked({"--csv": "out.json"}, "out.json", "another output"),
    "output that is a directory": asked({"--csv": "folder"}, "folder", "not a regular file", spoil=make_folder),
    "output that is a device": asked({"--json": "/dev/null"}, "/dev/null", "not a regular file"),
    "plot that is no PNG": asked({"--plot": "out.pdf"}, "out.pdf", ".png"),
    "no name of JSON": asked({"--json": ""}),
    "no name of CSV": asked({"--csv": ""}),
    "no name of plot": asked({"--plot": ""}),
    # The command line.
    "no threads": asked({"--threads": "0"}, "--threads", "'0'"),
    "threads that are no number": asked({"--threads": "two"}, "--threads", "'two'"),
    "unknown option": asked({"--colour": "red"}, "--colour"),
    "no files": asked(dict.fromkeys(ARGUMENTS), "BASE", "TEST"),
    "one file": asked({"test": None}, "TEST"),
}


def inputs_in(folder):
    """Good inputs, for which the command succeeds."""
    return save(folder, base=LOGITS, test=LOGITS + 0.5 * LOGITS**2, targets=TARGETS)


def arguments_in(folder, changes):
    """ARGUMENTS with changes, None leaving one out; the names of files become paths in the folder."""
    arguments = ["compare"]
    for name, value in (ARGUMENTS | changes).items():
        if value is not None:
            # No name at all stays one; it must not become the folder's.
            arguments += [name] if name.startswith("--") else []
            arguments.append(value if value == "" or name == "--threads" else str(folder / value))
    return arguments


def everything_in(folder):
    """All files below the folder with their content, and all directories."""
    return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def assert_told_in_one_line(ended, words=()):
    assert ended.returncode == USER_ERROR, ended.stderr
    assert ended.stderr.startswith("klfast: ")
    assert ended.stderr.count("\n") == 1
    assert ended.stderr.endswith("\n")
    for word in words:
        assert word in ended.stderr


def run_in_shell(script, *arguments, env=None):
    """Run klfast as the "$@" of a shell script."""
    command = ["/bin/sh", "-c", script, "sh", *command_line(*arguments)]  # the path may hold nothing but Python
    env = env or environment()
    return subprocess.run(command, capture_output=True, encoding="utf-8", timeout=TIMEOUT, env=env)


@contextlib.contextmanager
def nothing_changes_in(folder):
    before = everything_in(folder)
    yield
    assert everything_in(folder) == before


@pytest.mark.parametrize("name", FAILURES)
def test_an_error_is_told_in_one_line_and_leaves_no_output(name, tmp_path):
    inputs_in(tmp_path)
    failure = FAILURES[name]
    if failure.spoil:
        failure.spoil(tmp_path)
    with nothing_changes_in(tmp_path):
        ended = run(*arguments_in(tmp_path, failure.changes))
    assert_told_in_one_line(ended, failure.words)
    assert ended.stdout == ""


def test_the_same_command_succeeds_where_nothing_is_wrong(tmp_path):
    """Else the test above could be content with an error of its own making."""
    inputs = inputs_in(tmp_path)
    ended = run(*arguments_in(tmp_path, {"--threads": "2"}))
    assert (ended.returncode, ended.stderr) == (0, "")
    outputs = [tmp_path / name for name in ("out.json", "out.csv", "out.png")]
    assert sorted(tmp_path.iterdir()) == sorted([*inputs, *outputs])


@pytest.mark.parametrize("arguments", ((), ("contrast",), ("compare", "a.npy", "b.npy", "c.npy")))
def test_a_wrong_command_line_is_told_in_one_line(arguments):
    ended = run(*arguments)
    assert_told_in_one_line(ended, arguments[-1:])
    assert ended.stdout == ""


def test_a_wrong_number_of_threads_in_the_environment_is_told_in_one_line(tmp_path):
    inputs_in(tmp_path)
    with nothing_changes_in(tmp_path):
        ended = run(*arguments_in(tmp_path, {}), env=environment(KLFAST_NUM_THREADS="several"))
    assert_told_in_one_line(ended, ("KLFAST_NUM_THREADS", "several"))


def test_a_number_of_threads_that_openmp_would_ignore_is_ignored_with_a_warning(tmp_path):
    inputs_in(tmp_path)
    ended = run(*arguments_in(tmp_path, {}), env=environment(KLFAST_NUM_THREADS="", OMP_NUM_THREADS="several"))
    assert ended.returncode == 0
    assert "OMP_NUM_THREADS: 'several' is ignored" in ended.stderr


def test_a_plot_without_matplotlib_is_refused_before_any_work(tmp_path):
    (tmp_path / "stub").mkdir()
    inputs_in(tmp_path)
    env = without("matplotlib", tmp_path / "stub")
    with nothing_changes_in(tmp_path):
        ended = run(*arguments_in(tmp_path, {}), env=env)
    assert_told_in_one_line(ended, ("out.png", "needs matplotlib", "klfast[plot]"))


@pytest.mark.parametrize("name", ("other vocabulary", "last output in no directory"))
def test_a_run_that_fails_leaves_older_outputs_as_they_are(name, tmp_path):
    inputs_in(tmp_path)
    for output in ("out.json", "out.csv", "out.png"):
        (tmp_path / output).write_text("older")
    failure = FAILURES[name]
    if failure.spoil:
        failure.spoil(tmp_path)
    with nothing_changes_in(tmp_path):
        assert_told_in_one_line(run(*arguments_in(tmp_path, failure.changes)))


@needs_a_shell
@pytest.mark.parametrize("option", ("--json", "--csv", "--plot"))
def test_a_full_disk_is_told_in_one_line_and_leaves_older_outputs_as_they_are(option, tmp_path):
    """A limit on the size of files stands for the disk: either way a write fails with the file open."""
    base, test, _ = logits(400, 50)
    files = save(tmp_path, base=base, test=test)
    output = tmp_path / ARGUMENTS[option]
    output.write_text("older")
    with nothing_changes_in(tmp_path):
        # Without it the limit would meet the files of Python's own cache too.
        env = environment(PYTHONDONTWRITEBYTECODE="1")
        ended = run_in_shell('ulimit -f 1; exec "$@"', "compare", *files, option, output, env=env)
    assert_told_in_one_line(ended, (output.name,))
    assert ended.stdout == ""


# Standard output and standard error ----------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", ((), ("--json", "-")), ids=("table", "json"))
@pytest.mark.parametrize("unbuffered", ("", "1"))
def test_a_full_standard_output_is_told_in_one_line(unbuffered, arguments, tmp_path):
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    files = inputs_in(tmp_path)
    with open("/dev/full", "w") as full:
        ended = run("compare", *files[:2], *arguments, stdout=full, env=environment(PYTHONUNBUFFERED=unbuffered))
    assert_told_in_one_line(ended, ("standard output",))


@pytest.mark.parametrize("lines_read", (0, 1))
@pytest.mark.parametrize("arguments", ((), ("--json", "-")), ids=("table", "json"))
def test_a_reader_that_stops_early_sees_no_traceback(arguments, lines_read, tmp_path):
    files = inputs_in(tmp_path)
    command = command_line("compare", *files[:2], *arguments)
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "encoding": "utf-8", "env": environment()}
    with subprocess.Popen(command, **options) as process:
        for _ in range(lines_read):
            assert process.stdout.readline()
        process.stdout.close()
        message = process.stderr.read()
        process.wait(TIMEOUT)
    ended = subprocess.CompletedProcess(command, process.returncode, stderr=message)
    if (ended.returncode, ended.stderr) != (0, ""):
        assert_told_in_one_line(ended, ("standard output",))


@needs_a_shell
@pytest.mark.parametrize("arguments", ((), ("--json", "-")), ids=("table", "json"))
def test_a_closed_standard_output_is_told_in_one_line(arguments, tmp_path):
    files = inputs_in(tmp_path)
    assert_told_in_one_line(run_in_shell('"$@" >&-', "compare", *files[:2], *arguments), ("standard output",))


@needs_a_shell
def test_a_closed_standard_error_does_no_harm(tmp_path):
    files = inputs_in(tmp_path)
    ended = run_in_shell('"$@" 2>&-', "compare", *files[:2])
    assert ended.returncode == 0
    assert "mean KL(base || test)" in ended.stdout


# Ctrl-C --------------------------------------------------------------------------------------------------------------


def sparse_zeros(path, rows, vocabulary):
    """A file of zeros that takes hardly any room on the disk, however large it is."""
    with open(path, "wb") as file:
        file.write(npy_bytes(header((rows, vocabulary))))
        file.truncate(file.tell() + rows * vocabulary * 4)


def wait_until_rows_are_written(folder, process):
    """Until the CSV that is being written holds something: the work has begun."""
    for _ in range(100 * TIMEOUT):
        if any(path.stat().st_size for path in folder.glob(".klfast-*.partial")):
            return
        assert process.poll() is None, "ended before it could be interrupted"
        time.sleep(0.01)
    pytest.fail("did not begin to work")


@pytest.mark.skipif(sys.platform == "win32", reason="needs Unix signals")
@pytest.mark.parametrize(
    ("sent", "status", "told"),
    [(signal.SIGINT, INTERRUPTED, "klfast: interrupted\n"), (signal.SIGTERM, 128 + signal.SIGTERM, "")],
)
def test_an_interrupt_ends_a_long_run_and_leaves_no_output(sent, status, told, tmp_path):
    sparse_zeros(tmp_path / "zeros.npy", 50_000, 50_000)
    folder = tmp_path / "outputs"
    folder.mkdir()
    (folder / "out.json").write_text("older")
    outputs = ("--json", folder / "out.json", "--csv", folder / "out.csv", "--plot", folder / "out.png")
    command = command_line("compare", tmp_path / "zeros.npy", tmp_path / "zeros.npy", *outputs)
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "encoding": "utf-8", "env": environment()}
    # A shell starts what runs in its background deaf to SIGINT, and children inherit that.
    options["preexec_fn"] = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)
    with nothing_changes_in(folder), subprocess.Popen(command, **options) as process:
        try:
            wait_until_rows_are_written(folder, process)
            process.send_signal(sent)
            output, message = process.communicate(timeout=INTERRUPT_SECONDS)
        finally:
            process.kill()
    assert (process.returncode, output, message) == (status, "", told)


@needs_a_shell
@pytest.mark.parametrize("option", ("--json", "--csv"))
def test_an_output_that_standard_output_goes_to_already_is_refused(option, tmp_path):
    """To put another file in its place would lose the table; into a pipe nothing can be put at all."""
    base, test, _ = inputs_in(tmp_path)
    together = tmp_path / "together.txt"
    for script, name in (
        (f'"$@" > "{together}"', "/dev/stdout"),
        (f'"$@" > "{together}"', together),
        (f'"$@" >> "{together}"', together),
        ('"$@" | cat; exit 2', "/dev/stdout"),
    ):
        ended = run_in_shell(script, "compare", base, test, option, name)
        assert_told_in_one_line(ended, (str(name), "standard output", "-"))
        assert not ended.stdout and (not together.exists() or together.read_bytes() == b"")
    ended = run_in_shell(f'"$@" > "{together}"', "compare", base, test, option, tmp_path / "out")
    assert ended.returncode == 0 and "mean KL" in together.read_text() and (tmp_path / "out").exists()
