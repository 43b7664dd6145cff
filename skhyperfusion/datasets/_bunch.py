"""What a generator of data returns: a Bunch that fits on a screen."""

from sklearn.utils import Bunch


class Cohort(Bunch):
    """A Bunch whose representation names its fields instead of printing every one of them.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"age": [71.0, 78.0]})
    >>> Cohort(data=table, target=pd.Series(["CN", "AD"]), best_score={"r2": 0.9})
    Cohort with
      data: DataFrame (2, 1): age
      target: Series (2,)
      best_score: {'r2': 0.9}
    """

    def __repr__(self):
        lines = [f"  {name}: {_summary(field)}" for name, field in self.items()]
        return "\n".join(["Cohort with", *lines])


def _summary(field):
    shape = getattr(field, "shape", None)
    if shape is None:
        text = repr(field)
        return text if len(text) <= 100 and "\n" not in text else f"{type(field).__name__}, {len(field)} long"
    columns = ": " + ", ".join(map(str, field.columns)) if hasattr(field, "columns") else ""
    return f"{type(field).__name__} {shape}{columns}"
