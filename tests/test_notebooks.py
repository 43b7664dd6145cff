"""The notebooks are the gallery's pages, with outputs, and they run."""

import importlib.util
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat")
pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

NOTEBOOKS = Path(__file__).parent.parent / "examples" / "notebooks"


def _load():
    spec = importlib.util.spec_from_file_location("make_notebooks", NOTEBOOKS / "make_notebooks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


MAKER = _load()


def test_page_when_split_gives_text_and_code():
    text = "# %%\n# Part\n# ----\n# Says ``this``.\n\nx = 1\n\n# %%\n\nx\n"
    source = f'"""\nTitle\n=====\n\nText.\n"""\n\n{text}'
    assert MAKER.cells_of(source) == [
        ("markdown", "# Title\n\nText."),
        ("markdown", "## Part\nSays `this`."),
        ("code", "x = 1"),
        ("code", "x"),
    ]


@pytest.mark.parametrize("name", MAKER.PAGES)
def test_notebook_has_the_cells_of_its_page_and_their_outputs(name):
    notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
    nbformat.validate(notebook)
    made = MAKER.make_notebook(NOTEBOOKS.parent / MAKER.PAGES[name])
    assert [cell.source for cell in notebook.cells] == [cell.source for cell in made.cells], (
        f"{name}.ipynb is not its page any more: run examples/notebooks/make_notebooks.py {name}"
    )
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert any("text/html" in output.get("data", {}) for output in outputs)
    assert not any(output.output_type == "error" or output.get("name") == "stderr" for output in outputs)


@pytest.mark.slow
@pytest.mark.parametrize("name", MAKER.PAGES)
def test_notebook_when_run_anew_ends(name):
    notebook = MAKER.run(MAKER.make_notebook(NOTEBOOKS.parent / MAKER.PAGES[name]))
    assert all(cell.execution_count for cell in notebook.cells if cell.cell_type == "code")
