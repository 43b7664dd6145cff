"""Packages that may be absent: imported where they are used, with the extra that installs them."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any


def import_optional(module: str, caller: str, *, extra: str) -> ModuleType:
    """Return a module of a package that not everybody has, or say what to install.

    Parameters
    ----------
    module : str
        Its full name, as ``"matplotlib.pyplot"``.
    caller : str
        What needs it, as the message begins: ``"Comparison.plot"``, ``"Reading DICOM"``.
    extra : str
        The extra of skhyperfusion that installs the package.

    Raises
    ------
    ImportError
        If the package is absent, or cannot be imported as it is installed.

    Examples
    --------
    >>> import_optional("json", "Reading", extra="test").loads("[1, 2]")
    [1, 2]
    >>> import_optional("captum_of_old", "image_attribution", extra="explain")
    Traceback (most recent call last):
    ...
    ImportError: image_attribution needs captum_of_old, which is not installed. Run: pip install
    "skhyperfusion[explain]".
    """
    package = module.partition(".")[0]
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{module}.".startswith(f"{error.name}."):
            raise ImportError(
                f"{caller} needs {package}, which is not installed. "
                f'Run: pip install "skhyperfusion[{extra}]".',
                name=package,
            ) from error
        raise _broken(module, caller, extra, error) from error
    except (ImportError, OSError, RuntimeError) as error:  # a shared library is absent, or of another build
        raise _broken(module, caller, extra, error) from error


def _broken(module: str, caller: str, extra: str, error: Exception) -> ImportError:
    return ImportError(
        f"{caller} needs {module}, which cannot be imported as it is installed "
        f'({type(error).__name__}: {error}). Run: pip install --upgrade "skhyperfusion[{extra}]".',
        name=module,
    )


def import_pyplot(caller: str) -> ModuleType:
    """Return ``matplotlib.pyplot`` for what draws, or say what to install (extra ``plot``)."""
    return import_optional("matplotlib.pyplot", caller, extra="plot")


def axes_or_new(ax: Any, caller: str, figsize: tuple[float, float] | None = None) -> Any:
    """Return the axes to draw in: those given, or of None those of a new figure.

    Parameters
    ----------
    ax : matplotlib.axes.Axes or None
        What the user gave.
    caller : str
        What draws, as the message begins where matplotlib is absent.
    figsize : tuple of float, optional
        Width and height of a new figure, in inches.
    """
    pyplot = import_pyplot(caller)
    return pyplot.subplots(figsize=figsize, layout="constrained")[1] if ax is None else ax
