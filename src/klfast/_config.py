"""What this installation is and does."""

from klfast import _kernels, _threads
from klfast._version import __version__


def show_config(file=None):
    """Print the version, the CPU target and the threading driver in use and those available, and the number of threads.

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
    driver = _kernels.threading_driver()
    if driver == "openmp":
        driver += f" (standard of {_kernels.openmp_version()})"
    print(f"klfast      {__version__}", file=file)
    print(f"CPU target  {_kernels.cpu_target()} (available: {', '.join(_kernels.cpu_targets())})", file=file)
    print(f"threading   {driver} (available: {', '.join(_kernels.threading_drivers())})", file=file)
    print(f"threads     {_threads.get_num_threads()}", file=file)
