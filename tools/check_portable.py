"""The same bits on every machine: compiles the core with a test program, for each CPU level that can be run here, and compares.

    python tools/check_portable.py [--long] [--need-aarch64]

The program (tests/portable) puts the same numbers into every math function and every block kernel and prints what comes out,
bit by bit. That is held to tests/portable/expected.txt, whose bits have been held to exact values (make_portable.py). With
Debian's gcc-aarch64-linux-gnu and qemu-user, aarch64 is among the levels. --long compares a hundred times as many numbers, of
all levels with those of the first; that takes minutes under qemu.
"""

import argparse
import ast
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CORE = ROOT / "src" / "klfast" / "core"
PROGRAM = ROOT / "tests" / "portable"
EXPECTED = PROGRAM / "expected.txt"
ELEMENTARY = ROOT / "tests" / "elementary.c"
WALKERS = ("walk", "tiles", "tell", "read", "write", "terms", "topk", "dirichlet")
SOURCES = [*sorted(PROGRAM.glob("*.c")), *(CORE / f"{name}.c" for name in WALKERS)]
CROSS_COMPILER, EMULATOR = "aarch64-linux-gnu-gcc", "qemu-aarch64"


def setup_flags():
    """FLAGS and X86_LEVELS of setup.py: what klfast is compiled with."""
    found = {}
    for node in ast.parse((ROOT / "setup.py").read_text()).body:
        if isinstance(node, ast.Assign) and node.targets[0].id in ("FLAGS", "X86_LEVELS"):
            found[node.targets[0].id] = ast.literal_eval(node.value)
    return found["FLAGS"], found["X86_LEVELS"]


def has_avx512():
    flags = Path("/proc/cpuinfo")
    return flags.exists() and {"avx512f", "avx512vl", "avx512dq", "avx512bw"} <= set(flags.read_text().split())


def levels():
    """Every level with FMA that can be run here: name -> (compiler, flags, what runs it)."""
    flags, of_level = setup_flags()
    compiler = (sysconfig.get_config_var("CC") or "cc").split()
    found = {}
    if platform.machine().lower() in ("x86_64", "amd64"):
        found["x86-64-v3"] = (compiler, flags + of_level["x86_64_v3"], [])
        if has_avx512():
            found["x86-64-v4"] = (compiler, flags + of_level["x86_64_v4"], [])
        if shutil.which(CROSS_COMPILER) and shutil.which(EMULATOR):
            found["aarch64"] = ([CROSS_COMPILER], [*flags, "-static"], [EMULATOR])
    else:
        found[platform.machine()] = (compiler, flags, [])
    return found


def build(name, folder):
    """Compiles the program for a level; returns the command that runs it."""
    compiler, flags, runner = levels()[name]
    target = Path(folder) / name
    # What is a NaN on one machine need not have the same sign on another, so no number is compared as text.
    defined = ["-DKLFAST_FMA=1", "-DKLFAST_LEVEL=klfast_tested"]
    command = [*compiler, *flags, "-g0", *defined, f"-I{CORE}", ELEMENTARY, *SOURCES, "-o", target, "-lm"]
    subprocess.run(command, check=True)
    return [*runner, str(target)]


def printed(command, amount):
    done = subprocess.run([*command, amount], check=True, capture_output=True, text=True)
    return done.stdout.splitlines()


def without_exact_values(text):
    return [re.sub(r" = .*", "", line) for line in text.splitlines()]


def differences(lines, wanted):
    """The first few lines that are not as they should be."""
    found = [f"  {one}\n  should be\n  {other}" for one, other in zip(lines, wanted) if one != other]
    if len(lines) != len(wanted):
        found.append(f"  {len(lines)} lines, not {len(wanted)}")
    return found


def check(name, lines, wanted, of):
    wrong = differences(lines, wanted)
    if wrong:
        sys.exit("\n".join([f"{name}: {len(wrong)} of {len(wanted)} lines are not those of {of}", *wrong[:5]]))
    print(f"{name}: {len(lines)} lines, the same bits as {of}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--long", action="store_true", help="also compare a hundred times as many numbers")
    parser.add_argument("--need-aarch64", action="store_true", help="fail where aarch64 cannot be run")
    options = parser.parse_args()
    if options.need_aarch64 and not {"aarch64", "arm64"} & set(levels()):
        sys.exit(f"aarch64 cannot be run here: {CROSS_COMPILER} and {EMULATOR} are wanted")
    first = None
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor() as pool:
        commands = pool.map(lambda name: build(name, folder), levels())
        for name, command in zip(levels(), commands):
            check(name, printed(command, "short"), without_exact_values(EXPECTED.read_text()), "expected.txt")
            if options.long:
                lines = printed(command, "long")
                first = first or (name, lines)
                check(name, lines, first[1], first[0])


if __name__ == "__main__":
    main()
