"""Makes a Linux wheel that runs anywhere: auditwheel copies the OpenMP runtime into it, and the licence of the copy goes along.

    python tools/repair_wheel.py WHEEL FOLDER [options of auditwheel repair]

Needs `auditwheel` and `patchelf` on the path.
"""

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

LICENSE = Path(__file__).parent / "licenses" / "libgomp.txt"
# What the licence field of a wheel says that holds a copy of the runtime.
PLAIN, JOINED = "BSD-3-Clause", "BSD-3-Clause AND GPL-3.0-or-later WITH GCC-exception-3.1"


def wants_runtime(wheel):
    """Whether an extension in the wheel names libgomp as a library that it needs."""
    with zipfile.ZipFile(wheel) as archive:
        return any(b"libgomp.so" in archive.read(name) for name in archive.namelist() if name.endswith(".so"))


def with_license(metadata, name):
    """The METADATA of a wheel that also holds this licence file."""
    for line in (f"License-Expression: {PLAIN}\n", "License-File: LICENSE\n"):
        if metadata.count(line) != 1:
            raise SystemExit(f"METADATA should hold one line {line.strip()!r}")
    metadata = metadata.replace(f"License-Expression: {PLAIN}\n", f"License-Expression: {JOINED}\n")
    return metadata.replace("License-File: LICENSE\n", f"License-File: LICENSE\nLicense-File: {name}\n")


def add_license(wheel, target):
    """Copies a wheel and adds the licence; RECORD is not touched, since auditwheel writes a new one."""
    with zipfile.ZipFile(wheel) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as new:
        for entry in old.infolist():
            content = old.read(entry)
            if entry.filename.endswith(".dist-info/METADATA"):
                content = with_license(content.decode(), LICENSE.name).encode()
                new.writestr(entry.filename.replace("METADATA", f"licenses/{LICENSE.name}"), LICENSE.read_bytes())
            new.writestr(entry, content)


def repair(wheel, folder, *options):
    with tempfile.TemporaryDirectory() as work:
        if wants_runtime(wheel):
            complete = Path(work) / Path(wheel).name
            add_license(wheel, complete)
            wheel = complete
        command = ["auditwheel", "repair", "--zip-compression-level", "9", "--wheel-dir", folder]
        subprocess.run([*command, *options, wheel], check=True)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    repair(*sys.argv[1:])
