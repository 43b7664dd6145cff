"""The estimators as a person uses them: fit, predict, and every parameter and attribute."""

import io
import pickle
from contextlib import redirect_stderr, redirect_stdout

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.metrics import make_scorer, recall_score
from sklearn.preprocessing import FunctionTransformer
from skorch.callbacks import Callback, EarlyStopping

from skhyperfusion import HyperFusionClassifier, HyperFusionRegressor, ImageLoader, TabularPreprocessor


def small(estimator=HyperFusionClassifier, **params):
    """An estimator that fits in a fraction of a second."""
    return estimator(**{"base_channels": 2, "max_epochs": 3, "random_state": 0, **params})


LEARN = {"lr": 1e-2, "dropout": 0.0, "augmentation": None}  # what fits 40 rows in a second or two


def weights(estimator):
    return torch.cat([p.detach().flatten() for p in estimator.module_.parameters()])


# What a fitted estimator is


def test_classifier_on_scans_learns_string_labels(study):
    X, y, _ = study
    classifier = small(base_channels=4, max_epochs=30, **LEARN).fit(X, y)
    assert classifier.classes_.tolist() == ["AD", "CN"]
    assert classifier.score(X, y) > 0.8
    proba = classifier.predict_proba(X)
    assert proba.shape == (40, 2)
    np.testing.assert_allclose(proba.sum(axis=1), 1)
    np.testing.assert_allclose(np.exp(classifier.predict_log_proba(X)), proba)
    assert set(classifier.predict(X)) <= {"AD", "CN"}


def test_regressor_on_scans_learns_values_in_their_unit(study):
    X, _, y = study
    regressor = small(HyperFusionRegressor, base_channels=4, max_epochs=40, **LEARN).fit(X, y + 100)
    assert regressor.score(X, y + 100) > 0.6
    assert 90 < regressor.predict(X).mean() < 110


def test_attributes_after_fit_tell_what_was_learned(study):
    X, y, _ = study
    classifier = small().fit(X, y)
    assert classifier.n_features_in_ == 4
    assert classifier.feature_names_in_.tolist() == ["scan", "age", "sex", "apoe4"]
    assert classifier.image_columns_ == ["scan"]
    assert classifier.tabular_columns_ == ["age", "sex", "apoe4"]
    assert isinstance(classifier.tabular_preprocessor_, TabularPreprocessor)
    assert classifier.image_spec_.shape == (8, 8, 8)
    assert classifier.external_layers_
    assert all(name.startswith("backbone.block4.shortcut") for name in classifier.external_layers_)
    assert classifier.n_iter_ == classifier.best_epoch_ == len(classifier.history_) == 3
    assert {"epoch", "train_loss", "lr", "seconds"} <= set(classifier.history_)
    assert classifier.net_.module_ is classifier.module_


def test_embed_gives_the_input_of_the_last_layer(arrays):
    X, y, _ = arrays
    classifier = small().fit(X, y)
    features = classifier.embed(X)
    last = [m for m in classifier.module_.modules() if isinstance(m, torch.nn.Linear)][-1]
    logits = features @ last.weight.double().detach().numpy().T + last.bias.double().detach().numpy()
    log_proba = logits - np.logaddexp(logits[:, :1], logits[:, 1:])
    np.testing.assert_allclose(classifier.predict_log_proba(X), log_proba, atol=1e-8)


def test_multi_output_regression_predicts_each_output(arrays):
    X, _, y = arrays
    Y = np.column_stack([y, 100 - y])
    regressor = small(HyperFusionRegressor, base_channels=4, max_epochs=40, **LEARN).fit(X, Y)
    predicted = regressor.predict(X)
    assert predicted.shape == Y.shape
    assert np.corrcoef(predicted[:, 0], predicted[:, 1])[0, 1] < -0.8
    assert regressor.target_mean_.shape == (2,)


@pytest.mark.parametrize("labels", [[True, False], [3, 7], ["a", "b"], [0.0, 1.0]])
def test_labels_of_any_type_come_back(arrays, labels):
    X, y, _ = arrays
    y = np.asarray(labels)[(y == "high").astype(int)]
    predicted = small().fit(X, y).predict(X)
    assert predicted.dtype == y.dtype
    assert set(predicted) <= set(labels)


# No leak


@pytest.mark.parametrize("early_stopping", [True, False])
def test_rows_held_out_leave_no_trace(arrays, early_stopping):
    X, y, _ = arrays
    params = {"early_stopping": early_stopping, "max_epochs": 1, "validation_fraction": 0.25}
    first = small(**params).fit(X, y)
    if early_stopping:
        from skhyperfusion._engine._holdout import split_holdout

        _, codes = np.unique(y, return_inverse=True)
        random_state = np.random.RandomState(0)
        _, held_out = split_holdout(len(X), 0.25, labels=codes, random_state=random_state)
    else:
        held_out = np.array([], dtype=int)
    changed = X.copy()
    changed.loc[held_out, ["dose", "noise"]] = 1e6
    changed["picture"] = [
        -10 * image if i in held_out else image for i, image in enumerate(changed["picture"])
    ]
    second = small(**params).fit(changed, y)
    assert torch.equal(weights(first), weights(second))
    table = X[["dose", "noise"]]
    np.testing.assert_array_equal(
        first.tabular_preprocessor_.transform(table), second.tabular_preprocessor_.transform(table)
    )
    if early_stopping:  # the same change on rows that are trained on does leave one
        everywhere = X.assign(dose=1e6 + X["dose"] ** 2)
        assert not torch.equal(weights(first), weights(small(**params).fit(everywhere, y)))


def test_augmentation_sees_training_rows_alone(study):
    X, y, _ = study
    seen = []

    def note(batch):
        seen.append(len(batch))
        return batch

    classifier = small(augmentation=note, early_stopping=True, n_iter_no_change=9).fit(X, y)
    assert sum(seen) == 3 * 36  # epochs, and the rows that are not held out
    classifier.predict(X)
    classifier.embed(X)
    assert sum(seen) == 3 * 36


# Reproducible


@pytest.mark.parametrize("estimator", [HyperFusionClassifier, HyperFusionRegressor])
def test_same_random_state_gives_the_same_bits(arrays, estimator):
    X, labels, values = arrays
    y = labels if estimator is HyperFusionClassifier else values
    model = small(estimator, early_stopping=True, augmentation="light")
    first = model.fit(X, y).predict(X) if y is values else model.fit(X, y).predict_proba(X)
    method = "predict" if y is values else "predict_proba"
    for other in [clone(model).fit(X, y), model.fit(X, y), pickle.loads(pickle.dumps(model))]:
        np.testing.assert_array_equal(getattr(other, method)(X), first)
    assert not np.array_equal(getattr(clone(model).set_params(random_state=1).fit(X, y), method)(X), first)


def test_random_state_none_differs_from_fit_to_fit(arrays):
    X, y, _ = arrays
    np.random.seed(0)  # noqa: NPY002  the global state must have no influence
    torch.manual_seed(0)
    first = small(random_state=None).fit(X, y).predict_proba(X)
    np.random.seed(0)  # noqa: NPY002
    torch.manual_seed(0)
    assert not np.array_equal(small(random_state=None).fit(X, y).predict_proba(X), first)


def test_random_state_instance_moves_on(arrays):
    X, y, _ = arrays
    random_state = np.random.RandomState(3)
    first = small(random_state=random_state).fit(X, y).predict_proba(X)
    second = small(random_state=random_state).fit(X, y).predict_proba(X)
    again = small(random_state=np.random.RandomState(3)).fit(X, y).predict_proba(X)
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(first, again)


@pytest.mark.parametrize("random_state", [None, 0])
def test_global_random_states_are_neither_read_nor_changed(arrays, random_state):
    X, y, _ = arrays
    before_torch, before_numpy = torch.get_rng_state(), np.random.get_state()  # noqa: NPY002
    small(random_state=random_state, augmentation="light", early_stopping=True).fit(X, y).predict(X)
    assert torch.equal(torch.get_rng_state(), before_torch)
    after_numpy = np.random.get_state()  # noqa: NPY002
    assert np.array_equal(after_numpy[1], before_numpy[1])
    assert after_numpy[2:] == before_numpy[2:]


def test_fits_in_threads_equal_fits_in_turn(arrays):
    X, y, _ = arrays
    models = [small(random_state=i) for i in range(4)]
    in_turn = [clone(model).fit(X, y).predict_proba(X) for model in models]
    state = torch.get_rng_state()
    fits = joblib.Parallel(n_jobs=4, backend="threading")(joblib.delayed(m.fit)(X, y) for m in models)
    for model, expected in zip(fits, in_turn, strict=True):
        np.testing.assert_array_equal(model.predict_proba(X), expected)
    assert torch.equal(torch.get_rng_state(), state)


# A row's prediction is its own


@pytest.mark.parametrize("fusion", ["hyper", "concat", "film", "daft", "image", "tabular"])
def test_prediction_depends_on_the_row_alone(study, fusion):
    X, y, _ = study
    classifier = small(fusion=fusion).fit(X, y)
    proba = classifier.predict_proba(X)
    order = np.random.default_rng(0).permutation(len(X))
    np.testing.assert_allclose(classifier.predict_proba(X.iloc[order]), proba[order], rtol=1e-9)
    rows = np.concatenate([classifier.predict_proba(X.iloc[[i]]) for i in range(5)])
    np.testing.assert_allclose(rows, proba[:5], rtol=1e-9)
    np.testing.assert_allclose(classifier.set_params(batch_size=3).predict_proba(X), proba, rtol=1e-9)


def test_prediction_of_large_images_depends_on_the_row_alone(monkeypatch, arrays):
    X, y, _ = arrays
    classifier = small().fit(X, y)
    in_double = classifier.predict_proba(X)
    monkeypatch.setattr("skhyperfusion._engine._predict.MAX_FLOAT64_VALUES", 0)
    proba = classifier.predict_proba(X)
    np.testing.assert_array_equal(classifier.predict_proba(X.iloc[::-1])[::-1], proba)
    np.testing.assert_array_equal(classifier.set_params(batch_size=5).predict_proba(X), proba)
    np.testing.assert_allclose(proba, in_double, rtol=1e-4)


# Early stopping


def test_early_stopping_restores_the_best_epoch_from_memory(arrays):
    X, y, _ = arrays
    params = {"lr": 3e-2, "lr_schedule": None, "validation_fraction": 0.4}
    stopped = small(early_stopping=True, max_epochs=60, n_iter_no_change=5, **params).fit(X, y)
    history = stopped.history_
    assert stopped.best_epoch_ == history.loc[history["valid_loss"].idxmin(), "epoch"]
    assert stopped.n_iter_ == stopped.best_epoch_ + 5 < 60
    fresh = small(early_stopping=True, max_epochs=stopped.best_epoch_, n_iter_no_change=99, **params).fit(
        X, y
    )
    assert torch.equal(weights(stopped), weights(fresh))


def test_early_stopping_auto_needs_1000_rows():
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"a": rng.normal(size=1000), "b": rng.normal(size=1000)})
    y = (X["a"] > 0).astype(int)
    model = small(fusion="tabular", max_epochs=1, batch_size=100)
    assert "valid_loss" in model.fit(X, y).history_
    assert "valid_loss" not in model.fit(X[:999], y[:999]).history_


@pytest.mark.parametrize(
    "monitor", ["balanced_accuracy", "neg_log_loss", make_scorer(recall_score, pos_label="low")]
)
def test_monitor_scorer_tells_the_best_epoch(arrays, monitor):
    X, y, _ = arrays
    model = small(early_stopping=True, monitor=monitor, max_epochs=12, lr=1e-2, validation_fraction=0.3)
    history = model.fit(X, y).history_
    column = f"valid_{monitor}" if isinstance(monitor, str) else "valid_score"
    assert model.best_epoch_ == history.loc[history[column].idxmax(), "epoch"]
    assert history[column].between(-10, 1).all()


def test_monitor_scores_a_regressor_in_the_unit_of_the_target(arrays):
    X, _, y = arrays
    model = small(HyperFusionRegressor, early_stopping=True, monitor="neg_mean_absolute_error")
    history = model.fit(X, 1000 * y).history_
    assert (history["valid_neg_mean_absolute_error"] < -100).all()


def test_groups_and_group_column_hold_out_the_same_subjects(arrays):
    X, y, _ = arrays
    subject = np.arange(len(X)) // 2
    params = {"early_stopping": True, "validation_fraction": 0.3}
    by_argument = small(**params).fit(X, y, groups=subject)
    by_column = small(**params, group_column="subject").fit(X.assign(subject=subject), y)
    by_row = small(**params).fit(X, y)
    assert by_column.tabular_columns_ == ["dose", "noise"]
    assert by_argument.history_["valid_loss"].tolist() == by_column.history_["valid_loss"].tolist()
    assert by_argument.history_["valid_loss"].tolist() != by_row.history_["valid_loss"].tolist()


def test_groups_and_group_column_together_must_agree(arrays):
    X, y, _ = arrays
    subject = np.arange(len(X)) // 2
    params = {"early_stopping": True, "validation_fraction": 0.3, "group_column": "subject"}
    alone = small(**params).fit(X.assign(subject=subject), y)
    both = small(**params).fit(X.assign(subject=subject), y, groups=[f"s{n}" for n in subject])
    assert both.history_["valid_loss"].tolist() == alone.history_["valid_loss"].tolist()
    with pytest.raises(ValueError, match=r"group_column='subject' and groups= that put the rows into other"):
        small(**params).fit(X.assign(subject=subject), y, groups=np.arange(len(X)))


# Weights of rows and classes


def test_weight_zero_equals_absence(arrays):
    X, y, _ = arrays
    weight = np.ones(len(X))
    weight[:6] = 0
    weighted = small().fit(X, y, sample_weight=weight)
    absent = small().fit(X[6:], y[6:])
    assert torch.equal(weights(weighted), weights(absent))


def test_sample_weight_moves_the_prediction(arrays):
    X, y, _ = arrays
    low = small(max_epochs=10).fit(X, y, sample_weight=np.where(y == "low", 10.0, 1.0))
    high = small(max_epochs=10).fit(X, y, sample_weight=np.where(y == "low", 1.0, 10.0))
    assert low.predict_proba(X)[:, 1].mean() > high.predict_proba(X)[:, 1].mean() + 0.2


def test_class_weight_equals_the_sample_weight_it_stands_for(arrays):
    X, y, _ = arrays
    X, y = X[:30], np.sort(y)[::-1][:30]
    balanced = small(class_weight="balanced").fit(X, y)
    n_low, n_high = (y == "low").sum(), (y == "high").sum()
    by_dict = small(class_weight={"low": 15 / n_low, "high": 15 / n_high}).fit(X, y)
    by_weight = small().fit(X, y, sample_weight=np.where(y == "low", 15 / n_low, 15 / n_high))
    assert torch.allclose(weights(balanced), weights(by_dict))
    assert torch.allclose(weights(balanced), weights(by_weight))
    assert not torch.allclose(weights(balanced), weights(small().fit(X, y)))


# Every other parameter does something


@pytest.mark.parametrize(
    "params",
    [
        {"fusion": "concat"},
        {"fusion": "film"},
        {"fusion": "daft"},
        {"fusion": "image"},
        {"fusion": "tabular"},
        {"backbone": "vgg"},
        {"base_channels": 3},
        {"dropout": 0.0},
        {"external_layers": "head.*"},
        {"hyper_depth": 0},
        {"hyper_depth": 2, "hyper_width": 5},
        {"embedding_dim": 3},
        {"hyper_init": "residual"},
        {"hyper_lr_scale": 1.0},
        {"pretrain_embedding": 2},
        {"max_epochs": 2},
        {"lr": 1e-2},
        {"batch_size": 5},
        {"optimizer": "sgd"},
        {"optimizer": torch.optim.RMSprop},
        {"weight_decay": 10.0},
        {"lr_schedule": None},
        {"augmentation": None},
        {"augmentation": "light"},
        {"augmentation": lambda batch: batch + 1},
        {"tabular_preprocessor": "passthrough"},
        {"image_loader": ImageLoader(intensity="minmax")},
        {"precision": "float64"},
        {"precision": "bfloat16"},
        {"random_state": 1},
        {"net_params": {"iterator_train__shuffle": False}},
        {"early_stopping": True},
        {"image_columns": "picture", "tabular_preprocessor": FunctionTransformer(lambda x: x**2)},
    ],
    ids=lambda params: "-".join(params),
)
def test_parameter_changes_the_fitted_network(arrays, params):
    X, y, _ = arrays
    plain = {"hyper_depth": 1}  # with an embedding network, which some of them shape
    changed, default = small(**{**plain, **params}).fit(X, y), small(**plain).fit(X, y)
    assert not np.array_equal(changed.predict_proba(X), default.predict_proba(X))


@pytest.mark.parametrize(
    ("params", "factor"),
    [({}, 1 / 2), ({"hyper_lr_scale": 0.3}, 0.3), ({"hyper_depth": 1, "embedding_dim": 5}, 1 / 5)],
    ids=["auto", "number", "embedding"],
)
def test_hyper_lr_scale_sets_the_learning_rate_of_the_generating_matrices(arrays, params, factor):
    X, y, _ = arrays
    groups = {}

    def watch(optimizer):
        groups.update({len(g["params"]): g["lr"] for g in optimizer.param_groups})
        return torch.optim.lr_scheduler.ConstantLR(optimizer, 1.0)

    model = small(lr=0.01, lr_schedule=watch, **params).fit(X, y)
    n_others = len(list(model.module_.parameters())) - 1
    assert groups == {1: pytest.approx(0.01 * factor), n_others: 0.01}
    assert model.history_["lr"].tolist() == [0.01] * 3  # that of the others


def test_table_goes_straight_to_the_generators_by_default(arrays):
    X, y, _ = arrays
    (embedding,) = small().fit(X, y).module_.fusion.hypernetwork.embeddings
    assert embedding.depth == 0


@pytest.mark.parametrize(("shared", "n_networks"), [(True, 1), (False, 2)])
def test_shared_embedding_decides_how_many_networks_embed_the_table(arrays, shared, n_networks):
    X, y, _ = arrays
    model = small(hyper_depth=1, external_layers="head.*", shared_embedding=shared).fit(X, y)
    assert len(model.module_.fusion.hypernetwork.embeddings) == n_networks


def test_hyper_width_sets_the_hidden_layers_of_the_embedding(arrays):
    X, y, _ = arrays
    sizes = [weights(small(hyper_depth=2, hyper_width=w).fit(X, y)).numel() for w in (4, 8)]
    assert sizes[0] < sizes[1]


def test_validation_fraction_sets_the_share_held_out(arrays):
    X, y, _ = arrays
    runs = [small(early_stopping=True, validation_fraction=f).fit(X, y) for f in (0.2, 0.5)]
    assert runs[0].history_["valid_loss"].tolist() != runs[1].history_["valid_loss"].tolist()


def test_scale_target_off_keeps_the_target_as_it_is(arrays):
    X, _, y = arrays
    model = small(HyperFusionRegressor, scale_target=False).fit(X, y + 50)
    assert (model.target_mean_, model.target_scale_) == (0, 1)
    assert small(HyperFusionRegressor).fit(X, y + 50).target_mean_ == pytest.approx(np.mean(y) + 50)


def test_backbone_of_the_user_is_trained_and_conditioned(arrays):
    X, y, _ = arrays

    def backbone(in_channels, spatial_dims):
        assert (in_channels, spatial_dims) == (1, 2)
        return torch.nn.Sequential(torch.nn.Conv2d(1, 5, 3), torch.nn.ReLU())

    model = small(backbone=backbone).fit(X, y)
    assert model.external_layers_
    assert model.score(X, y) > 0.3
    on_backbone = small(backbone=backbone, external_layers="backbone.0").fit(X, y)
    assert on_backbone.external_layers_ == ("backbone.0",)


def test_lr_schedule_of_the_user_steps_once_per_epoch(arrays):
    X, y, _ = arrays
    model = small(lr=0.1, lr_schedule=lambda o: torch.optim.lr_scheduler.ExponentialLR(o, 0.5)).fit(X, y)
    assert model.history_["lr"].tolist() == pytest.approx([0.1, 0.05, 0.025])


def test_lr_schedule_cosine_rises_and_falls_to_zero(arrays):
    X, y, _ = arrays
    lr = small(max_epochs=40, lr=0.1, fusion="tabular").fit(X, y).history_["lr"]
    assert lr.idxmax() == 1
    assert lr.max() == pytest.approx(0.1, rel=0.02)
    assert lr.iloc[-1] < 0.001


class CountEpochs(Callback):
    """Counts; and shows that callbacks are cloned."""

    def initialize(self):
        self.n_epochs_ = 0
        return self

    def on_epoch_end(self, net, **kwargs):
        self.n_epochs_ += 1
        net.history.record("counted", self.n_epochs_)


def test_callbacks_run_as_clones(arrays):
    X, y, _ = arrays
    callback = CountEpochs()
    model = small(callbacks=[callback]).fit(X, y)
    assert model.history_["counted"].tolist() == [1, 2, 3]
    assert not hasattr(callback, "n_epochs_")
    assert clone(model).fit(X, y).history_["counted"].tolist() == [1, 2, 3]


def test_skorch_early_stopping_ends_training_without_an_interrupt(arrays):
    X, y, _ = arrays
    stop = EarlyStopping(monitor="train_loss", patience=2, threshold=10.0, threshold_mode="abs")
    model = small(callbacks=[stop], max_epochs=20).fit(X, y)
    assert 2 <= model.n_iter_ <= 4


@pytest.mark.parametrize("name", ["lr", "module", "train_split", "criterion"])
def test_net_params_that_the_estimator_makes_are_refused(arrays, name):
    X, y, _ = arrays
    with pytest.raises(ValueError, match=f"net_params of HyperFusionClassifier may not set '{name}'"):
        small(net_params={name: 1}).fit(X, y)


def test_device_is_where_training_runs(arrays):
    X, y, _ = arrays
    assert small(device="cpu").fit(X, y).net_.device == "cpu"
    with pytest.raises(ValueError, match=r"'device' parameter is 'cuda:77', but torch sees \d+ CUDA device"):
        small(device="cuda:77").fit(X, y)


def test_verbose_prints_a_line_per_epoch_and_zero_prints_nothing(arrays):
    X, y, _ = arrays
    for verbose, n_lines in [(0, 0), (1, 3)]:
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            small(verbose=verbose).fit(X, y).predict(X)
        assert len(out.getvalue().splitlines()) == n_lines
        assert verbose or not err.getvalue()
    assert "epoch 3/3  train_loss" in out.getvalue()


# Life cycle


def test_warm_start_goes_on_from_the_fitted_network(arrays):
    X, y, _ = arrays
    model = small(warm_start=True, max_epochs=15).fit(X, y)
    first = model.history_["train_loss"]
    preprocessor = model.tabular_preprocessor_
    again = model.fit(X, y).history_["train_loss"]
    assert again.iloc[0] < first.iloc[0] - 0.05
    assert model.tabular_preprocessor_ is preprocessor
    with pytest.raises(ValueError, match=r"warm_start=True goes on with the classes \['high', 'low'\]"):
        model.fit(X, np.where(y == "high", "other", y))
    model.set_params(warm_start=False)
    assert model.fit(X, y).history_["train_loss"].iloc[0] == first.iloc[0]


def test_warm_start_leaves_the_earlier_copy_as_it_is(arrays):
    X, y, _ = arrays
    model = small(warm_start=True).fit(X, y)
    copy = pickle.loads(pickle.dumps(model))
    model.fit(X, y)
    assert not torch.equal(weights(model), weights(copy))


def test_refit_on_other_data_starts_afresh(arrays, study):
    X, y, _ = arrays
    model = small().fit(*study[:2])
    model.fit(X, y)
    assert torch.equal(weights(model), weights(small().fit(X, y)))
    assert model.image_spec_.shape == (8, 8)


def test_set_params_after_fit_does_not_disturb_the_model(arrays):
    X, y, _ = arrays
    model = small().fit(X, y)
    before = model.predict_proba(X)
    model.set_params(base_channels=5, fusion="image", hyper_depth=0, image_columns="nowhere")
    np.testing.assert_array_equal(model.predict_proba(X), before)


def test_pickle_holds_no_row_and_does_not_grow_with_the_data(arrays):
    X, y, _ = arrays
    X = X.assign(secret=[f"patient-{i % 3}" for i in range(len(X))])
    small_pickle = pickle.dumps(small(early_stopping=True).fit(X, y))
    many = pd.concat([X] * 10, ignore_index=True)
    large_pickle = pickle.dumps(small(early_stopping=True).fit(many, np.tile(y, 10)))
    assert abs(len(large_pickle) - len(small_pickle)) < 1000
    image = np.asarray(X["picture"].iloc[0], dtype=np.float32)
    assert image.tobytes()[:64] not in large_pickle
    assert np.float64(X["dose"].iloc[0]).tobytes() not in large_pickle


def test_parameters_are_stored_as_given_and_fit_does_not_change_them(arrays):
    X, y, _ = arrays
    model = small(callbacks=[CountEpochs()], net_params={"iterator_train__num_workers": 0})
    before = {name: repr(value) for name, value in model.get_params().items()}
    frame = X.copy()
    model.fit(X, y)
    assert {name: repr(value) for name, value in model.get_params().items()} == before
    pd.testing.assert_frame_equal(X[["dose", "noise"]], frame[["dose", "noise"]])


class PressCtrlC(Callback):
    """Raises what Ctrl-C raises, in the middle of an epoch."""

    def __init__(self, epoch):
        self.epoch = epoch

    def on_batch_end(self, net, training, **kwargs):
        if training and len(net.history) == self.epoch:
            raise KeyboardInterrupt


def test_ctrl_c_leaves_the_best_epoch_so_far_and_is_raised_again(arrays):
    X, y, _ = arrays
    model = small(max_epochs=9, callbacks=[PressCtrlC(3)])
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, y)
    assert model.n_iter_ == model.best_epoch_ == 2
    assert len(model.predict(X)) == len(X)
    stopped = small(max_epochs=9, callbacks=[StopAfter(2)]).fit(X, y)
    assert torch.equal(weights(model), weights(stopped))


class StopAfter(Callback):
    """Asks the net to stop after some epochs."""

    def __init__(self, epochs):
        self.epochs = epochs

    def on_epoch_end(self, net, **kwargs):
        net.stop_requested_ = len(net.history) >= self.epochs


def test_ctrl_c_before_the_first_epoch_leaves_nothing_fitted(arrays):
    X, y, _ = arrays
    model = small(callbacks=[PressCtrlC(1)])
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, y)
    assert not model.__sklearn_is_fitted__()
