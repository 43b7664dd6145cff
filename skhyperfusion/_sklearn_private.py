"""What this package uses of scikit-learn under names that scikit-learn calls private.

No other file may: such a name can move or vanish with any release. Where one fails with a new scikit-learn,
look for its public successor in the release notes, or write here what it did, so that nothing else changes.
What each is for, and what stood against doing without:

`check_weights`, `check_method_params`, `check_feature_names_in`
    Checks in scikit-learn's own words, which its estimator checks ask for.
`count_rows`
    The number of rows of whatever scikit-learn takes for a table.
`take_rows`
    Rows of whatever scikit-learn takes for a table; of a kernel matrix rows and columns.
`score_function`, `is_loss`
    What a scorer scores, and whether small is good: scorers tell it in no other way.
`constraints_without`
    A subclass that takes further values of a parameter must free it from its parent's check.
`parameter_names`, `asked_output`
    Of a class, and of a transformer; the public ways need an object, or convert the table themselves.
`keeps_its_state`, `kept_beside_parameters`
    What a clone takes over that is no parameter, and decides what it answers.
`CalibratedClassifier`, `PLAIN_TYPES`
    Parts of fitted estimators that a saved model holds; a file names them by their place.
"""

from sklearn import get_config
from sklearn.base import BaseEstimator
from sklearn.calibration import _CalibratedClassifier as CalibratedClassifier
from sklearn.utils.metaestimators import _safe_split as take_rows
from sklearn.utils.validation import _check_feature_names_in as check_feature_names_in
from sklearn.utils.validation import _check_method_params as check_method_params
from sklearn.utils.validation import _check_sample_weight as check_weights
from sklearn.utils.validation import _num_samples as count_rows

__all__ = [
    "PLAIN_TYPES",
    "CalibratedClassifier",
    "asked_output",
    "check_feature_names_in",
    "check_method_params",
    "check_weights",
    "constraints_without",
    "count_rows",
    "is_loss",
    "keeps_its_state",
    "kept_beside_parameters",
    "parameter_names",
    "score_function",
    "take_rows",
]

#: Types that skops asks about, and that were looked at: plain data, no code.
PLAIN_TYPES = (
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.impute._iterative.IterativeImputer",
    "sklearn.impute._iterative._ImputerTriplet",
)


def score_function(scorer):
    """Return the metric of what `make_scorer` returns; of another callable itself."""
    return getattr(scorer, "_score_func", scorer)


def is_loss(scorer):
    """Tell whether what `make_scorer` returns gives a loss, with its sign turned round."""
    return getattr(scorer, "_sign", 1) < 0


def parameter_names(cls):
    """Return the names of the parameters of an estimator's class."""
    return cls._get_param_names()


def constraints_without(cls, parameter):
    """Return what a class checks of its parameters, but for one of them."""
    return {name: rule for name, rule in cls._parameter_constraints.items() if name != parameter}


def asked_output(transformer):
    """Return the kind of table that `set_output`, or scikit-learn's setting, asks a transformer for."""
    config = getattr(transformer, "_sklearn_output_config", {})
    return config.get("transform", get_config()["transform_output"])


def keeps_its_state(estimator):
    """Tell whether a clone stays fitted, as that of a `FrozenEstimator`."""
    return type(estimator).__sklearn_clone__ is not BaseEstimator.__sklearn_clone__


def kept_beside_parameters(estimator):
    """Return what `clone` takes over besides the parameters, as text, where it was set.

    Examples
    --------
    >>> from sklearn.preprocessing import StandardScaler
    >>> kept_beside_parameters(StandardScaler())
    {}
    >>> kept_beside_parameters(StandardScaler().set_output(transform="pandas"))
    {'_sklearn_output_config': "{'transform': 'pandas'}"}
    """
    names = ("_metadata_request", "_sklearn_output_config")
    return {name: repr(vars(estimator)[name]) for name in names if name in vars(estimator)}
