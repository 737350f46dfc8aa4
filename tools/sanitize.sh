#!/bin/sh
# The tests on a build that watches every access to memory and every rule of C, or on an allocator that does so for Python's.
#
#   tools/sanitize.sh address [PYTEST ARGUMENTS]   a copy of the project, built by GCC with -fsanitize=address,undefined
#   tools/sanitize.sh malloc [PYTEST ARGUMENTS]    the installed klfast, with PYTHONMALLOC=debug
#
# PYTHON (python by default) has numpy, cython, setuptools and what the tests need; CC is gcc or a GCC of another name.
# Without arguments pytest runs all tests but those whose subject is another build, or how much memory is in use.
set -eu

usage() {
    sed -n '4,5s/^# *//p' "$0" >&2
    exit 2
}

root=$(cd "$(dirname "$0")/.." && pwd)
python=$(command -v "${PYTHON:-python}")
case $python in
    /*) ;;
    *) python=$(pwd)/$python ;;
esac
compiler=${CC:-gcc}
mode=${1-}
test $# -gt 0 && shift
test $# -gt 0 || set -- -q --ignore=tests/test_installation.py --ignore=tests/test_memory.py \
    --deselect=tests/test_cli_process.py::test_memory_does_not_grow_with_the_files

run_tests() {
    "$python" -m pytest -p no:cacheprovider "$@"
}

# A copy without what was built, with loops that are compiled in a quarter of the time.
copy_tree() {
    "$python" - "$root" "$1" <<'END'
import shutil
import sys
from pathlib import Path

source, target = map(Path, sys.argv[1:])
built = shutil.ignore_patterns(".*", "build", "dist", "*.so", "*.pyd", "*.egg-info", "__pycache__", "shared")
shutil.copytree(source, target, ignore=built, symlinks=True)
setup = target / "setup.py"
text = setup.read_text()
if '"-O3"' not in text:
    sys.exit("setup.py: compiles with another level than -O3")
setup.write_text(text.replace('"-O3"', '"-O1"'))
END
}

address() {
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    copy_tree "$work/tree"
    cd "$work/tree"
    # Every type, byte order and address is read where it lies: unaligned access is on purpose, and on no element's own type.
    CFLAGS=-g CC="$compiler -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize=alignment" \
        "$python" setup.py --quiet build_ext --inplace
    # The runtimes come before all else, and that of C++ before what other packages bring along.
    preloaded=
    for library in libasan.so libubsan.so libstdc++.so.6; do
        preloaded="$preloaded $("$compiler" -print-file-name=$library)"
    done
    reports=$work/report
    status=0
    (
        # What Python's end leaves behind is no leak of ours (tests/test_memory.py looks for those).
        export LD_PRELOAD="${preloaded# }" PYTHONPATH="$work/tree/src" PYTHONMALLOC=malloc
        export ASAN_OPTIONS="detect_leaks=0:allocator_may_return_null=1:log_path=$reports"
        export UBSAN_OPTIONS="halt_on_error=1:print_stacktrace=1:log_path=$reports"
        "$python" - "$work/tree" <<'END'
import sys

from klfast import _kernels

if not _kernels.__file__.startswith(sys.argv[1]):
    sys.exit(f"{_kernels.__file__}: is not the build with the sanitizers")
if b"__asan_init" not in open(_kernels.__file__, "rb").read():
    sys.exit(f"{_kernels.__file__}: has been built without sanitizers")
END
        run_tests "$@"
    ) || status=$?
    # Reports of processes that tests have started are failures too.
    for report in "$reports"*; do
        test -e "$report" || continue
        cat "$report" >&2
        status=1
    done
    return $status
}

case $mode in
    address) address "$@" ;;
    malloc) cd "$root" && PYTHONMALLOC=debug run_tests "$@" ;;
    *) usage ;;
esac
