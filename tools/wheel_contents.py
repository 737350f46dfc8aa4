"""What must hold of a source distribution and of a Linux wheel. Every check returns its faults as sentences.

    python tools/wheel_contents.py WHEEL...
"""

import email
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

LARGEST_WHEEL = 2_500_000  # bytes
# Tracked files that are of no use without the repository: how it is tested and released.
NOT_SHIPPED = re.compile(r"\.ci/|\.github/|\.git")
# What building adds.
MADE_BY_BUILD = re.compile(r"PKG-INFO|setup\.cfg|src/klfast\.egg-info/.*")
# What a wheel may hold. Sources of the extension and tests are not among them.
EXPECTED = re.compile(
    r"klfast/(\w+/)*\w+\.py|klfast/py\.typed|klfast/_kernels\.pyi"
    r"|klfast/_kernels\.[\w-]+\.so|klfast\.libs/libgomp-[0-9a-f]+\.so\.[\d.]+"
    r"|klfast-[\w.]+\.dist-info/"
    r"(METADATA|WHEEL|RECORD|entry_points\.txt|top_level\.txt|licenses/(LICENSE|libgomp\.txt)|sboms/auditwheel\.cdx\.json)"
)


def sdist_faults(sdist, tracked):
    """The source distribution holds every tracked file that is of use, and nothing else."""
    with tarfile.open(sdist) as archive:
        names = {member.name.partition("/")[2] for member in archive.getmembers() if member.isfile()}
    shipped = {name for name in tracked if not NOT_SHIPPED.match(name)}
    faults = [f"is missing from the source distribution: {name}" for name in sorted(shipped - names)]
    for name in sorted(names - shipped):
        if not MADE_BY_BUILD.fullmatch(name):
            faults.append(f"is in the source distribution but not in the repository: {name}")
    return faults


def content_faults(names):
    """The wheel holds the package, the licence, and nothing that only building or testing needs."""
    faults = [f"does not belong into a wheel: {name}" for name in names if not EXPECTED.fullmatch(name)]
    for wanted in (r"klfast/_kernels\.[\w-]+\.so", r"klfast/_kernels\.pyi", r"klfast/py\.typed", r".*/licenses/LICENSE"):
        if sum(bool(re.fullmatch(wanted, name)) for name in names) != 1:
            faults.append(f"not exactly one file is named {wanted}")
    has_runtime = any(name.startswith("klfast.libs/libgomp-") for name in names)
    if has_runtime != any(name.endswith("licenses/libgomp.txt") for name in names):
        faults.append("libgomp and its licence do not go together")
    return faults


def package_faults(names, source):
    """Every Python file of the package is in the wheel."""
    wanted = {str(path.relative_to(source)).replace("\\", "/") for path in Path(source).rglob("*.py")}
    return [f"is missing from the wheel: {name}" for name in sorted(wanted - set(names))]


def metadata_faults(text, has_runtime):
    """METADATA names the project, its licence, its needs."""
    fields = email.message_from_string(text)
    licenses = {"LICENSE", "libgomp.txt"} if has_runtime else {"LICENSE"}
    expression = "BSD-3-Clause AND GPL-3.0-or-later WITH GCC-exception-3.1" if has_runtime else "BSD-3-Clause"
    core = [need for need in fields.get_all("Requires-Dist", []) if "extra ==" not in need]
    found = {
        "Name": (fields["Name"], "klfast"),
        "License-Expression": (fields["License-Expression"], expression),
        "License-File": (set(fields.get_all("License-File", [])), licenses),
        "Requires-Python": (fields["Requires-Python"], ">=3.11"),
        "Requires-Dist": (core, ["numpy>=2.0"]),
    }
    faults = [f"METADATA has {name} {value!r}, not {wanted!r}" for name, (value, wanted) in found.items() if value != wanted]
    if not re.fullmatch(r"\d+\.\d+\.\d+\S*", fields["Version"] or ""):
        faults.append(f"METADATA has Version {fields['Version']!r}")
    if len(fields.get_payload()) < 1000:
        faults.append("METADATA has no description")
    return faults


def printed(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def symbol_faults(extension):
    """The extension lets nothing be seen but what Python calls, and looks for its libraries in the wheel alone."""
    shown = [line.split()[-1] for line in printed("nm", "-D", "--defined-only", str(extension)).splitlines()]
    faults = [] if shown == ["PyInit__kernels"] else [f"the extension exports {', '.join(shown)}"]
    dynamic = printed("readelf", "-d", str(extension))
    for path in re.findall(r"\(R(?:UN)?PATH\).*\[(.*)\]", dynamic):
        if path != "$ORIGIN/../klfast.libs":
            faults.append(f"the extension looks for libraries in {path}")
    return faults


def runtime_faults(names, dynamic, with_openmp):
    """With OpenMP the wheel has its own copy of libgomp, under a name of its own, and the extension asks for that one."""
    needed = [name for name in re.findall(r"\(NEEDED\).*\[(.*)\]", dynamic) if "gomp" in name or "omp5" in name]
    grafted = [name.partition("/")[2] for name in names if name.startswith("klfast.libs/")]
    if needed != grafted or len(grafted) != int(with_openmp):
        return [f"the extension needs {needed}, and the wheel has {grafted}"]
    return []


def wheel_faults(wheel, source=None):
    """Everything above, for one repaired wheel; with musl there is no OpenMP in it."""
    wheel = Path(wheel)
    with_openmp = "musllinux" not in wheel.name
    faults = []
    if not re.fullmatch(r"klfast-[\w.]+-cp3\d+-cp3\d+t?-(many|musl)linux_[\w.]+\.whl", wheel.name):
        faults.append("the name of the wheel does not say that it runs on other machines")
    if wheel.stat().st_size > LARGEST_WHEEL:
        faults.append(f"the wheel has {wheel.stat().st_size} bytes, more than {LARGEST_WHEEL}")
    with zipfile.ZipFile(wheel) as archive, tempfile.TemporaryDirectory() as folder:
        names = [name for name in archive.namelist() if not name.endswith("/")]
        archive.extractall(folder)
        has_runtime = any(name.startswith("klfast.libs/") for name in names)
        (metadata,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        extensions = [name for name in names if re.fullmatch(r"klfast/_kernels\..*\.so", name)]
        faults += content_faults(names) + metadata_faults(archive.read(metadata).decode(), has_runtime)
        faults += package_faults(names, source) if source else []
        for name in extensions:
            faults += symbol_faults(Path(folder) / name)
            faults += runtime_faults(names, printed("readelf", "-d", str(Path(folder) / name)), with_openmp)
    return faults


if __name__ == "__main__":
    found = {wheel: wheel_faults(wheel) for wheel in sys.argv[1:]}
    if not found:
        sys.exit(__doc__)
    print(*(f"{wheel}: {fault}" for wheel, faults in found.items() for fault in faults or ["as it should be"]), sep="\n")
    sys.exit(any(found.values()))
