"""`klfast compare` as a process: its memory, its standard error, its progress bar, its options."""

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from command import (
    EXAMPLES,
    TIMEOUT,
    command_line,
    compare_as_json,
    environment,
    run_well,
)

import klfast


def resident_memory(process):
    """Resident bytes of a running process, of its own and of mapped files; empty when it has ended."""
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    fields = (line.split() for line in lines if line.startswith(("RssAnon:", "RssFile:")))
    return {name: int(kilobytes) * 1024 for name, kilobytes, _ in fields}


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc to see the memory of a process")
@pytest.mark.parametrize("dtype", ("<f4", ">f4"))
def test_memory_does_not_grow_with_the_files(dtype, tmp_path):
    """200 MB of them; neither where the numbers are read in place nor where every block has to be converted."""
    block = np.random.default_rng(0).normal(size=(50, 25_000)).astype(np.float32)
    for name in ("base", "test"):
        array = np.lib.format.open_memmap(tmp_path / name, "w+", dtype, (1000, 25_000))
        for start in range(0, 1000, 50):
            array[start : start + 50] = block
            block[:, start] += 1.0
    command = command_line("compare", tmp_path / "base", tmp_path / "test", "--csv", tmp_path / "out.csv")
    samples = []
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment()) as process:
        while used := resident_memory(process):
            samples.append(used)
            time.sleep(0.002)
        assert process.communicate(timeout=TIMEOUT)[1] == b""
    assert process.returncode == 0
    assert len(samples) > 20
    for kind in ("RssAnon:", "RssFile:"):
        assert max(used[kind] for used in samples) < 100e6


@pytest.mark.parametrize("arguments", (("--quiet",), ()))
def test_nothing_is_on_standard_error_in_a_good_run(arguments):
    """As everywhere in this file, standard error is no terminal here, so there is no progress bar either."""
    run_well("compare", EXAMPLES / "base.npy", EXAMPLES / "test_q8.npy", *arguments)


@pytest.mark.parametrize("quiet", (False, True))
def test_a_terminal_sees_a_progress_bar_unless_told_to_be_quiet(quiet):
    pty = pytest.importorskip("pty", reason="needs pseudo-terminals")
    reader, terminal = pty.openpty()
    arguments = ("--quiet",) if quiet else ()
    env = environment(TERM="xterm")
    run_well("compare", EXAMPLES / "base.npy", EXAMPLES / "test_q8.npy", *arguments, stderr=terminal, env=env)
    # A mark of our own ends what there is to read: reading from a terminal without any text would wait.
    os.write(terminal, b"END")
    seen = b""
    while not seen.endswith(b"END"):
        seen += os.read(reader, 65536)
    os.close(terminal)
    os.close(reader)
    if quiet:
        assert seen == b"END"
    else:
        assert b"comparing" in seen


def test_threads_do_not_change_the_figures():
    arguments = (EXAMPLES / "base.npy", EXAMPLES / "test_q4.npy", "--targets", EXAMPLES / "targets.npy")
    assert compare_as_json(*arguments, "--threads", 1) == compare_as_json(*arguments, "--threads", 2)


def test_version_and_help():
    assert run_well("--version") == f"klfast {klfast.__version__}\n"
    assert "compare" in run_well("--help")
    compare_help = run_well("compare", "--help")
    for option in ("BASE", "TEST", "--targets", "--json", "--csv", "--plot", "--threads", "--quiet"):
        assert option in compare_help


def test_the_command_is_installed_beside_python():
    script = Path(sys.executable).with_name("klfast")
    if not script.exists():
        pytest.skip("klfast is not installed as a command here")
    ended = subprocess.run([script, "--version"], capture_output=True, text=True, timeout=TIMEOUT)
    assert (ended.returncode, ended.stdout) == (0, f"klfast {klfast.__version__}\n")
