"""Time training on scans against what one would write instead: a torch script, and MONAI's data sets.

    python benchmarks/alternatives.py

The same files, network, order of size, epochs and optimizer, from the files to the last epoch, one after the
other in one run. "torch": a `Dataset` that reads with nibabel and resamples with torch, in a `DataLoader` of
two workers, nothing kept. "MONAI": its transforms into a `CacheDataset`, and into a `PersistentDataset`, in a
`DataLoader` without workers. The score on the rows left out tells that each learned.
"""

import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

import nibabel as nib
import numpy as np
import torch
from _speed import parser, save, show, threads
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from skhyperfusion import HyperFusionClassifier, ImageLoader, TabularPreprocessor
from skhyperfusion._engine._callbacks import cosine_with_warm_up
from skhyperfusion.datasets import make_brain_cohort
from skhyperfusion.images import clear_cache
from skhyperfusion.nn import FusionNetwork

BATCH = 16


def standardize(voxels):
    """Subtract the mean of the voxels that are not zero, and divide by their deviation."""
    inside = voxels[voxels != 0]
    return torch.where(voxels != 0, (voxels - inside.mean()) / inside.std(), 0.0)


class Scans(Dataset):
    """Scans read by nibabel and resampled each time they are asked for."""

    def __init__(self, paths, table, target, shape):
        self.paths, self.table, self.target, self.shape = list(paths), table, target, shape

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, i):
        scan = nib.as_closest_canonical(nib.load(self.paths[i]))
        voxels = torch.from_numpy(np.asarray(scan.dataobj, dtype=np.float32))[None, None]
        small = F.interpolate(voxels, self.shape, mode="trilinear", align_corners=False)[0]
        return standardize(small), self.table[i], self.target[i]


def monai_scans(kind, paths, table, target, shape, folder):
    """Do the same by MONAI's transforms, in one of its caching data sets."""
    from monai import transforms as mt
    from monai.data import CacheDataset, PersistentDataset

    steps = mt.Compose(
        [
            mt.LoadImaged("image", image_only=True, ensure_channel_first=True),
            mt.Orientationd("image", axcodes="RAS"),
            mt.Resized("image", shape, mode="trilinear"),
            mt.NormalizeIntensityd("image", nonzero=True),
            mt.ToTensord("image", track_meta=False),
        ]
    )
    rows = [
        {"image": path, "table": row, "target": label}
        for path, row, label in zip(paths, table, target, strict=True)
    ]
    if kind == "MONAI CacheDataset":
        data = CacheDataset(rows, steps, num_workers=2, progress=False)
    else:
        # Our own files of a moment ago; the safe reader of MONAI 1.6 refuses them and reads every scan again.
        data = PersistentDataset(rows, steps, cache_dir=folder / "persistent", weights_only=False)
    return data


def in_order(batch):
    """Image, table and target of a batch, whoever made it."""
    return (batch["image"], batch["table"], batch["target"]) if isinstance(batch, dict) else batch


def train(data, n_features, shape, base_channels, epochs, **loading):
    """Train the network as a script would."""
    network = FusionNetwork(
        n_tabular_features=n_features, n_outputs=2, in_channels=1, spatial_shape=shape,
        base_channels=base_channels, hyper_depth=0,
    )  # fmt: skip
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3, weight_decay=1e-2)
    loader = DataLoader(data, batch_size=BATCH, shuffle=True, drop_last=True, **loading)
    n_steps = epochs * len(loader)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: cosine_with_warm_up(step, n_steps))
    for _ in range(epochs):
        for batch in loader:
            image, table, target = in_order(batch)
            optimizer.zero_grad()
            F.cross_entropy(network(image, table), target).backward()
            optimizer.step()
            schedule.step()
    return network.eval()


def by_hand(kind, X, y, test, shape, base_channels, epochs, folder):
    """Encode the table, train, and score on the rows left out."""
    encoder = TabularPreprocessor(image_columns="t1w").set_output(transform="pandas").fit(X)

    def tensors(rows, labels):
        table = encoder.transform(rows).drop(columns="t1w").to_numpy(dtype=np.float32, copy=True)
        return rows["t1w"], torch.from_numpy(table), torch.from_numpy(labels)

    if kind == "torch script":
        data, loading = Scans(*tensors(X, y), shape), {"num_workers": 2, "persistent_workers": True}
    else:
        data, loading = monai_scans(kind, *tensors(X, y), shape, folder), {}
    n_features = in_order(data[0])[1].numel()
    network = train(data, n_features, shape, base_channels, epochs, **loading)
    images, table, target = zip(*Scans(*tensors(*test), shape), strict=True)
    with torch.no_grad():
        logits = network(torch.stack(images), torch.stack(table))
    return roc_auc_score(target, logits.softmax(1)[:, 1])


def ours(X, y, test, shape, base_channels, epochs, seed):
    """Fit and score the estimator."""
    clear_cache()
    model = HyperFusionClassifier(
        image_loader=ImageLoader(shape=shape), base_channels=base_channels, max_epochs=epochs,
        batch_size=BATCH, augmentation=None, early_stopping=False, random_state=seed,
    )  # fmt: skip
    return roc_auc_score(test[1], model.fit(X, y).predict_proba(test[0])[:, 1])


def main():
    """Train all in turns, print the table and save it."""
    arguments = parser(__doc__.splitlines()[0], repeats=3)
    arguments.add_argument("--subjects", type=int, default=200)
    arguments.add_argument("--side", type=int, default=96, help="voxels of a stored scan's side")
    arguments.add_argument("--target", type=int, default=24, help="voxels of a side after resampling")
    arguments.add_argument("--base-channels", type=int, default=4)
    arguments.add_argument("--epochs", type=int, default=10)
    arguments = arguments.parse_args()
    n, epochs, repeats = arguments.subjects, arguments.epochs, arguments.repeats
    if arguments.quick:
        n, epochs, repeats = 40, 2, 1
    shape = (arguments.target,) * 3
    kinds = ["torch script"]
    if find_spec("monai"):
        kinds += ["MONAI CacheDataset", "MONAI PersistentDataset"]
    else:
        print("MONAI is not installed (extra 'medical'): left out")
    taken, scores = {}, {}
    with tempfile.TemporaryDirectory() as folder, threads(arguments.threads):
        cohort = make_brain_cohort(
            n, shape=(arguments.side,) * 3, n_classes=2, random_state=arguments.seed,
            directory=Path(folder, "scans"),
        )  # fmt: skip
        y = np.unique(cohort.target, return_inverse=True)[1]
        X, X_test, y, y_test = train_test_split(
            cohort.data, y, test_size=0.25, stratify=y, random_state=arguments.seed
        )
        rest = ((X_test, y_test), shape, arguments.base_channels, epochs)
        for i in range(repeats):
            torch.manual_seed(arguments.seed + i)
            with tempfile.TemporaryDirectory() as fresh:
                ways = {kind: lambda k=kind, f=fresh: by_hand(k, X, y, *rest, Path(f)) for kind in kinds}
                ways["skhyperfusion"] = lambda i=i: ours(X, y, *rest, arguments.seed + i)
                for name, way in ways.items():
                    start = time.perf_counter()
                    scores.setdefault(name, []).append(way())
                    taken.setdefault(name, []).append(time.perf_counter() - start)
    best = np.median(taken["skhyperfusion"])
    rows = [
        {"way": k, "seconds": np.median(t), "times": np.median(t) / best, "ROC AUC": np.mean(scores[k])}
        for k, t in taken.items()
    ]
    show(f"{epochs} epochs on {len(X)} scans of {arguments.side}^3, read at {arguments.target}^3", rows)
    save(arguments, "alternatives", rows)


if __name__ == "__main__":
    main()
