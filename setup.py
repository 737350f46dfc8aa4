"""One extension module: the Cython walker, and the C kernels compiled once per CPU level with the flags of that level.

KLFAST_OPENMP=0 builds without OpenMP, 1 insists on it, auto (the default) takes it where the compiler has it, but not with
musl.
"""

import glob
import os
import shutil
import sys
import sysconfig
import tempfile
from concurrent.futures import ThreadPoolExecutor

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError, LinkError
from setuptools.modified import newer_group

CORE = "src/klfast/core"
# Contraction is off and FMA written out, so that all levels with FMA return the same bits. Bits of numbers are subtracted as
# integers, whatever they are: hence -fwrapv.
FLAGS = ["-O3", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=off", "-fwrapv", "-fvisibility=hidden"]
# It takes most of the space, and half of the compiler's time: only who asks for it gets it.
DEBUG_INFORMATION = [] if "-g" in os.environ.get("CFLAGS", "").split() else ["-g0"]
FLAGS += DEBUG_INFORMATION
X86_LEVELS = {
    "baseline": ["-march=x86-64-v2"],
    "x86_64_v3": ["-march=x86-64-v3"],
    "x86_64_v4": ["-march=x86-64-v4", "-mprefer-vector-width=512"],
}
# The chains of operations of a step are long and do not depend on each other: laid side by side they leave the CPU less to
# reorder, 5 to 10 % of the time on Intel with AVX-512, up to 20 % on AMD's Zen 3 with AVX2. Clang does so anyway. The
# functions that it does no good say so (AS_WRITTEN).
SIDE_BY_SIDE = ["-fschedule-insns", "-fsched-pressure"]
# GCC clears and copies small arrays with string instructions, which take longer to begin than the work takes: up to 17 % of a
# row of a thousand entries on Zen 3.
IN_A_LOOP = "unrolled_loop:512:noalign,libcall:-1:noalign"
SMALL_ARRAYS = ["-fno-tree-loop-distribute-patterns", f"-mmemset-strategy={IN_A_LOOP}", f"-mmemcpy-strategy={IN_A_LOOP}"]
# How to find the callers of a function, for debuggers and profilers: a fiftieth of a wheel, and of little use there without the
# names that --strip-all takes.
NO_UNWINDING = ["-fno-asynchronous-unwind-tables", "-fno-unwind-tables"]
NO_COMPILER = """
klfast is compiled from C and Cython, and no C compiler was found that works and finds Python.h.
Install one, with Python's headers, and try again:
    Debian, Ubuntu   apt-get install gcc libc6-dev python3-dev
    Fedora           dnf install gcc python3-devel
    macOS            xcode-select --install
    Windows          LLVM's clang-cl with the Visual Studio build tools
"""
# With musl, threads have 128 KiB of stack unless who starts them asks for more, which OpenMP does not: see system_threads.h.
WITH_OPENMP = """
#include <omp.h>
#include <stdlib.h>
#if defined(__linux__) && !defined(__GLIBC__) && !defined(__BIONIC__)
#error too little stack
#endif
int main(void) { return omp_get_max_threads() == 0; }
"""


class BuildKernels(build_ext):
    """Compiles the C files, those of CPU levels with flags of their own, and links them into the module."""

    def run(self):
        # A build in place keeps the names of static functions, and the like, for profiles. Later setuptools does not tell
        # which it is.
        self.is_lean = sys.platform == "linux" and not self.inplace and not self.editable_mode
        super().run()

    def build_extension(self, extension):
        if self.compiler.compiler_type == "msvc":
            self._take_clang_cl()
        self._require_compiler()
        openmp = self._openmp_flags()
        is_x86 = self.plat_name.rpartition("-")[2] in ("x86_64", "amd64", "universal2")
        levels = dict(X86_LEVELS) if is_x86 else {"baseline": []}
        self.announce(f"klfast: CPU levels {', '.join(levels)}", level=2)
        shared = self._for_x86(["-DKLFAST_X86_LEVELS=1"]) if is_x86 else []
        if is_x86 and self._takes(SMALL_ARRAYS):
            shared = shared + SMALL_ARRAYS
            levels = {level: flags + SMALL_ARRAYS for level, flags in levels.items()}
        if is_x86 and self._takes(SIDE_BY_SIDE):
            levels = {level: flags + SIDE_BY_SIDE if level != "baseline" else flags for level, flags in levels.items()}
        jobs = [(f"level_{level}", self._for_x86(flags)) for level, flags in reversed(levels.items())]
        walkers = ("targets", "read", "tell", "walk", "tiles", "write", "terms", "topk", "dirichlet", "share", "share_pool")
        jobs += [(name, shared) for name in walkers]
        jobs.append(("share_openmp", openmp))
        if os.name == "nt" and sysconfig.get_config_var("Py_GIL_DISABLED"):
            extension.define_macros.append(("Py_GIL_DISABLED", "1"))  # elsewhere Python's headers know it
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            kernels = [pool.submit(self._compile_kernels, *job) for job in jobs]
            module = pool.submit(self._compile_module, extension)
            extension.extra_objects += [future.result() for future in (*kernels, module)]
        extension.depends, extension.sources = extension.extra_objects, []  # all that is left is to link
        extension.extra_link_args += [*openmp, *([] if os.name == "nt" else ["-pthread"])]
        if self.is_lean:
            extension.extra_link_args.append("-Wl,--strip-all")
        super().build_extension(extension)

    def _compile_kernels(self, name, flags):
        lean = NO_UNWINDING if self.is_lean else []
        return self._compile_once(f"{CORE}/{name}.c", self._as_understood(FLAGS + lean + flags))

    def _compile_module(self, extension):
        """What Cython made, beside the kernels: it takes as long as a fourth of a CPU level."""
        (source,) = extension.sources
        flags = self._as_understood(["-O2", "-fvisibility=hidden", *DEBUG_INFORMATION])
        return self._compile_once(source, flags, macros=extension.define_macros, include_dirs=extension.include_dirs)

    def _compile_once(self, source, flags, **options):
        """Compiles a file, unless that was done already with these flags, and nothing is newer. Returns the object's name."""
        (target,) = self.compiler.object_filenames([source], output_dir=self.build_temp)
        made_of = [source, __file__, *glob.glob(f"{CORE}/*.h")]
        made_with = repr([getattr(self.compiler, "compiler_so", self.compiler.compiler_type), flags, options])
        note = f"{target}.flags"  # written last: an object without it is not whole
        if not self.force and os.path.exists(note) and not newer_group(made_of, target):
            with open(note) as file:
                if file.read() == made_with:
                    return target
        if os.path.exists(note):
            os.remove(note)
        self.compiler.compile([source], output_dir=self.build_temp, extra_postargs=flags, **options)
        with open(note, "w") as file:
            file.write(made_with)
        return target

    def _for_x86(self, flags):
        """Flags for x86-64 alone, where a module for two kinds of CPU is compiled at once, as on macOS."""
        if not self.plat_name.endswith("-universal2"):
            return flags
        return [word for flag in flags for word in ("-Xarch_x86_64", flag)]

    def _take_clang_cl(self):
        """Microsoft's compiler knows neither the flags nor the vectors of the kernels; clang-cl has the same conventions."""
        compiler, machine = shutil.which("clang-cl"), {"win-amd64": "x86_64", "win-arm64": "aarch64"}.get(self.plat_name)
        if compiler is None or machine is None:
            raise SystemExit(NO_COMPILER)
        if not self.compiler.initialized:
            self.compiler.initialize(self.plat_name)
        self.compiler.cc = compiler
        options = [option for option in self.compiler.compile_options if option != "/GL"]  # which only Microsoft's linker reads
        self.compiler.compile_options = [*options, f"--target={machine}-pc-windows-msvc"]

    def _as_understood(self, flags):
        """The flags as the compiler takes them. On Windows nothing is exported anyway, and debug information not asked for."""
        if self.compiler.compiler_type != "msvc":
            return flags
        return [f"/clang:{flag}" for flag in flags if flag not in ("-fvisibility=hidden", "-g0")]

    def _try(self, code, flags):
        """Whether a small program compiles and links with these flags."""
        with tempfile.TemporaryDirectory() as folder:
            source = os.path.join(folder, "try.c")
            with open(source, "w") as file:
                file.write(code)
            try:
                objects = self.compiler.compile([source], output_dir=folder, extra_postargs=flags)
                self.compiler.link_executable(objects, os.path.join(folder, "try"), extra_postargs=flags)
            except (CompileError, LinkError, OSError):
                return False
        return True

    def _takes(self, flags):
        """Whether the compiler has these flags."""
        return self._try("int main(void) { return 0; }\n", self._as_understood(flags))

    def _require_compiler(self):
        if not self._try("#include <Python.h>\nint main(void) { return 0; }\n", []):
            raise SystemExit(NO_COMPILER)

    def _openmp_flags(self):
        wanted = os.environ.get("KLFAST_OPENMP", "auto")
        if wanted not in ("0", "1", "auto"):
            raise SystemExit(f"KLFAST_OPENMP={wanted!r} is none of 0, 1, auto")
        if wanted == "0" or (wanted == "auto" and os.name == "nt"):
            return []
        if self._try(WITH_OPENMP, ["-fopenmp"]):
            return ["-fopenmp"]
        if wanted == "1":
            raise SystemExit(
                "KLFAST_OPENMP=1, but the C compiler cannot build a program with -fopenmp, or the C library is musl, which"
                " gives its threads too little stack"
            )
        self.announce("klfast: built without OpenMP, threads are klfast's own", level=3)
        return []


setup(
    ext_modules=cythonize(
        [
            Extension(
                "klfast._kernels",
                ["src/klfast/_kernels.pyx"],
                depends=[f"{CORE}/{name}" for name in sorted(os.listdir(CORE))],
                include_dirs=[CORE],
            )
        ],
        build_dir="build/cython",
    ),
    cmdclass={"build_ext": BuildKernels},
)
