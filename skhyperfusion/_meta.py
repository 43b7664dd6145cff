"""What an estimator of estimators hands down to its inner one, and takes over from it; splitters."""

import numbers

from sklearn.model_selection import GroupKFold, StratifiedGroupKFold, check_cv
from sklearn.utils import get_tags
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import has_fit_parameter


def passed(**metadata):
    """Return what was passed: the metadata that is not None."""
    return {name: value for name, value in metadata.items() if value is not None}


def unrouted_fit_params(estimator, metadata):
    """Return what the estimator's ``fit`` takes of `metadata`, where metadata routing is off.

    Raises TypeError if there are weights and it takes none; whatever else it does not take is left out.
    """
    if "sample_weight" in metadata and not has_fit_parameter(estimator, "sample_weight"):
        raise TypeError(
            f"sample_weight was passed, but fit of {type(estimator).__name__} does not take it. "
            "Leave it out, or (for a pipeline) use metadata routing."
        )
    return {name: value for name, value in metadata.items() if has_fit_parameter(estimator, name)}


def take_over_tags(tags, estimator):
    """Let `tags` say of inputs and chance what the inner estimator's own tags say."""
    own = get_tags(estimator)
    tags.input_tags = own.input_tags
    tags.non_deterministic = own.non_deterministic
    return tags


def make_splitter(cv, y, *, classifier, groups=None):
    """Return the splitter that `check_cv` of scikit-learn makes, or one that keeps groups whole.

    Examples
    --------
    >>> make_splitter(3, [0, 1, 0, 1], classifier=True)
    StratifiedKFold(n_splits=3, random_state=None, shuffle=False)
    >>> make_splitter(3, [0, 1, 0, 1], classifier=True, groups=["a", "a", "b", "c"])
    StratifiedGroupKFold(n_splits=3, random_state=None, shuffle=False)
    """
    if groups is None or not (cv is None or isinstance(cv, numbers.Integral)):
        return check_cv(cv, y, classifier=classifier)
    stratified = classifier and type_of_target(y) in ("binary", "multiclass")
    return (StratifiedGroupKFold if stratified else GroupKFold)(5 if cv is None else cv)
