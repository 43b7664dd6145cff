"""`sample_weight` and `groups` on their way to `fit`.

`fit` takes both. With routing on (`sklearn.set_config(enable_metadata_routing=True)`) a meta-estimator hands
on what the estimator requests by `set_fit_request` (and, for weights, `set_score_request`); without routing
nothing is asked and nothing breaks.
"""

import numpy as np
import pytest
from compatibility import refused, works
from sklearn import config_context
from sklearn.ensemble import VotingClassifier
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.metrics import accuracy_score, make_scorer
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score, cross_validate
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skhyperfusion import HyperFusionClassifier


class Witness(HyperFusionClassifier):
    """Notes what reached `fit`."""

    def fit(self, X, y, sample_weight=None, groups=None):
        super().fit(X, y, sample_weight=sample_weight, groups=groups)
        self.seen_ = {"sample_weight": sample_weight, "groups": groups}
        return self


@pytest.fixture
def routing():
    with config_context(enable_metadata_routing=True):
        yield


@pytest.fixture
def witness():
    return Witness(
        base_channels=1, max_epochs=1, random_state=0, early_stopping=True, validation_fraction=0.3
    )


@pytest.fixture
def metadata():
    return {"sample_weight": np.linspace(0.5, 2, 24), "groups": np.arange(24) // 2}


@works("GridSearchCV", "`sample_weight` and `groups`, routing on")
@pytest.mark.usefixtures("routing")
def test_search_with_routing_hands_weights_and_groups_to_fit_and_splitter(pictures, witness, metadata):
    X, y, _ = pictures
    model = witness
    model.set_fit_request(sample_weight=True, groups=True)  # shown
    scorer = make_scorer(accuracy_score).set_score_request(sample_weight=True)
    search = GridSearchCV(model, {"lr": [1e-3]}, cv=GroupKFold(2), scoring=scorer)
    search.fit(X, y, **metadata)
    np.testing.assert_array_equal(search.best_estimator_.seen_["sample_weight"], metadata["sample_weight"])
    np.testing.assert_array_equal(search.best_estimator_.seen_["groups"], metadata["groups"])


@works("Pipeline", "`sample_weight` and `groups`, routing on, inside a search")
@pytest.mark.usefixtures("routing")
def test_pipeline_with_routing_hands_weights_and_groups_to_its_last_step(pictures, witness, metadata):
    X, y, _ = pictures
    model = make_pipeline(FunctionTransformer(), witness.set_fit_request(sample_weight=True, groups=True))
    # Without it Pipeline.score is asked, which before scikit-learn 1.8 cannot be told what it takes.
    scorer = make_scorer(accuracy_score).set_score_request(sample_weight=True)
    search = GridSearchCV(model, {"witness__lr": [1e-3]}, cv=GroupKFold(2), scoring=scorer)
    search.fit(X, y, **metadata)
    assert set(search.best_estimator_[-1].seen_) == {"sample_weight", "groups"}
    assert all(seen is not None for seen in search.best_estimator_[-1].seen_.values())


@works("cross_validate", "`params=`, routing on")
@pytest.mark.usefixtures("routing")
def test_cross_validate_with_routing_cuts_metadata_to_the_fold(pictures, witness, metadata):
    X, y, _ = pictures
    model = witness.set_fit_request(sample_weight=True, groups=True).set_score_request(sample_weight=True)
    result = cross_validate(
        model, X, y, params=metadata, cv=GroupKFold(2), return_estimator=True, return_indices=True
    )
    for fold, rows in zip(result["estimator"], result["indices"]["train"], strict=True):
        np.testing.assert_array_equal(fold.seen_["groups"], metadata["groups"][rows])
        np.testing.assert_array_equal(fold.seen_["sample_weight"], metadata["sample_weight"][rows])


@works("VotingClassifier", "`sample_weight`, routing on")
@pytest.mark.usefixtures("routing")
def test_voting_with_routing_hands_weights_to_members_that_ask(pictures, witness, metadata):
    X, y, _ = pictures
    members = [
        ("asks", witness.set_fit_request(sample_weight=True, groups=False)),
        ("refuses", Witness(**witness.get_params()).set_fit_request(sample_weight=False, groups=False)),
    ]
    vote = VotingClassifier(members).fit(X, y, sample_weight=metadata["sample_weight"])
    assert vote.named_estimators_["asks"].seen_["sample_weight"] is not None
    assert vote.named_estimators_["refuses"].seen_["sample_weight"] is None


@refused(
    "GridSearchCV",
    "`sample_weight`, routing on, with no request set",
    words="are passed but are not explicitly set as requested or not requested",
    reason="scikit-learn's own error: say `model.set_fit_request(sample_weight=True)`, or `False`",
)
@pytest.mark.usefixtures("routing")
def test_search_with_routing_and_no_request_is_refused(pictures, witness, metadata, words):
    X, y, _ = pictures
    with pytest.raises(UnsetMetadataPassedError, match=words):
        GridSearchCV(witness, {"lr": [1e-3]}, cv=2).fit(X, y, sample_weight=metadata["sample_weight"])


@works("cross_val_score", "`groups`, routing off", note="They reach the splitter alone; see `group_column`")
def test_without_routing_groups_reach_the_splitter_alone(pictures, witness, metadata):
    X, y, _ = pictures
    result = cross_validate(witness, X, y, cv=GroupKFold(2), groups=metadata["groups"], return_estimator=True)
    assert all(fold.seen_ == {"sample_weight": None, "groups": None} for fold in result["estimator"])
    assert np.isfinite(cross_val_score(witness, X, y, cv=2)).all()


@works("GridSearchCV", "`sample_weight`, routing off: handed to `fit`, cut to the fold")
def test_search_without_routing_hands_fit_parameters_on(pictures, witness, metadata):
    X, y, _ = pictures
    search = GridSearchCV(witness, {"lr": [1e-3]}, cv=2).fit(X, y, sample_weight=metadata["sample_weight"])
    np.testing.assert_array_equal(search.best_estimator_.seen_["sample_weight"], metadata["sample_weight"])


@works("Pipeline", "`sample_weight`, routing off: named by the step")
def test_pipeline_without_routing_takes_the_step_name_before_the_weights(pictures, witness, metadata):
    X, y, _ = pictures
    weight = metadata["sample_weight"]
    pipeline = Pipeline([("prepare", FunctionTransformer()), ("model", witness)])
    pipeline.fit(X, y, model__sample_weight=weight)  # shown
    np.testing.assert_array_equal(pipeline[-1].seen_["sample_weight"], weight)
