"""Builds the source distribution such that the same files always give the same bytes.

    python tools/make_sdist.py FOLDER

Needs `build`. Every file gets the time in SOURCE_DATE_EPOCH, or else that of the last commit.
"""

import gzip
import io
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def seconds_of_the_source():
    """SOURCE_DATE_EPOCH, or the time of the last commit."""
    given = os.environ.get("SOURCE_DATE_EPOCH")
    if given:
        return int(given)
    command = ["git", "log", "-1", "--format=%ct"]
    return int(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout)


def copy_with_fixed_times(source, target, seconds):
    """Writes the archive once more: members in order, with one time and no owner, so that nothing of this machine is left."""
    packed = io.BytesIO()
    with tarfile.open(source) as old, tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as new:
        for member in sorted(old.getmembers(), key=lambda member: member.name):
            clean = tarfile.TarInfo(member.name)
            clean.type, clean.size, clean.mtime = member.type, member.size, seconds
            clean.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
            new.addfile(clean, old.extractfile(member) if member.isfile() else None)
    with open(target, "wb") as file, gzip.GzipFile("", "wb", 9, file, mtime=seconds) as compressed:
        compressed.write(packed.getvalue())


def make_sdist(folder, root=ROOT, seconds=None):
    """Builds the source distribution of the tree at `root` into the folder; returns its path."""
    seconds = seconds_of_the_source() if seconds is None else seconds
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as work:
        subprocess.run([sys.executable, "-m", "build", "--sdist", "--outdir", work, root], check=True)
        (built,) = Path(work).glob("*.tar.gz")
        copy_with_fixed_times(built, folder / built.name, seconds)
        return folder / built.name


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    print(make_sdist(sys.argv[1]))
