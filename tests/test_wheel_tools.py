"""The checks of wheels and build logs find what they are there to find."""

import importlib
import re
import sys
import tarfile
from pathlib import Path

import pytest
from conftest import NEED_THE_SOURCE

TESTS = Path(__file__).parent
ROOT = TESTS.parent


@pytest.fixture
def tool(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(ROOT / "tools"), *sys.path])
    return importlib.import_module


GOOD = "gcc -O3 -fno-math-errno -ffp-contract=off -c src/klfast/core/walk.c -o build/walk.o -O3"
GOOD_ON_WINDOWS = (
    r"clang-cl.exe /c /O2 /TcD:\a\src\klfast\core\walk.c /Fobuild\walk.obj /clang:-O3 /clang:-ffp-contract=off"
)


@pytest.mark.parametrize("command", [GOOD, GOOD_ON_WINDOWS, "creating build\n" + GOOD])
def test_a_build_log_as_it_should_be_has_no_faults(tool, command):
    assert tool("build_log").faults_of(command, ["walk"]) == []


@pytest.mark.parametrize(
    ("command", "word"),
    [
        *((f"{GOOD} {flag}", flag) for flag in ("-ffast-math", "-Ofast", "-funsafe-math-optimizations", "-mrecip=all")),
        (f"{GOOD_ON_WINDOWS} /clang:-ffinite-math-only", "-ffinite-math-only"),
        (f"{GOOD_ON_WINDOWS} /fp:fast", "/fp:fast"),
        (GOOD.replace("-c src", "'-freciprocal-math' -c src"), "-freciprocal-math"),
        (GOOD.replace(" -ffp-contract=off", ""), "no -ffp-contract=off"),
        (GOOD_ON_WINDOWS.replace("=off", "=fast"), "-ffp-contract=fast"),
        ("gcc -shared build/walk.o -o _kernels.so", "no command compiles walk.c"),
    ],
)
def test_a_build_that_takes_liberties_is_found_out(tool, command, word):
    assert any(fault.startswith(word) for fault in tool("build_log").faults_of(command, ["walk"]))


NAMES = [
    "klfast/__init__.py",
    "klfast/logits/_values.py",
    "klfast/py.typed",
    "klfast/_kernels.pyi",
    "klfast/_kernels.cpython-311-x86_64-linux-gnu.so",
    "klfast.libs/libgomp-f9a9ad78.so.1.0.0",
    "klfast-0.1.0.dist-info/METADATA",
    "klfast-0.1.0.dist-info/licenses/LICENSE",
    "klfast-0.1.0.dist-info/licenses/libgomp.txt",
]


def test_the_files_of_a_wheel_are_those_that_belong_there(tool):
    faults = tool("wheel_contents").content_faults
    assert faults(NAMES) == []
    for name in ("klfast/core/walk.c", "klfast/_kernels.pyx", "tests/test_where.py", "klfast.libs/libomp-1.so.5"):
        assert faults([*NAMES, name]) == [f"does not belong into a wheel: {name}"]
    for name in NAMES[2:6] + NAMES[7:]:
        assert len(faults([other for other in NAMES if other != name])) == 1, name


METADATA = """Metadata-Version: 2.4
Name: klfast
Version: 0.1.0
License-Expression: BSD-3-Clause
Requires-Python: >=3.11
License-File: LICENSE
Requires-Dist: numpy>=2.0
Requires-Dist: rich>=13; extra == "cli"

""" + 20 * ("A long description. " * 5 + "\n")


def test_the_licence_of_the_runtime_is_added(tool):
    faults, added = tool("wheel_contents").metadata_faults, tool("repair_wheel").with_license(METADATA, "libgomp.txt")
    assert faults(METADATA, has_runtime=False) == []
    assert faults(added, has_runtime=True) == []
    assert len(faults(METADATA, has_runtime=True)) == 2
    assert len(faults(added.replace(">=3.11", ">=3.9").replace("numpy>=2.0", "numpy>=2.0,<3"), has_runtime=True)) == 2


def test_the_extension_looks_for_its_own_copy_of_the_runtime(tool):
    faults = tool("wheel_contents").runtime_faults
    dynamic = " 0x1 (NEEDED)   Shared library: [{}]\n 0x1 (NEEDED)   Shared library: [libc.so.6]\n"
    assert faults(NAMES, dynamic.format("libgomp-f9a9ad78.so.1.0.0"), with_openmp=True) == []
    assert len(faults(NAMES, dynamic.format("libgomp.so.1"), with_openmp=True)) == 1
    assert len(faults(NAMES[:5], dynamic.format("libm.so.6"), with_openmp=True)) == 1
    assert faults(NAMES[:5], dynamic.format("libm.so.6"), with_openmp=False) == []


def test_a_source_distribution_holds_what_git_does_and_depends_on_it_alone(tool, tmp_path):
    make_sdist, wheel_contents = tool("make_sdist"), tool("wheel_contents")
    (tmp_path / "klfast-1" / "src").mkdir(parents=True)
    packed = []
    for name in ("README.md", "PKG-INFO", "src/a.py"):
        (tmp_path / "klfast-1" / name).write_text(name)
    for number in range(2):
        (tmp_path / "klfast-1" / "PKG-INFO").chmod(0o640 if number else 0o666)
        (tmp_path / "klfast-1" / "src" / "a.py").touch()
        plain, final = tmp_path / f"plain{number}.tar.gz", tmp_path / f"final{number}.tar.gz"
        with tarfile.open(plain, "w:gz") as archive:
            archive.add(tmp_path / "klfast-1", "klfast-1")
        make_sdist.copy_with_fixed_times(plain, final, 1_700_000_000)
        packed.append(final.read_bytes())
    assert packed[0] == packed[1]
    with tarfile.open(final) as archive:
        assert {member.mtime for member in archive} == {1_700_000_000}
        assert archive.extractfile("klfast-1/src/a.py").read() == b"src/a.py"
    faults = wheel_contents.sdist_faults
    assert faults(final, ["README.md", "src/a.py", ".ci/run", ".gitignore"]) == []
    assert faults(final, ["README.md", "src/a.py", "src/b.py"]) == ["is missing from the source distribution: src/b.py"]
    assert faults(final, ["src/a.py"]) == ["is in the source distribution but not in the repository: README.md"]


def test_tests_that_read_the_source_are_left_out_where_there_is_none():
    reads = re.compile(r"\bROOT\b|\bCORE\b|parents\[1\](?! / \"examples\")")
    found = [path.name for path in sorted(TESTS.glob("test_*.py")) if reads.search(path.read_text())]
    assert found == sorted(NEED_THE_SOURCE)


def test_what_is_stored_for_other_machines_is_what_the_program_prints_there(tool):
    portable = tool("check_portable")
    flags, levels = portable.setup_flags()
    assert "-ffp-contract=off" in flags and set(levels) == {"baseline", "x86_64_v3", "x86_64_v4"}
    lines = portable.without_exact_values(portable.EXPECTED.read_text())
    assert len(lines) == len(set(lines)) > 1000 and not any("=" in line for line in lines)
    assert portable.differences(lines, lines) == []
    assert len(portable.differences(lines, [*lines[:-1], "another"])) == 1
    assert len(portable.differences(lines[:-1], lines)) == 1
