"""Tables separated by tabs, as people save them: any encoding, any line end; errors name file and line."""

import csv
import io
import re
import warnings

import pandas as pd

from skhyperfusion._wording import did_you_mean, listing, show

_BOMS = (  # UTF-32 before UTF-16, whose mark is how that of UTF-32 begins
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe\0\0", "utf-32"),
    (b"\0\0\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
_NO_TEXT = {
    b"PK\x03\x04": "an Excel file or another zip archive; save it as text separated by tabs",
    b"\xd0\xcf\x11\xe0": "an old Excel file; save it as text separated by tabs",
    b"\x1f\x8b": "compressed by gzip; unpack it",
    b"version https://git-lfs": "a pointer to a file in Git LFS; fetch it with 'git lfs pull'",
    b"/annex/objects/": "a pointer to a file in git-annex; fetch it with 'datalad get'",
}
_MISSING = ("n/a", "")  # in BIDS these alone: 'NA' or 'None' may be a category


def read_tsv(path, id_column):
    """Read a table as text, one row per line, missing cells as None; the index is the number of the line.

    Cells beyond the header that are empty (a tab at a line's end), and lines without any value, are left out.

    Raises
    ------
    FileNotFoundError
        There is no such file, or it is a link to one that was not fetched.
    ValueError
        It is no text, empty, a row has more or fewer cells than the header, a column's name stands twice,
        `id_column` is absent or has a gap.
    """
    lines = _cells(_text(path))
    if not lines:
        raise ValueError(
            f"{str(path)!r} is empty. Its first line must name the columns, {id_column!r} first."
        )
    names = lines.pop(0)[1]
    _check_names(names, id_column, path)
    for number, cells in lines:
        if len(cells) != len(names):
            raise ValueError(
                f"{str(path)!r}: line {number} has {len(cells)} cells where the header names {len(names)} "
                f"columns ({listing(cells, noun='cell')}). Write 'n/a' for a value that is missing."
            )
    rows = [[None if cell in _MISSING else cell for cell in cells] for _, cells in lines]
    table = pd.DataFrame(rows, columns=names, index=[number for number, _ in lines], dtype=object)
    table = _without_unnamed(table, path)
    gaps = table[id_column].isna().to_numpy()
    if gaps.any():
        first = int(gaps.argmax())
        raise ValueError(
            f"{str(path)!r}: row {first + 1} (line {table.index[first]}, of {gaps.sum()} such) has no "
            f"{id_column!r}. Fill it in, or delete the row."
        )
    return table


def typed(table, *id_columns):
    """Return a table of texts with numbers where a column holds nothing else; `id_columns` stay text."""
    text = table.to_csv(sep="\t", index=False, na_rep="n/a")
    return pd.read_csv(
        io.StringIO(text),
        sep="\t",
        na_values=list(_MISSING),
        keep_default_na=False,
        dtype=dict.fromkeys(id_columns, str),
    )


def _text(path):
    if not path.is_file():
        raise FileNotFoundError(f"{str(path)!r} {_absence(path)}")
    content = path.read_bytes()
    for start, what in _NO_TEXT.items():
        if content.startswith(start):
            raise ValueError(f"{str(path)!r} is {what}.")
    encoding = next((name for mark, name in _BOMS if content.startswith(mark)), None)
    if encoding is None and b"\0" in content[:200]:  # UTF-16 without a mark: the header's letters are ASCII
        encoding = "utf-16-be" if content[:1] == b"\0" else "utf-16-le"
    try:
        text = content.decode(encoding or "utf-8")
    except UnicodeDecodeError as error:
        if encoding is not None:
            raise ValueError(
                f"{str(path)!r} cannot be read as {encoding}: {error}. Save it as UTF-8."
            ) from error
        text = content.decode("cp1252", errors="replace")
        line = 1 + content[: error.start].count(b"\n")
        warnings.warn(
            f"{str(path)!r} is not UTF-8 (line {line}: byte {content[error.start]:#x}); it is read as "
            "Windows-1252, the Western European encoding. Save it as UTF-8 if letters come out wrong.",
            UserWarning,
            stacklevel=5,
        )
    if "\0" in text:
        raise ValueError(f"{str(path)!r} holds zero bytes and is no text. Restore it.")
    return text


def _absence(path):
    if path.is_symlink():
        return (
            "is a link to a file that is not there. Fetch it ('datalad get', 'git annex get'), or delete it."
        )
    return "is a folder; a file is wanted." if path.is_dir() else "does not exist."


def _cells(text):
    """Return (number of the line, cells) for each line that says anything."""
    lines = _parsed(text)
    width = len(_trimmed(lines[0][1])) if lines else 0
    kept = []
    for number, cells in lines:
        cells = [cell.strip() for cell in cells]
        while len(cells) > width and not cells[-1]:
            cells.pop()
        if any(cells):
            kept.append((number, cells))
    return kept


def _parsed(text):
    return [(i, _split(line)) for i, line in enumerate(re.split("\r\n|\r|\n", text), 1) if line.strip()]


def _split(line):
    """Return a line's cells: quotes hold a tab together where they come in pairs, else they are letters."""
    try:
        return next(csv.reader([line], delimiter="\t", strict=True))
    except csv.Error:
        return line.split("\t")


def _trimmed(cells):
    return cells[: max((i + 1 for i, cell in enumerate(cells) if cell.strip()), default=0)]


def _check_names(names, id_column, path):
    doubled = list(dict.fromkeys(name for name in names if name and names.count(name) > 1))
    if doubled:
        raise ValueError(f"{str(path)!r} has more than one of {listing(doubled, noun='column')}. Rename one.")
    if id_column not in names:
        hint = did_you_mean(id_column, [name for name in names if len(name) < 20]) or "."
        raise ValueError(
            f"{str(path)!r} has no column {id_column!r}; its columns are {names[:5]!r}{hint} "
            "The file must be separated by tabs."
        )


def _without_unnamed(table, path):
    """Leave out columns without a name, such as the numbers of the rows that pandas and R write."""
    unnamed = [j for j, name in enumerate(table.columns) if not name]
    values = [value for value in table.iloc[:, unnamed].to_numpy().ravel() if value is not None]
    if values:
        warnings.warn(
            f"{str(path)!r}: column {unnamed[0] + 1} has no name and is left out ({show(values[0])} first). "
            "Name it in the file's first line to have it.",
            UserWarning,
            stacklevel=5,
        )
    return table.iloc[:, [j for j in range(table.shape[1]) if j not in unnamed]]
