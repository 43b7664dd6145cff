"""What each tool of scikit-learn and its neighbours does with our estimators, told by the tests themselves.

A test says by `works` or `refused` which tool it tries. The statement that it ends with ``# shown`` is the
line that the reader of docs/compatibility.md copies: what the page shows is what the test ran.
"""

import ast
import importlib
import inspect
import textwrap
from dataclasses import dataclass

import numpy as np

from skhyperfusion import TabularPreprocessor

MODULES = {
    "test_home_model_selection": "Model selection",
    "test_home_pipelines": "Pipelines",
    "test_home_composition": "Ensembles and wrappers",
    "test_home_inspection": "Inspection and displays",
    "test_home_routing": "Metadata routing",
    "test_home_inputs": "Inputs and outputs",
    "test_home_life_cycle": "Life cycle",
    "test_home_parallel": "Parallel and distributed",
    "test_home_neighbours": "Neighbours",
}
# What the lines shown on the page begin with; test_home_matrix.py runs it, and each of them after it.
SETUP = """\
import numpy as np
import pandas as pd
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_transformer
from sklearn.ensemble import StackingClassifier
from sklearn.experimental import enable_halving_search_cv
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.inspection import partial_dependence
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, HalvingGridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skhyperfusion import HyperFusionClassifier

rng = np.random.default_rng(0)
X = pd.DataFrame(
    {
        "photo": list(rng.random((24, 8, 8))),  # or paths
        "age": np.where(rng.random(24) < 0.15, np.nan, rng.normal(70, 8, 24)),
        "pressure": rng.normal(16, 3, 24),
        "side": rng.choice(["left", "right"], 24),
    }
)
y = pd.Series(np.where(X["pressure"] > 16, "ill", "well"))
weight = np.linspace(0.5, 2, 24)
model = HyperFusionClassifier(base_channels=2, max_epochs=2, random_state=0).fit(X, y)
numbers = make_column_transformer((SimpleImputer(), ["age", "pressure"]))
members = [("numbers", make_pipeline(numbers, LogisticRegression()))]
prepare = make_column_transformer((SimpleImputer(), ["age", "pressure"]), remainder="passthrough")
pipeline = Pipeline([("prepare", FunctionTransformer()), ("model", model)])
"""
INTRODUCTION = f"""\
# What works with what

Every row is a test of the suite, run on a table with paths of images, gaps and categories of text; this page
is written by `python docs/make_matrix.py` from those tests, and a test fails when it is out of date.

- **works**: put the estimator in, as any other.
- **works with**: with the line shown.
- **refused**: an error is raised that contains the words shown. Where it is scikit-learn's own error, raised
  before our code is reached, the row says so.

Every line shown runs after these; a test runs them all. (What needs another package, as skrub, also needs its
`import`; what says "routing on" needs `sklearn.set_config(enable_metadata_routing=True)`.)

```python
{SETUP}```
"""


@dataclass(frozen=True)
class Entry:
    """One row of the page.

    Attributes
    ----------
    tool : str
        Name of the class or function, or of the kind of input.
    case : str
        Which use of it, where there are several.
    refusal : str
        Words of the error; empty where the tool works.
    reason : str
        Why it is refused, or what to know where it works.
    """

    tool: str
    case: str = ""
    refusal: str = ""
    reason: str = ""


def works(tool, case="", *, note=""):
    """Mark a test that shows a tool at work."""
    return _mark(Entry(tool, case, reason=note))


def refused(tool, case="", *, words, reason):
    """Mark a test that shows a tool refused; the test matches its error against the fixture ``words``."""
    return _mark(Entry(tool, case, words, reason))


def _mark(entry):
    def decorate(function):
        function.compatibility = entry
        return function

    return decorate


def marked_tests(module_name):
    """Tests of a module that carry an entry, in the order of the file: [(function, entry), ...]."""
    functions = vars(importlib.import_module(module_name)).values()
    return [(f, f.compatibility) for f in functions if hasattr(f, "compatibility")]


def shown_line(function):
    """Return the statement of a test that ends with ``# shown``, or an empty string."""
    source = textwrap.dedent(inspect.getsource(function))
    lines = source.splitlines()
    for node in ast.walk(ast.parse(source)):
        is_statement = isinstance(node, ast.stmt) and not isinstance(node, ast.FunctionDef | ast.With)
        if is_statement and lines[node.end_lineno - 1].endswith("# shown"):
            return ast.unparse(node)
    return ""


def render():
    """Return the text of docs/compatibility.md."""
    parts = [INTRODUCTION]
    for module_name, title in MODULES.items():
        parts.append(f"## {title}\n")
        introduction = inspect.getdoc(importlib.import_module(module_name)).partition("\n\n")[2]
        if introduction:
            parts.append(introduction + "\n")
        parts.append("| tool | | outcome | test |\n| --- | --- | --- | --- |")
        rows = sorted(marked_tests(module_name), key=lambda pair: _first_of_tool(pair, module_name))
        parts.extend(_row(function, entry) for function, entry in rows)
        parts.append("")
    return "\n".join(parts)


def _first_of_tool(pair, module_name):
    """Sort the rows of one tool together, where the first of them stands."""
    tools = [entry.tool for _, entry in marked_tests(module_name)]
    return tools.index(pair[1].tool)


def _row(function, entry):
    line = shown_line(function)
    code = " ".join(f"`{text.strip()}`" for text in line.splitlines())
    if entry.refusal:
        outcome = f"**refused**: “{entry.refusal}”. {entry.reason}"
    else:
        outcome = f"**works with** {code}" if line else "**works**"
        outcome += f". {entry.reason}" if entry.reason else ""
    cells = [f"`{entry.tool}`", entry.case, outcome, f"`{function.__name__}`"]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def tiny(estimator, params=()):
    """Make an estimator that fits in a tenth of a second."""
    return estimator(
        **{
            "base_channels": 1,
            "max_epochs": 1,
            "batch_size": 12,
            "random_state": 0,
            "tabular_preprocessor": TabularPreprocessor(image_columns=None, imputer="median"),
            **dict(params),
        }
    )


def reads_the_images(model, X):
    """Whether predictions change when the images do."""
    shuffled = X.assign(photo=X["photo"].to_numpy()[::-1])
    method = "predict_proba" if hasattr(model, "predict_proba") else "predict"
    return not np.array_equal(getattr(model, method)(X), getattr(model, method)(shuffled))
