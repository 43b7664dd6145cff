"""Every bad input ends in our words, at `fit`, at `predict` and through a pipeline in a cross-validation.

The inputs stand in the modules beside this one, one row each.
"""

import dis
import os
import shutil
import warnings

import pytest
import sklearn
from bad_case import make_study
from bad_cells import CELLS
from bad_files import FILES
from bad_parameters import PARAMETERS
from bad_saved import SAVED
from bad_tables import TABLES
from bad_targets import TARGETS
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import Pipeline

import skhyperfusion
from skhyperfusion import TabularPreprocessor
from skhyperfusion.persistence import DamagedFileError, load_model

CASES = [*TABLES, *CELLS, *FILES, *TARGETS, *PARAMETERS]
RUNS = [(case, way) for case in CASES for way in case.ways]
OURS = tuple(os.path.dirname(package.__file__) for package in (skhyperfusion, sklearn))


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    return make_study(tmp_path_factory.mktemp("good"))


@pytest.fixture(scope="module")
def model(good):
    return good.estimator(**good.params).fit(good.X, good.y)


def attempt(way, study, model):
    """Do with a study what a user would."""
    if way == "predict":
        return model.predict(study.X)
    estimator = study.estimator(**study.params)
    if way == "fit":
        return estimator.fit(study.X, study.y, **study.fit_params)
    pipeline = Pipeline([("table", TabularPreprocessor(imputer="median")), ("net", estimator)])
    given = {f"net__{name}": value for name, value in study.fit_params.items()}
    return cross_val_score(pipeline, study.X, study.y, cv=2, params=given, error_score="raise")


def raised_by(error):
    """Return the file that raised an exception by a `raise`, or None where compiled code did."""
    last = error.__traceback__
    while last.tb_next is not None:
        last = last.tb_next
    code = last.tb_frame.f_code
    return code.co_filename if dis.opname[code.co_code[last.tb_lasti]] == "RAISE_VARARGS" else None


def chain(error):
    """Return the text of an exception and of those that it names as its causes."""
    texts = []
    while error is not None:
        texts.append(str(error))
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return "\n".join(texts)


def check_ours(error, words):
    """Check that a `raise` of ours, or of scikit-learn's checks, made an error that holds the words."""
    source = raised_by(error)
    assert source is not None, f"compiled code raised {error!r}"
    assert source.startswith(OURS), f"{source} raised {error!r}"
    lacking = [word for word in words if word not in str(error)]
    assert not lacking, f"{lacking} not in {error}"


@pytest.mark.parametrize(("case", "way"), RUNS, ids=[f"{case.name} [{way}]" for case, way in RUNS])
def test_bad_input_is_told_in_our_words(case, way, good, model):
    study = good.copy()
    case.spoil(study)
    kind, words = case.expected(way)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what is odd may be told first
        with pytest.raises(kind) as caught:
            attempt(way, study, model)
    check_ours(caught.value, words)
    # Whose row is not at fault, is not told.
    others = good.X.drop(index="p10")[["age", "tau"]].stack().dropna()
    assert [number for number in others if str(number) in chain(caught.value)] == []


@pytest.fixture(scope="module")
def saved(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "model.skhf"
    model.save(path)
    return path


@pytest.mark.parametrize("case", SAVED, ids=[case.name for case in SAVED])
def test_bad_file_of_a_model_is_told_in_our_words(case, saved, tmp_path):
    path = tmp_path / "model.skhf"
    shutil.copy(saved, path)
    case.spoil(path)
    with pytest.raises(case.error) as caught:
        load_model(path)
    check_ours(caught.value, case.words)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"max_bytes": 1000}, DamagedFileError, ["unpacks to", "more than max_bytes=1000"]),
        ({"backbone": len}, TypeError, ["1 parameter: 'backbone'", "set_params"]),
    ],
    ids=["max_bytes", "backbone"],
)
def test_bad_argument_of_load_model_is_told_in_our_words(arguments, error, words, saved):
    with pytest.raises(error) as caught:
        load_model(saved, **arguments)
    check_ours(caught.value, words)


def test_table_of_bad_inputs_is_long_and_repeats_nothing():
    names = [case.name for case in [*CASES, *SAVED]]
    assert len(set(names)) == len(names) >= 150
    assert all(case.words for case in [*CASES, *SAVED])
