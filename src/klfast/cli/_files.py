"""Files in and out: .npy files mapped into memory, and output files that appear whole or not at all."""

import contextlib
import mmap
import os
import secrets
import stat
import sys
import textwrap
import warnings

import numpy as np
from numpy.lib import format as npy_format

FLOAT_TYPES = ("float16", "float32", "float64")
INTEGER_TYPES = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
# Version 3 differs from 2 in how names of fields are encoded, and no array that has any is taken.
HEADER_READERS = {
    (1, 0): npy_format.read_array_header_1_0,
    (2, 0): npy_format.read_array_header_2_0,
    (3, 0): npy_format.read_array_header_2_0,
}


class CommandError(Exception):
    """Something the user can mend: the command prints it as one line and ends with status 2."""


@contextlib.contextmanager
def errors_name(path):
    """Turn the operating system's errors into one that begins with the file's name."""
    try:
        yield
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror or error}") from error


class MappedArray:
    """An .npy file mapped read-only. Its array is two-dimensional for logits, one-dimensional for targets.

    The header is read by numpy, never unpickled, and its size held against the file's before anything is mapped.
    """

    def __init__(self, path, types):
        self.path = path
        with errors_name(path):
            # Asked before opening: to open a pipe would wait for somebody to write to it.
            mode = os.stat(path).st_mode
            if stat.S_ISDIR(mode):
                raise CommandError(f"{path}: is a directory, not an .npy file")
            if not stat.S_ISREG(mode):
                raise CommandError(f"{path}: is not a regular file")
            with open(path, "rb") as file:
                self.shape, self.dtype = _read_header(file, path, types)
                self._offset = file.tell()
                _check_size(path, self.shape, self.dtype, self._offset, os.fstat(file.fileno()).st_size)
                self._mapping = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        count = int(np.prod(self.shape, dtype=object))
        self.array = np.frombuffer(self._mapping, self.dtype, count, self._offset)
        self._released = 0

    def read_ahead(self):
        """Tell the system that the file is read from front to back, once."""
        if hasattr(mmap, "MADV_SEQUENTIAL"):
            self._mapping.madvise(mmap.MADV_SEQUENTIAL)

    def release(self, count):
        """Give back the pages of the first `count` elements, so that resident memory does not grow with the file."""
        if not hasattr(mmap, "MADV_DONTNEED"):
            return
        end = (self._offset + count * self.dtype.itemsize) // mmap.PAGESIZE * mmap.PAGESIZE
        if end > self._released:
            self._mapping.madvise(mmap.MADV_DONTNEED, self._released, end - self._released)
            self._released = end


def _read_header(file, path, types):
    begin = file.read(len(npy_format.MAGIC_PREFIX))
    if begin != npy_format.MAGIC_PREFIX:
        raise CommandError(f"{path}: is not an .npy file, it begins with {begin!r}")
    file.seek(0)
    # Whatever numpy raises or warns about here, it says one thing: these bytes are no header.
    try:
        version = npy_format.read_magic(file)
        if version not in HEADER_READERS:
            raise ValueError(f"version {version[0]}.{version[1]} is not one of 1.0, 2.0, 3.0")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            shape, fortran_order, dtype = HEADER_READERS[version](file)
    except Exception as error:
        raise CommandError(f"{path}: damaged .npy header: {textwrap.shorten(str(error), 120)}") from error
    if max(shape, default=0) >= 2**63:
        raise CommandError(f"{path}: damaged .npy header: an axis of more than 2^63 entries")
    if dtype.hasobject:
        raise CommandError(f"{path}: dtype {dtype} holds pickled Python objects, which are never loaded")
    if dtype.name not in types:
        raise CommandError(f"{path}: dtype {dtype} is not one of {', '.join(types)}")
    if fortran_order:
        raise CommandError(f"{path}: shape {shape} is stored in Fortran order; save numpy.ascontiguousarray(x) instead")
    if not shape or min(shape) < 1:
        raise CommandError(f"{path}: shape {shape} holds no row of values")
    return shape, dtype


def _check_size(path, shape, dtype, offset, size):
    # In Python integers: a damaged header may announce more than fits 64 bits.
    expected = offset + int(np.prod(shape, dtype=object)) * dtype.itemsize
    if size != expected:
        what = "is truncated" if size < expected else "has bytes behind its array"
        raise CommandError(f"{path}: {what}: {size} bytes, but {expected} for {dtype} of shape {shape}")


def open_logits(path):
    """Map a file of logits; `array` gets the shape (rows, vocabulary)."""
    logits = MappedArray(path, FLOAT_TYPES)
    logits.array = logits.array.reshape(-1, logits.shape[-1])
    return logits


def check_same_form(base, test):
    """Both files must hold the same number of rows and classes, in the same type."""
    if test.shape != base.shape:
        raise CommandError(f"{test.path}: shape {test.shape} differs from {base.shape} of {base.path}")
    if test.dtype.name != base.dtype.name:
        raise CommandError(f"{test.path}: dtype {test.dtype.name} differs from {base.dtype.name} of {base.path}")


def open_targets(path, shape):
    """Map a file of class ids, one for each row of logits of the given shape, and hold each against the vocabulary."""
    targets = MappedArray(path, INTEGER_TYPES)
    rows, vocabulary = int(np.prod(shape[:-1], dtype=object)), shape[-1]
    if targets.shape not in (shape[:-1], (rows,)):
        raise CommandError(f"{path}: shape {targets.shape} is not one target for each of {rows} rows")
    outside = (targets.array < 0) | (targets.array >= vocabulary)
    if outside.any():
        row = int(outside.argmax())
        raise CommandError(f"{path}: target {targets.array[row]} of row {row} is outside 0 to {vocabulary - 1}")
    return targets


def check_outputs(outputs, inputs):
    """No output may take the place of an input, or of another output. Entries that are None stand for no file."""
    taken = {os.path.realpath(path): "is also an input" for path in inputs if path is not None}
    for path in outputs:
        if path is None:
            continue
        place = os.path.realpath(path)
        if place in taken:
            raise CommandError(f"{path}: cannot be written, it {taken[place]}")
        taken[place] = "is also another output"
        if _is_standard_output(path):
            raise CommandError(f"{path}: standard output goes there already; - writes the figures to it")


def _is_standard_output(path):
    """Whether that is where standard output goes: /dev/stdout, or the file that it is redirected to."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(sys.stdout.fileno()))
    except (AttributeError, OSError, ValueError):  # there is no such file, or no standard output
        return False


@contextlib.contextmanager
def whole_file(path, *, binary=False):
    """Open a new file beside `path` that takes its place when the block ends well and vanishes when it does not."""
    place = os.path.realpath(path)
    if os.path.exists(path) and not os.path.isfile(path):
        raise CommandError(f"{path}: exists and is not a regular file")
    if os.path.exists(place) and not os.access(place, os.W_OK):
        raise CommandError(f"{path}: exists and is not writable")
    temporary = os.path.join(os.path.dirname(place), f".klfast-{secrets.token_hex(8)}.partial")
    text_options = {} if binary else {"encoding": "utf-8", "newline": ""}
    file = None
    try:
        with errors_name(path):
            file = open(temporary, "xb" if binary else "x", **text_options)
        yield file
        with errors_name(path):
            file.close()
            os.replace(temporary, place)
    finally:
        if file is not None:
            # A full disk makes closing fail again; the first error is on its way to the user already.
            with contextlib.suppress(OSError):
                file.close()
        # The name is nobody else's, and the file may be there before `file` is, when a signal comes in between.
        with contextlib.suppress(FileNotFoundError if file is not None else OSError):
            os.unlink(temporary)
