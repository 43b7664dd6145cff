"""Which columns of a table say something, and what to tell where none does."""

from skhyperfusion._wording import listing


def telling_columns(table, *, gaps_tell):
    """Return the names of the columns that differ between rows; a single row has all that have a value.

    Parameters
    ----------
    table : DataFrame
        As the schema has read it: numbers, and objects of text.
    gaps_tell : bool
        Whether a column of numbers with one value counts where it has gaps, as these get a flag. A column of
        text always does.

    Examples
    --------
    >>> import pandas as pd
    >>> telling_columns(pd.DataFrame({"a": [1.0, 2.0], "b": [1.0, None], "c": [3.0, 3.0]}), gaps_tell=False)
    ['a']
    """
    if len(table) == 1:  # one row cannot tell whether a column varies
        return [name for name, column in table.items() if column.notna().all()]
    kept = []
    for name, column in table.items():
        n_values = column.nunique()
        # Where only the gaps differ, a category is 0 there; a number is filled, and needs its flag.
        gaps_count = column.hasnans and (gaps_tell or column.dtype == object)
        if n_values > 1 or (n_values == 1 and gaps_count):
            kept.append(name)
    return kept


def nothing_left(table, owner):
    """Say, for an error of `owner`, why no column of a table is of use."""
    empty = [name for name, column in table.items() if column.isna().all()]
    constant = [name for name in table.columns if name not in empty]
    reasons = [f"{listing(empty, noun='column')} without a value"] * bool(empty)
    reasons += [f"{listing(constant, noun='column')} the same in every row"] * bool(constant)
    return (
        f"The table holds no usable column (n_samples={len(table)}): {'; '.join(reasons) or 'it has none'}. "
        f"{owner} needs a column that differs between rows."
    )
