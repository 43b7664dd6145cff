"""Bad inputs: parameters of the estimators, of their loader and of their preprocessor."""

import numpy as np
import torch
from bad_case import TRAINING, both, params, rows_of, values
from sklearn.base import BaseEstimator, TransformerMixin

from skhyperfusion import ImageLoader, TabularPreprocessor

OWNER = "of HyperFusionClassifier must be"
bad = rows_of("parameter", TRAINING)


def refused(wanted, *examples):
    """Make rows for values of one parameter that no rule accepts."""
    name = wanted.partition(" ")[0]
    return [
        bad(f"{name}={value!r}"[:60], params(**{name: value}), f"'{name}' parameter {OWNER}",
            f"Got {shown}", ways=("fit",) if i else TRAINING)
        for i, (value, shown) in enumerate(examples)
    ]  # fmt: skip


def plain(*given):
    return [(value, repr(value)) for value in given]


RULES = [
    *refused("image_columns", *plain(3.5, [], {"scan"}, ["scan", None], True)),
    *refused("image_loader", *plain("loader", (6, 6)), (ImageLoader, "<class")),
    *refused("tabular_preprocessor", *plain("none", None)),
    *refused("group_column", *plain(3.5, ["sex"])),
    *refused("augmentation", *plain("strong", True)),
    *refused("fusion", ("hypr", "'hypr' instead; did you mean 'hyper'?"), *plain(None)),
    *refused("backbone", ("resnett", "'resnett' instead; did you mean 'resnet'?"), *plain(None)),
    *refused("base_channels", *plain(0, 2.5, True, "16", None)),
    *refused("dropout", *plain(1.0, -0.1, "0.2", float("nan"))),
    *refused("external_layers", *plain(3, ["head", 3], [])),
    *refused("frozen_layers", *plain(3, [])),
    *refused("hyper_depth", *plain(-1, 1.5)),
    *refused("hyper_width", *plain(0)),
    *refused("embedding_dim", *plain(0)),
    *refused("shared_embedding", *plain("yes", 1)),
    *refused("hyper_init", *plain("kaiming")),
    *refused("hyper_lr_scale", *plain(0, "none")),
    *refused("pretrain_embedding", *plain(-1, 0.5)),
    *refused("max_epochs", *plain(0, 1.5, float("inf"))),
    *refused("lr", *plain(0, -1e-3, "0.1", float("nan"), float("inf"))),
    *refused("backbone_lr_scale", *plain(0)),
    *refused("batch_size", *plain(0, 2.5)),
    *refused("optimizer", ("adamW", "'adamW' instead; did you mean 'adamw'?"), *plain(None)),
    *refused("weight_decay", *plain(-1)),
    *refused("lr_schedule", ("cosin", "'cosin' instead; did you mean 'cosine'?")),
    *refused("class_weight", ("balance", "'balance' instead; did you mean 'balanced'?"), *plain([1, 2])),
    *refused("early_stopping", *plain("yes")),
    *refused("validation_fraction", *plain(1.0, 0)),
    *refused("n_iter_no_change", *plain(0)),
    *refused("monitor", *plain(3, None)),
    *refused("callbacks", *plain(3)),
    *refused("net_params", *plain(3, [])),
    *refused("warm_start", *plain(1)),
    *refused("device", *plain(3, None)),
    *refused("precision", *plain("half", 16)),
    *refused("compile", *plain("yes")),
    *refused("random_state", *plain("zero", -1, 2**32)),
    *refused("verbose", *plain(-1, "loud")),
]


class Shortens(TransformerMixin, BaseEstimator):
    """A transformer that loses a row."""

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return np.ones((len(X) - 1, 2))


class Spoils(Shortens):
    """A transformer that leaves a gap."""

    def transform(self, X):
        return np.where(np.arange(len(X))[:, None] == 10, np.nan, np.ones((len(X), 2)))


class Words(Shortens):
    """A transformer that leaves words."""

    def transform(self, X):
        return np.full((len(X), 2), "F", dtype=object)


class Nothings(Shortens):
    """A transformer that gives nothing."""

    def transform(self, X):
        return None


class Vector(Shortens):
    """A transformer that gives one number a row, in no column."""

    def transform(self, X):
        return np.ones((len(X), 2, 2))


class Spread(torch.nn.Module):
    """A backbone whose features have no axis for the rows."""

    def forward(self, image):
        return image.sum()


class Tuples(torch.nn.Module):
    """A backbone that gives a pair."""

    def forward(self, image):
        return image, image


bad = rows_of("setting", ("fit",))
OTHERS = [
    bad("net setting misspelt", params(net_params={"bath_size": 3}), "net_params", "'bath_size'",
        "did you mean 'batch_size'?"),
    bad("sampler of one's own", params(net_params={"iterator_train__sampler": 1}), "net_params",
        "Rare classes count more with class_weight='balanced'"),
    bad("last batch dropped", params(net_params={"iterator_train__drop_last": True}), "net_params",
        "'iterator_train__drop_last'", "the estimator draws the batches"),
    bad("loss without rows", params(net_params={"criterion__reduction": "sum"}), "net_params",
        "'criterion__reduction'", "it is made by the estimator"),
    bad("rows held out shuffled", params(net_params={"iterator_valid__shuffle": True}), "net_params",
        "'iterator_valid__shuffle'", "scored in their order"),
    bad("batches of rows held out", params(net_params={"iterator_valid__batch_sampler": [[1], [0]]}),
        "'iterator_valid__batch_sampler'", "scored in their order"),
    bad("iterator misspelt", params(net_params={"iterator_trian__num_workers": 0}), "net_params",
        "did you mean 'iterator_train__num_workers'"),
    bad("setting of an iterator misspelt", params(net_params={"iterator_valid__batchsize": 2}), "net_params",
        "did you mean 'iterator_valid__batch_size'"),
    bad("argument of torch.load misspelt", params(net_params={"torch_load_kwarg": {}}), "net_params",
        "did you mean 'torch_load_kwargs'"),
    bad("net setting that is ours", params(net_params={"batch_size": 3}), "may not set 'batch_size'",
        "set the parameter 'batch_size' instead"),
    bad("layer that matches nothing", params(external_layers="head.hiden1"),
        "no layer matches 'head.hiden1'", "did you mean 'head.hidden1'?"),
    bad("layer that cannot be external", params(external_layers="backbone.stem.norm"),
        "matches nothing that can be external", "BatchNorm"),
    bad("frozen layer that matches nothing", params(frozen_layers="backbone.blok1"), "frozen_layers",
        "'backbone.blok1'"),
    bad("dropout of two places", params(dropout=[0.1, 0.2]), "'dropout' must be a number or 6 of them"),
    bad("unknown score to monitor", params(monitor="balanced_acuracy", early_stopping=True), "monitor",
        "'balanced_acuracy'", "did you mean 'balanced_accuracy'?"),
    bad("score of words to monitor", params(monitor=lambda *_: "good", early_stopping=True), "monitor",
        "'good'", error=(TypeError, ValueError)),
    *[
        bad(f"class weight {weight!r}", params(class_weight={"AD": weight, "CN": 1}), "class_weight",
            "class 'AD' the weight")
        for weight in (-1, float("nan"), float("inf"), "2", None)
    ],
    bad("class weight of an unknown class", params(class_weight={"AD": 1, "MCI": 2}), "class_weight",
        "'CN'"),
    bad("class weights of zero", params(class_weight={"AD": 0, "CN": 0}), "weigh zero", "class_weight"),
    bad("scale of the target", both(values(lambda y: y), params(scale_target="yes")),
        "'scale_target' parameter of HyperFusionRegressor"),
    bad("fraction that leaves no row", params(early_stopping=True, validation_fraction=0.99),
        "validation_fraction=0.99", "12 rows"),
    bad("device that there is not", params(device="cuda:97"), "device", "cuda:97", "Pass device='auto'"),
    bad("device that no one knows", params(device="gpu"), "device", "'gpu'"),
    bad("device that is nowhere", params(device="meta"), "device", "'meta'", "does not have",
        "Pass device='auto'"),
    bad("network beyond any memory", params(base_channels=10**13), "base_channels", error=MemoryError),
    bad("embedding beyond any memory", params(hyper_depth=1, embedding_dim=10**13), "embedding_dim",
        error=MemoryError),
    bad("hypernetwork beyond any memory", params(hyper_depth=2, hyper_width=10**13), "hyper_width",
        error=MemoryError),
    bad("backbone that is no module", params(backbone=lambda *_: 3), "'backbone'", "torch.nn.Module", "int",
        error=(TypeError, ValueError)),
    bad("backbone that asks for other arguments", params(backbone=lambda: None), "backbone",
        "(in_channels, spatial_dims)", error=(TypeError, ValueError)),
    bad("backbone of no row", params(backbone=lambda *_: Spread()), "backbone", error=(TypeError,
        ValueError)),
    bad("backbone that gives a pair", params(backbone=lambda *_: Tuples()), "backbone",
        error=(TypeError, ValueError)),
    bad("backbone of other images", params(backbone=lambda *_: torch.nn.Conv3d(5, 3, 3)), "backbone",
        error=(RuntimeError, ValueError)),
    bad("augmentation that gives nothing", params(augmentation=lambda images: None), "augmentation",
        "NoneType", error=(TypeError, ValueError)),
    bad("augmentation that loses rows", params(augmentation=lambda images: images[:1]), "augmentation",
        "(1, 1, 6, 6)"),
    bad("optimizer that is none", params(optimizer=lambda *_, **__: 3), "optimizer", "an int",
        error=(TypeError, ValueError)),
    bad("schedule that is none", params(lr_schedule=lambda *_: 3), "lr_schedule", "an int",
        error=(TypeError, ValueError)),
    bad("callback that is none", params(callbacks=[3]), "callbacks", "3", error=(TypeError, ValueError)),
    bad("preprocessor that loses a row", params(tabular_preprocessor=Shortens()), "tabular_preprocessor",
        "11", "12"),
    bad("preprocessor that leaves a gap", params(tabular_preprocessor=Spoils()), "encoded table", "'p10'",
        "finite numbers"),
    bad("preprocessor that leaves words", params(tabular_preprocessor=Words()), "encoded table",
        "finite numbers", "'F'"),
    bad("preprocessor that gives nothing", params(tabular_preprocessor=Nothings()), "tabular_preprocessor",
        "NoneType", error=(TypeError, ValueError)),
    bad("preprocessor that gives three axes", params(tabular_preprocessor=Vector()), "tabular_preprocessor",
        "(12, 2, 2)"),
    bad("no preprocessor for words", params(tabular_preprocessor="passthrough"), "encoded table",
        "finite numbers", "tabular_preprocessor='default'"),
]  # fmt: skip

bad = rows_of("loader", ("fit",))


def loader(**changed):
    return params(image_loader=ImageLoader(**changed))


LOADER = "of ImageLoader must be"
LOADERS = [
    bad("shape of a zero", loader(shape=(0, 6)), f"'shape' parameter {LOADER}", "(0, 6)"),
    bad("shape of one axis", loader(shape=(6,)), f"'shape' parameter {LOADER}", "(6,)"),
    bad("shape of volumes", loader(shape=(6, 6, 6)), "eye-00.npy", "(6, 6, 6)"),
    bad("spacing that is negative", loader(spacing=-1.0), f"'spacing' parameter {LOADER}", "-1.0"),
    bad("orientation that is none", loader(orientation="RAX"), "'orientation'", "three letters", "'RAX'"),
    bad("crop of a word", loader(crop="brain"), f"'crop' parameter {LOADER}", "'brain'"),
    bad("crop beyond the image", loader(crop=((0, 3), (9, 12))), "eye-00.npy", "crop", "(6, 6)"),
    bad("crop of nothing", loader(crop=((3, 3), (0, 6))), "crop"),
    bad("crop to the foreground", loader(crop="foreground"), "shape", "differ"),
    bad("crop by a function of nonsense", loader(crop=lambda voxels: "all"), "crop", "eye-00.npy",
        error=(TypeError, ValueError)),
    bad("bilateral along no axis", loader(bilateral=3), f"'bilateral' parameter {LOADER}", "3"),
    bad("bilateral along a third axis", loader(bilateral=2), "bilateral"),
    bad("intensity of a word", loader(intensity="z"), "intensity", "'z'"),
    bad("intensity of percentiles turned round", loader(intensity=(99, 1)), "intensity", "(99, 1)"),
    bad("intensity by a function that gives nothing", loader(intensity=lambda voxels: None), "intensity",
        error=(TypeError, ValueError)),
    bad("intensity by a function that gives NaN", loader(intensity=lambda voxels: voxels * np.nan),
        "eye-00.npy", "NaN"),
    bad("channels of none", loader(channels=0), f"'channels' parameter {LOADER}", "0"),
    bad("channels that are not there", loader(channels=3), "eye-00.npy", "3", "channel"),
    bad("root that there is not", both(loader(root="/nowhere/at/all"), lambda study: study.X.__setitem__(
        "scan", [f"eye-{i:02d}.npy" for i in range(12)])), "/nowhere/at/all", "eye-00.npy"),
    bad("missing images by a word", loader(missing="drop"), f"'missing' parameter {LOADER}", "'drop'"),
    bad("memory that is negative", loader(memory=-1), f"'memory' parameter {LOADER}", "-1"),
    bad("cache in a file", lambda study: loader(cache_dir=study.write("cache", b"x"))(study), "cache"),
    bad("limit of no voxel", loader(max_voxels=0), f"'max_voxels' parameter {LOADER}", "0"),
    bad("limit below the images", loader(max_voxels=30), "eye-00.npy", "max_voxels=30"),
]  # fmt: skip

bad = rows_of("preprocessor", ("fit",))


def prepared(**changed):
    return params(tabular_preprocessor=TabularPreprocessor(**changed))


TABULAR = "of TabularPreprocessor must be"
PREPROCESSORS = [
    bad("imputer misspelt", prepared(imputer="meadian"), f"'imputer' parameter {TABULAR}",
        "did you mean 'median'?"),
    bad("indicator of a word", prepared(add_indicator="yes"), f"'add_indicator' parameter {TABULAR}"),
    bad("scaler misspelt", prepared(scaler="standart"), f"'scaler' parameter {TABULAR}",
        "did you mean 'standard'?"),
    bad("no category", prepared(max_categories=0), f"'max_categories' parameter {TABULAR}", "0"),
    bad("missing values of a column that is not there", prepared(missing_values={"agee": [-9]}),
        "missing_values", "'agee'", "did you mean 'age'?"),
    bad("missing values that are a number", prepared(missing_values=-9),
        f"'missing_values' parameter {TABULAR}", "-9"),
]  # fmt: skip

PARAMETERS = [*RULES, *OTHERS, *LOADERS, *PREPROCESSORS]
