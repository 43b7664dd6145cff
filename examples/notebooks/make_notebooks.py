"""Make the notebooks from the gallery's pages and run them, so that the two cannot drift apart.

    python examples/notebooks/make_notebooks.py

A page is a Python file whose docstring and comments behind ``# %%`` are text. In a notebook the text becomes
cells of Markdown. The tests compare each notebook's cells with its page, and run them.
"""

import argparse
import ast
import os
import re
from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).parent
PAGES = {
    "image_table_or_both": "plot_image_table_or_both.py",
    "how_deep_a_hypernetwork": "plot_how_deep_a_hypernetwork.py",
    "a_vote_with_tabular_models": "plot_a_vote_with_tabular_models.py",
    "the_papers_table": "plot_the_papers_table.py",
}


def cells_of(source):
    """Split a page into (kind, text) pairs, kind being "markdown" or "code"."""
    module = ast.parse(source)
    title = ast.get_docstring(module, clean=False)
    rest = "\n".join(source.splitlines()[module.body[0].end_lineno :])
    cells = [("markdown", to_markdown(title.strip()))]
    for part in re.split(r"^# %%.*\n", "\n" + rest, flags=re.MULTILINE):
        text = re.match(r"(?:#.*\n)*", part)[0]
        code = part[len(text) :].strip()
        if text.strip():
            cells.append(("markdown", to_markdown(re.sub(r"^# ?", "", text, flags=re.MULTILINE).strip())))
        if code:
            cells.append(("code", code))
    return cells


def to_markdown(text):
    """Turn a page's reStructuredText into Markdown: headings, code and links."""
    text = re.sub(r"^(.+)\n=+$", r"# \1", text, flags=re.MULTILINE)
    text = re.sub(r"^(.+)\n-+$", r"## \1", text, flags=re.MULTILINE)
    text = re.sub(r"`([^`<]+?)\s*<([^>]+)>`__?", r"[\1](\2)", text)
    return re.sub(r"``(.+?)``", r"`\1`", text)


def make_notebook(page):
    """Return a page as a notebook that was not run yet."""
    make = {"markdown": nbformat.v4.new_markdown_cell, "code": nbformat.v4.new_code_cell}
    cells = [make[kind](text) for kind, text in cells_of(page.read_text(encoding="utf-8"))]
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"  # the same in every making, where nbformat would draw one
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})


def run(notebook, timeout=900):
    """Run a notebook in place and return it; an error in a cell is raised."""
    figures = {"MPLBACKEND": "module://matplotlib_inline.backend_inline"}
    NotebookClient(notebook, timeout=timeout, kernel_name="python3").execute(env=os.environ | figures)
    for cell in notebook.cells:
        cell.get("metadata", {}).pop("execution", None)  # times of day
    return notebook


def main():
    """Make and run those that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=list(PAGES), help=f"of {', '.join(PAGES)}; all of them")
    for name in parser.parse_args().names:
        notebook = run(make_notebook(NOTEBOOKS.parent / PAGES[name]))
        nbformat.write(notebook, NOTEBOOKS / f"{name}.ipynb")
        print(f"{name}: {len(notebook.cells)} cells", flush=True)


if __name__ == "__main__":
    main()
