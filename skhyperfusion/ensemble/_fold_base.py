"""What the ensembles of folds share: one model per fold, fitted in parallel; who gets which parameter."""

from abc import abstractmethod
from typing import Any, ClassVar

import numpy as np
import sklearn
from sklearn.base import BaseEstimator, MetaEstimatorMixin, is_classifier
from sklearn.metrics import check_scoring
from sklearn.utils import indexable

from skhyperfusion._meta import (
    fit_rows,
    make_folds,
    make_router,
    route_fit,
    run_fits,
    score_rows,
    take_over_tags,
)
from skhyperfusion._rules import (
    Boolean,
    Callable,
    HasMethods,
    InstanceOf,
    Nothing,
    Number,
    Rule,
    check_parameters,
)
from skhyperfusion._sklearn_private import check_weights


class BaseFoldEnsemble(MetaEstimatorMixin, BaseEstimator):
    """Everything but how targets are checked and predictions combined."""

    _own_rules: ClassVar[dict[str, list[Rule]]] = {}

    @abstractmethod
    def __init__(self, estimator, *, cv, n_best, scoring, n_jobs, verbose):
        self.estimator = estimator
        self.cv = cv
        self.n_best = n_best
        self.scoring = scoring
        self.n_jobs = n_jobs
        self.verbose = verbose

    def _fit(self, X, y, sample_weight, groups, params):
        self._check_parameters()
        X, y, groups = indexable(X, self._check_target(X, y), groups)
        if sample_weight is not None:
            sample_weight = check_weights(sample_weight, np.empty((len(y), 1)))
        routed = self._route(sample_weight, groups, params)
        splits = make_folds(self.cv, X, y, classifier=is_classifier(self), **routed.split)
        if self.n_best is not None and self.n_best > len(splits):
            raise ValueError(
                f"n_best={self.n_best} is more than the number of folds, {len(splits)}: "
                "one model per fold is fitted."
            )
        tasks = {
            f"fold {fold} of the ensemble": (
                self.estimator, X, y, split, self._scorer(), self.scoring, routed
            )
            for fold, split in enumerate(splits)
        }  # fmt: skip
        name = type(self).__name__
        found = dict(run_fits(_fit_and_score, tasks, name=name, n_jobs=self.n_jobs, verbose=self.verbose))
        fitted, scores = zip(*(found[which] for which in tasks), strict=True)
        self._store(list(fitted), np.array(scores))
        return self

    def _check_parameters(self):
        rules = {
            "estimator": [HasMethods("fit", "predict", "get_params", noun="an estimator")],
            "n_best": [Nothing(), Number(int, 1)],
            "scoring": [Nothing(), InstanceOf(str), Callable()],
            "verbose": [Number(int, 0), Boolean()],
        }
        check_parameters(self, rules | self._own_rules)

    @abstractmethod
    def _check_target(self, X, y):
        """Return y, checked; set what is to be known of it."""

    def _scores_folds(self):
        return self.n_best is not None or self.scoring is not None

    def _scorer(self):
        return check_scoring(self.estimator, scoring=self.scoring) if self._scores_folds() else None

    def _route(self, sample_weight, groups, params):
        """Say who gets what: a Bunch with ``fit``, ``split`` and ``score``."""
        if params and not sklearn.get_config()["enable_metadata_routing"]:
            raise TypeError(
                f"{type(self).__name__}.fit got {sorted(params)}; besides sample_weight and groups it takes "
                "parameters only with metadata routing: sklearn.set_config(enable_metadata_routing=True)."
            )
        router = self.get_metadata_routing()
        return route_fit(router, self.estimator, params=params, sample_weight=sample_weight, groups=groups)

    def get_metadata_routing(self) -> Any:
        """Tell who gets which parameter of `fit`.

        Returns
        -------
        MetadataRouter
            From ``fit`` to the estimator's ``fit``, the splitter's ``split`` and the scorer's ``score``.
        """
        return make_router(type(self).__name__, self.estimator, self.cv, self._scorer())

    def _store(self, estimators, scores):
        if self._scores_folds():
            self.fold_scores_ = scores
        elif hasattr(self, "fold_scores_"):
            del self.fold_scores_  # of a former fit
        if self.n_best is not None:
            best = np.sort(np.argsort(-scores, kind="stable")[: self.n_best])  # NaN is sorted last
            estimators = [estimators[fold] for fold in best]
        self.estimators_ = estimators
        if hasattr(estimators[0], "feature_names_in_"):
            self.feature_names_in_ = estimators[0].feature_names_in_
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_

    def _spread(self, predicted):
        """Return the standard deviation over the models, of which there must be two."""
        if len(predicted) < 2:
            raise ValueError(
                f"return_std needs two models at least, but {type(self).__name__} kept one. Pass a larger "
                "n_best or more folds, or leave return_std out."
            )
        return np.std(predicted, axis=0, ddof=1)

    @property
    def n_features_in_(self) -> int:
        """Number of columns seen in `fit`, if the estimator knows it."""
        if not hasattr(self, "estimators_"):
            raise AttributeError(f"{type(self).__name__} has no n_features_in_ before fit.")
        return self.estimators_[0].n_features_in_

    def __sklearn_is_fitted__(self):
        return hasattr(self, "estimators_")

    def __sklearn_tags__(self):
        return take_over_tags(super().__sklearn_tags__(), self.estimator)


def _fit_and_score(estimator, X, y, split, scorer, scoring, routed):
    """Return (fitted estimator, score in the fold left out; NaN without a scorer)."""
    train, test = split
    fitted = fit_rows(estimator, X, y, train, routed.fit)
    if scorer is None:
        return fitted, np.nan
    (score,) = score_rows(fitted, X, y, test, train, scorer, scoring, routed.score).values()
    return fitted, score
