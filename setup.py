"""One extension module: the Cython walker, and the C kernels compiled once per CPU level with the flags of that level.

KLFAST_OPENMP=0 builds without OpenMP, 1 insists on it, auto (the default) takes it where the compiler has it.
"""

import os
import platform
import tempfile

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError, LinkError

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
NO_COMPILER = """
klfast is compiled from C and Cython, and no C compiler was found that works and finds Python.h.
Install one, with Python's headers, and try again:
    Debian, Ubuntu   apt-get install gcc libc6-dev python3-dev
    Fedora           dnf install gcc python3-devel
    macOS            xcode-select --install
    Windows          LLVM's clang-cl with the Visual Studio build tools
"""


class BuildKernels(build_ext):
    """Compiles the level files one by one, with their own flags, and links them into the module."""

    def build_extension(self, extension):
        self._require_compiler()
        is_x86 = platform.machine().lower() in ("x86_64", "amd64")
        levels = X86_LEVELS if is_x86 else {"baseline": []}
        macros = [("KLFAST_X86_LEVELS", "1")] if is_x86 else []
        self.announce(f"klfast: CPU levels {', '.join(levels)}", level=2)
        for level, flags in levels.items():
            extension.extra_objects += self._compile(f"{CORE}/level_{level}.c", FLAGS + flags, [])
        for name in ("targets", "read", "walk", "write", "terms", "topk", "share", "share_pool"):
            extension.extra_objects += self._compile(f"{CORE}/{name}.c", FLAGS, macros)
        openmp = self._openmp_flags()
        extension.extra_objects += self._compile(f"{CORE}/share_openmp.c", FLAGS + openmp, [])
        extension.extra_compile_args += ["-O2", "-fvisibility=hidden", *DEBUG_INFORMATION]
        extension.extra_link_args += [*openmp, *([] if os.name == "nt" else ["-pthread"])]
        super().build_extension(extension)

    def _compile(self, source, flags, macros):
        return self.compiler.compile([source], output_dir=self.build_temp, macros=macros, extra_postargs=flags)

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

    def _require_compiler(self):
        if not self._try("#include <Python.h>\nint main(void) { return 0; }\n", []):
            raise SystemExit(NO_COMPILER)

    def _openmp_flags(self):
        wanted = os.environ.get("KLFAST_OPENMP", "auto")
        if wanted not in ("0", "1", "auto"):
            raise SystemExit(f"KLFAST_OPENMP={wanted!r} is none of 0, 1, auto")
        if wanted == "0":
            return []
        if self._try("#include <omp.h>\nint main(void) { return omp_get_max_threads() == 0; }\n", ["-fopenmp"]):
            return ["-fopenmp"]
        if wanted == "1":
            raise SystemExit("KLFAST_OPENMP=1, but the C compiler cannot build a program with -fopenmp")
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
