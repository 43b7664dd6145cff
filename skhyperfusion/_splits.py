"""Which splitter an argument `cv` stands for."""

import numbers

from sklearn.model_selection import GroupKFold, StratifiedGroupKFold, check_cv
from sklearn.utils.multiclass import type_of_target


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
