"""What the ensembles of folds share: one model per fold, fitted in parallel; who gets which parameter."""

import numbers
from abc import abstractmethod
from typing import ClassVar

import numpy as np
import sklearn
from joblib import Parallel, delayed
from sklearn.base import (
    BaseEstimator,
    MetaEstimatorMixin,
    clone,
    is_classifier,
)
from sklearn.metrics import check_scoring
from sklearn.utils import Bunch, _safe_indexing, indexable
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing
from sklearn.utils.validation import _check_method_params, _check_sample_weight
from tqdm import tqdm

from skhyperfusion._meta import make_splitter, passed, take_over_tags, unrouted_fit_params
from skhyperfusion._rules import Boolean, HasMethods, Nothing, Number, check_parameters


class BaseFoldEnsemble(MetaEstimatorMixin, BaseEstimator):
    """Everything but how targets are checked and predictions combined."""

    _own_rules: ClassVar = {}

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
            sample_weight = _check_sample_weight(sample_weight, np.empty((len(y), 1)))
        params = self._route(sample_weight, groups, params)
        splitter = make_splitter(self.cv, y, classifier=is_classifier(self), groups=groups)
        splits = list(splitter.split(X, y, **params.splitter.split))
        if self.n_best is not None and self.n_best > len(splits):
            raise ValueError(
                f"n_best={self.n_best} is more than the number of folds, {len(splits)}: "
                "one model per fold is fitted."
            )
        scorer = check_scoring(self.estimator, scoring=self.scoring) if self._scores_folds() else None
        jobs = (
            delayed(_fit_and_score)(
                clone(self.estimator),
                X,
                y,
                train,
                test,
                fold,
                _check_method_params(X, params.estimator.fit, train),
                scorer,
                _check_method_params(X, params.scorer.score, test),
            )
            for fold, (train, test) in enumerate(splits)
        )
        done = Parallel(n_jobs=self.n_jobs, return_as="generator")(jobs)
        name = type(self).__name__
        fitted = list(tqdm(done, total=len(splits), desc=name, unit="fit", disable=not self.verbose))
        self._store([estimator for estimator, _ in fitted], np.array([score for _, score in fitted]))
        return self

    def _check_parameters(self):
        rules = {
            "estimator": [HasMethods("fit", "predict", "get_params", noun="an estimator")],
            "n_best": [Nothing(), Number(int, 1)],
            "verbose": [Number(int, 0), Boolean()],
        }
        check_parameters(self, rules | self._own_rules)

    @abstractmethod
    def _check_target(self, X, y):
        """Return y, checked; set what is to be known of it."""

    def _scores_folds(self):
        return self.n_best is not None or self.scoring is not None

    def _route(self, sample_weight, groups, params):
        """Who gets what: a Bunch with ``estimator.fit``, ``splitter.split`` and ``scorer.score``."""
        given = passed(sample_weight=sample_weight, groups=groups)
        if sklearn.get_config()["enable_metadata_routing"]:
            routed = process_routing(self, "fit", **params, **given)
            return Bunch(
                estimator=routed.estimator,
                splitter=routed.splitter,
                scorer=routed.get("scorer", Bunch(score={})),
            )
        if params:
            raise TypeError(
                f"{type(self).__name__}.fit got {sorted(params)}; besides sample_weight and groups it takes "
                "parameters only with metadata routing: sklearn.set_config(enable_metadata_routing=True)."
            )
        to_fit = unrouted_fit_params(self.estimator, given)
        to_split = passed(groups=groups)
        return Bunch(estimator=Bunch(fit=to_fit), splitter=Bunch(split=to_split), scorer=Bunch(score={}))

    def get_metadata_routing(self):
        """Tell who gets which parameter of `fit`.

        Returns
        -------
        MetadataRouter
            From ``fit`` to the estimator's ``fit``, the splitter's ``split`` and the scorer's ``score``.
        """
        fits = MethodMapping().add(caller="fit", callee="fit")
        splits = MethodMapping().add(caller="fit", callee="split")
        # With groups, a number of folds becomes a splitter of groups; without, that asks for nothing.
        number = self.cv is None or isinstance(self.cv, numbers.Integral)
        splitter = make_splitter(self.cv, None, classifier=False, groups=() if number else None)
        router = MetadataRouter(owner=type(self).__name__)
        router.add(estimator=self.estimator, method_mapping=fits).add(
            splitter=splitter, method_mapping=splits
        )
        if self._scores_folds():
            scores = MethodMapping().add(caller="fit", callee="score")
            router.add(scorer=check_scoring(self.estimator, scoring=self.scoring), method_mapping=scores)
        return router

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

    @property
    def n_features_in_(self):
        """Number of columns seen in `fit`, if the estimator knows it."""
        if not hasattr(self, "estimators_"):
            raise AttributeError(f"{type(self).__name__} has no n_features_in_ before fit.")
        return self.estimators_[0].n_features_in_

    def __sklearn_is_fitted__(self):
        return hasattr(self, "estimators_")

    def __sklearn_tags__(self):
        return take_over_tags(super().__sklearn_tags__(), self.estimator)


def _fit_and_score(estimator, X, y, train, test, fold, fit_params, scorer, score_params):
    """Return (fitted estimator, score in the fold left out; NaN without a scorer)."""
    try:
        estimator.fit(_safe_indexing(X, train), _safe_indexing(y, train), **fit_params)
    except Exception as error:
        error.add_note(f"This happened in fold {fold} of the ensemble.")
        raise
    if scorer is None:
        return estimator, np.nan
    return estimator, scorer(estimator, _safe_indexing(X, test), _safe_indexing(y, test), **score_params)
