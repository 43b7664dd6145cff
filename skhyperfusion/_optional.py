"""matplotlib, where it is installed."""


def import_pyplot(caller):
    """Return ``matplotlib.pyplot``, or say what to install (extra ``plot``).

    Parameters
    ----------
    caller : str
        What draws, for the message.

    Raises
    ------
    ImportError
        If matplotlib is absent.
    """
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            f"{caller} draws with matplotlib, which is not installed. Run: pip install 'skhyperfusion[plot]'."
        ) from error
    return plt
