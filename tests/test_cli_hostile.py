"""`klfast compare` on files that somebody has made to do harm: one line, exit status 2, no traceback, nothing unpickled."""

import os
import pickle
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from command import TIMEOUT, command_line, environment, npy_bytes, read_csv, run, save, strict_json
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_cli_errors import LOGITS, assert_told_in_one_line, header, inputs_in, nothing_changes_in, sparse_zeros

from klfast import cli
from klfast.cli import _files

DATA = LOGITS.tobytes()
USER_ERROR = 2


def told(capsys, *arguments):
    """Run the command in this process, in which no exception may escape: its only line on standard error."""
    status = cli.main(["compare", *map(str, arguments)])
    output, message = capsys.readouterr()
    ended = subprocess.CompletedProcess(arguments, status, output, message)
    assert_told_in_one_line(ended)
    assert output == ""
    return message


def npy(text, data=DATA, *, version=(1, 0), length=None):
    """A file whose header is this text, told to be so long."""
    content = text.encode("utf-8" if version == (3, 0) else "latin1")
    size = (len(content) if length is None else length).to_bytes(2 if version == (1, 0) else 4, "little")
    return b"\x93NUMPY" + bytes(version) + size + content + data


def descr(text, **more):
    return npy(f"{{'descr': {text}, 'fortran_order': False, 'shape': (4, 6), }}\n", **more)


class Malice:
    """Unpickling it makes a folder."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


HOSTILE = {
    # headers
    "only the first bytes": b"\x93NUMPY",
    "no length": b"\x93NUMPY\x01\x00",
    "version 0": b"\x93NUMPY\x00\x00" + DATA,
    "version 3 with a field in Greek": descr("[('\u03b1', '<f4')]", version=(3, 0)),
    "version 4": npy(header((4, 6)), version=(4, 0)),
    "a header of a million bytes": npy(header((4, 6)).strip() + " " * 1_000_000 + "\n", version=(2, 0)),
    "a header of four thousand million bytes": npy(header((4, 6)), version=(2, 0), length=2**32 - 1),
    "brackets without end": npy("(" * 9000 + ")" * 9000 + "\n"),
    "nested too deep for a parser": npy("[" * 4000 + "]" * 4000 + "\n"),
    "dictionaries in dictionaries": npy("{1:" * 2000 + "1" + "}" * 2000 + "\n"),
    "a number of thousands of digits": npy(header(f"({'9' * 9000}, 6)")),
    "a call in the header": descr("__import__('os').mkdir('made')"),
    "a zero byte": npy(header((4, 6)) + "\0"),
    "no UTF-8": npy("{'descr': '\xe9\xff', 'fortran_order': False, 'shape': (4, 6), }\n"),
    "a key too many": npy("{'descr': '<f4', 'fortran_order': False, 'shape': (4, 6), 'more': 1}\n"),
    "an order that is none": npy("{'descr': '<f4', 'fortran_order': 'no', 'shape': (4, 6)}\n"),
    # types
    "a list of types": descr("[('a', '<f4')]"),
    "a type in a type": descr("('<f4', (6,))"),
    "a type of no bytes": descr("'|V0'"),
    "bytes": descr("'|S4'"),
    "dates": descr("'<M8[s]'"),
    "a type that is none": descr("'<f9'"),
    "a type with names": descr("{'names': ['a'], 'formats': ['<f4']}"),
    "long doubles": descr("'<f16'"),
    # shapes
    "an axis of 2^62": npy(header((2**62, 4))),
    "an axis of 2^63": npy(header((2**63, 4))),
    "an axis of 2^64": npy(header((4, 2**64))),
    "a product of 2^64": npy(header((2**32, 2**32))),
    "a product of 2^64 and 24 more": npy(header((2**61 + 3, 8))),
    "a negative axis": npy(header((-4, 6))),
    "two negative axes": npy(header((-4, -6))),
    "an axis in parts": npy(header("(4.0, 6)")),
    "an axis of text": npy(header("'46'")),
    "an axis that is none": npy(header("(None, 6)")),
    "a shape that is a number": npy(header("24")),
    "a hundred axes": npy(header((1,) * 100)),
    # no arrays
    "a pickle": pickle.dumps([1, 2]),
    "zeros": bytes(1000),
    "text": "0.1 0.2\n" * 10,
}


@pytest.mark.parametrize("place", ("base", "test", "targets"))
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_told_in_one_line(name, place, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    inputs = dict(zip(("base", "test", "targets"), inputs_in(tmp_path)))
    content = HOSTILE[name]
    inputs[place].write_bytes(content.encode() if isinstance(content, str) else content)
    with nothing_changes_in(tmp_path):
        message = told(capsys, inputs["base"], inputs["test"], "--targets", inputs["targets"], "--json", "out.json")
    assert f"{inputs[place].name}: " in message
    assert len(message) < 1000


@pytest.mark.parametrize(
    "kind", ("objects", "objects by hand", "a pickle alone", "objects in a list of types", "an archive")
)
def test_nothing_is_ever_unpickled(kind, tmp_path, capsys):
    made, path = tmp_path / "made", tmp_path / "bad.npy"
    base, _, targets = inputs_in(tmp_path)
    array = np.full((4, 6), None)
    array[:] = [[Malice(made)] * 6] * 4
    pickled = pickle.dumps(array)
    if kind == "objects":
        np.save(path, array, allow_pickle=True)
    elif kind == "an archive":
        with open(path, "wb") as file:
            np.savez(file, array)
    else:
        head = {"objects by hand": header((4, 6), "|O"), "objects in a list of types": None}.get(kind, "")
        if head is None:
            head = "{'descr': [('a', '|O')], 'fortran_order': False, 'shape': (4, 6), }\n"
        path.write_bytes(npy(head, pickled) if head else pickled)
    for arguments in ((path, base), (base, path), (base, base, "--targets", path)):
        told(capsys, *arguments)
    assert not made.exists()
    pickle.loads(pickled)  # it would have been
    assert made.exists()


@settings(
    max_examples=100,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_no_damage_to_a_file_makes_a_traceback(data, tmp_path, capsys):
    """Bytes overwritten, put in, taken out: the file is read as it is, or refused in one line."""
    base, test, targets = inputs_in(tmp_path)
    damaged = data.draw(st.sampled_from((test, targets)))
    content = bytearray(damaged.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, 130))
        some = data.draw(
            st.binary(min_size=1, max_size=4) | st.sampled_from([b"(", b"-", b"9" * 20, b"O", b"'", b"True", b"8"])
        )
        kind = data.draw(st.sampled_from(("over", "in", "out")))
        content[place : place + (len(some) if kind == "over" else 5 if kind == "out" else 0)] = (
            b"" if kind == "out" else some
        )
    damaged.write_bytes(content)
    status = cli.main(["compare", str(base), str(test), "--targets", str(targets), "--json", "-"])
    output, message = capsys.readouterr()
    if status != 0:
        assert_told_in_one_line(subprocess.CompletedProcess((), status, output, message))
    else:
        strict_json(output)


# Files that cannot be read ------------------------------------------------------------------------------------------


def test_a_file_that_may_not_be_read_is_told_in_one_line(tmp_path, capsys, monkeypatch):
    """As somebody sees it who is not root, whom nothing is forbidden."""
    base, test, _ = inputs_in(tmp_path)

    def forbidden(path, *arguments, **options):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(_files, "open", forbidden, raising=False)
    assert "base.npy: Permission denied" in told(capsys, base, test)


def test_a_file_that_cannot_be_mapped_is_told_in_one_line(tmp_path, capsys, monkeypatch):
    base, test, _ = inputs_in(tmp_path)

    def out_of_memory(*arguments, **options):
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(_files.mmap, "mmap", out_of_memory)
    assert "base.npy: Cannot allocate memory" in told(capsys, base, test)


needs_unix = pytest.mark.skipif(sys.platform == "win32", reason="needs the files of a Unix system")


def _make_pipe(path):
    os.mkfifo(path)


def _make_loop(path):
    path.symlink_to(path)


def _make_dangling_link(path):
    path.symlink_to(path.parent / "nowhere")


@needs_unix
@pytest.mark.parametrize("make", (_make_pipe, _make_loop, _make_dangling_link, os.mkdir))
def test_what_is_no_file_is_told_in_one_line_and_at_once(make, tmp_path, capsys):
    base, test, targets = inputs_in(tmp_path)
    make(tmp_path / "other.npy")
    for arguments in ((tmp_path / "other.npy", test), (base, test, "--targets", tmp_path / "other.npy")):
        assert "other.npy: " in told(capsys, *arguments)
    # And not written to, but for links, which lead to no file yet.
    if make in (_make_pipe, os.mkdir):
        assert "other.npy: " in told(capsys, base, test, "--csv", tmp_path / "other.npy")


@pytest.mark.parametrize("name", ("", "-", "x" * 300 + ".npy", "base.npy/x.npy", "\x1b[31mred.npy", "a\rb\n.npy"))
def test_a_strange_name_is_told_in_one_line(name, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    inputs_in(tmp_path)
    message = told(capsys, "base.npy", name)
    assert message.removesuffix("\n").isprintable()


STRANGE_NAMES = ("-dash.npy", "a b\n\x1b[31mc.npy", "r\u00e9sum\u00e9.npy", "[bold]x.npy", "%s.npy", "\u202egnp.npy")


@needs_unix
@pytest.mark.parametrize("name", STRANGE_NAMES)
def test_files_of_strange_names_are_compared(name, tmp_path):
    base, test, _ = inputs_in(tmp_path)
    (tmp_path / name).write_bytes(base.read_bytes())
    ended = run(
        "compare", tmp_path / name, test, "--json", tmp_path / f"{name}.json", "--csv", tmp_path / f"{name}.csv"
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "\x1b" not in ended.stdout and "\u202e" not in ended.stdout
    assert strict_json((tmp_path / f"{name}.json").read_text())["files"]["base"] == str(tmp_path / name)


@needs_unix
def test_files_whose_names_are_no_utf_8_are_compared(tmp_path):
    base, test, _ = inputs_in(tmp_path)
    strange = os.fsencode(tmp_path) + b"/caf\xe9.npy"
    try:
        with open(strange, "wb") as file:
            file.write(base.read_bytes())
    except OSError:
        pytest.skip("this file system has no such names")
    command = [*command_line("compare"), strange, str(test), "--json", strange + b".json"]
    ended = subprocess.run(command, capture_output=True, timeout=TIMEOUT, env=environment())
    assert (ended.returncode, ended.stderr) == (0, b"")
    with open(strange + b".json", encoding="utf-8") as file:
        assert strict_json(file.read())["files"]["base"] == os.fsdecode(strange)
    command[-1] = strange
    ended = subprocess.run(command, capture_output=True, timeout=TIMEOUT, env=environment())
    assert ended.returncode == USER_ERROR
    assert ended.stderr.count(b"\n") == 1 and b"Traceback" not in ended.stderr


# The rows on standard output -----------------------------------------------------------------------------------------


def test_the_rows_go_to_standard_output_in_place_of_the_table(tmp_path):
    base, test, targets = inputs_in(tmp_path)
    ended = run("compare", base, test, "--targets", targets, "--csv", "-", cwd=tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "")
    run("compare", base, test, "--targets", targets, "--csv", tmp_path / "out.csv")
    assert ended.stdout == (tmp_path / "out.csv").read_text()
    assert read_csv(tmp_path / "out.csv")[1]["row"].tolist() == [0, 1, 2, 3]
    assert not (tmp_path / "-").exists()


def test_what_the_table_would_have_noted_is_told_beside_the_rows(tmp_path):
    broken = LOGITS.copy()
    broken[1] = np.nan
    ended = run("compare", *save(tmp_path, base=LOGITS, test=broken), "--csv", "-")
    assert ended.returncode == 0 and len(ended.stdout.splitlines()) == 5
    assert ended.stderr.count("\n") == 1 and "1 row (1): left out" in ended.stderr


def test_two_outputs_cannot_share_standard_output(tmp_path, capsys):
    base, test, _ = inputs_in(tmp_path)
    assert "only one of them" in told(capsys, base, test, "--csv", "-", "--json", "-")


@needs_unix
def test_rows_that_nobody_reads_end_the_run_in_one_line(tmp_path):
    sparse_zeros(tmp_path / "zeros.npy", 200_000, 10)
    command = command_line("compare", tmp_path / "zeros.npy", tmp_path / "zeros.npy", "--csv", "-")
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "encoding": "utf-8", "env": environment()}
    with subprocess.Popen(command, **options) as process:
        assert process.stdout.readline().startswith("row,")
        process.stdout.close()
        message = process.stderr.read()
        process.wait(TIMEOUT)
    assert process.returncode == USER_ERROR
    assert message.startswith("klfast: standard output: ") and message.count("\n") == 1


# Signals -------------------------------------------------------------------------------------------------------------


@needs_unix
def test_a_lost_terminal_leaves_no_output_and_one_that_is_ignored_does_no_harm(tmp_path):
    sparse_zeros(tmp_path / "zeros.npy", 20_000, 50_000)
    (tmp_path / "outputs").mkdir()
    command = command_line(
        "compare", tmp_path / "zeros.npy", tmp_path / "zeros.npy", "--csv", tmp_path / "outputs" / "out.csv"
    )
    for handler, ends in ((signal.SIG_DFL, True), (signal.SIG_IGN, False)):
        options = {"stderr": subprocess.PIPE, "stdout": subprocess.DEVNULL, "env": environment(), "encoding": "utf-8"}
        options["preexec_fn"] = lambda handler=handler: signal.signal(signal.SIGHUP, handler)
        with subprocess.Popen(command, **options) as process:
            try:
                while not list((tmp_path / "outputs").iterdir()):
                    assert process.poll() is None, "ended before it could be interrupted"
                    time.sleep(0.01)
                process.send_signal(signal.SIGHUP)
                if not ends:
                    with pytest.raises(subprocess.TimeoutExpired):
                        process.wait(0.5)
                    process.terminate()
                assert process.communicate(timeout=TIMEOUT)[1] == ""
            finally:
                process.kill()
        assert process.returncode == 128 + (signal.SIGHUP if ends else signal.SIGTERM)
        assert not list((tmp_path / "outputs").iterdir())


def test_when_the_command_ends_signals_do_what_they_did_before(tmp_path, capsys):
    """Else one that comes while Python shuts down is answered with a traceback."""
    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = [signal.getsignal(number) for number in numbers]
    assert cli.main(["compare", str(tmp_path / "none.npy"), str(tmp_path / "none.npy")]) == USER_ERROR
    base, test, _ = inputs_in(tmp_path)
    assert cli.main(["compare", str(base), str(test)]) == 0
    capsys.readouterr()
    assert [signal.getsignal(number) for number in numbers] == before
    assert signal.SIG_DFL in before


def test_a_signal_just_when_the_output_is_there_leaves_none(tmp_path, monkeypatch):
    def interrupted(*arguments, **options):
        open(*arguments, **options).close()
        raise KeyboardInterrupt

    monkeypatch.setattr(_files, "open", interrupted, raising=False)
    with pytest.raises(KeyboardInterrupt), _files.whole_file(tmp_path / "out.csv"):
        pass
    assert not list(tmp_path.iterdir())


def test_the_helper_of_these_tests_makes_good_files(tmp_path, capsys):
    """Else they could be content with errors of their own making."""
    (tmp_path / "base.npy").write_bytes(npy(header((4, 6))))
    (tmp_path / "test.npy").write_bytes(npy_bytes(header((4, 6)), DATA))
    (tmp_path / "two.npy").write_bytes(npy(header((4, 6)), version=(2, 0)))
    for other in ("test.npy", "two.npy"):
        assert cli.main(["compare", str(tmp_path / "base.npy"), str(tmp_path / other), "--json", "-"]) == 0
        assert strict_json(capsys.readouterr().out)["kl"]["maximum"] == 0.0
