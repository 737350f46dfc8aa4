"""What this installation is and does."""

from klfast import _kernels, _threads
from klfast._version import __version__


def show_config(file=None):
    """Print the version, the CPU target in use and those available, and how work is shared out over threads.

    Parameters
    ----------
    file : file-like, optional
        Where to print; standard output by default.

    Examples
    --------
    >>> import klfast
    >>> klfast.show_config()  # doctest: +ELLIPSIS
    klfast ...
    """
    driver = f"OpenMP (standard of {_kernels.openmp_runtime()})" if _kernels.has_openmp() else "serial"
    print(f"klfast      {__version__}", file=file)
    print(f"CPU target  {_kernels.cpu_target()} (available: {', '.join(_kernels.cpu_targets())})", file=file)
    print(f"threading   {driver}", file=file)
    print(f"threads     {_threads.get_num_threads()}", file=file)
