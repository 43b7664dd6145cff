"""Measure training steps and predictions on a GPU.

    python benchmarks/gpu.py
    python benchmarks/gpu.py --device cpu --tiny      # sees that it runs, measures nothing

Both of the paper's networks at its batch sizes: bfloat16 autocast in channels last with the external layers
as they are, against float32 with a loop over the samples. Beside the times the share of the card's peaks:
counted operations by the fastest bfloat16 matrix product, and bytes by the fastest copy, both measured here.
"""

import copy

import numpy as np
import pandas as pd
import torch
from _speed import fastest, parser, save, show, take_turns
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode
from training_step import DROPOUT, loop_over_samples

from skhyperfusion import HyperFusionClassifier, ImageLoader
from skhyperfusion.nn import FusionNetwork
from skhyperfusion.nn._layout import lay_out, lay_out_images

# name: settings of the network, shape, batch, encoded columns, outputs
TASKS = {
    "Alzheimer": ({"backbone": "resnet", "dropout": DROPOUT}, (64, 96, 64), 32, 18, 3),
    "brain age": (
        {"backbone": "vgg", "embedding_dim": 1, "shared_embedding": False},
        (84, 116, 92),
        64,
        2,
        1,
    ),
}


class Step:
    """A training step: forward, backward, Adam."""

    def __init__(self, network, image, table, precision):
        self.network, self.image, self.table, self.precision = network, image, table, precision
        self.optimizer = torch.optim.Adam(network.parameters(), lr=1e-4, fused=True)

    def __call__(self):
        """Make the step."""
        self.optimizer.zero_grad()
        with torch.autocast(self.image.device.type, torch.bfloat16, enabled=self.precision == "bfloat16"):
            out = self.network(self.image, self.table)
        F.mse_loss(out.float(), torch.zeros_like(out, dtype=torch.float32)).backward()
        self.optimizer.step()


def step_row(name, repeats, device, tiny):
    """Time one task's step, ours and the loop's."""
    settings, shape, batch, n_columns, n_outputs = TASKS[name]
    if tiny:
        shape, batch, settings = (16, 16, 16), 4, {**settings, "base_channels": 2}
    network = FusionNetwork(
        n_tabular_features=n_columns,
        n_outputs=n_outputs,
        in_channels=1,
        spatial_shape=shape,
        **{"hyper_depth": 1, **settings},
    ).to(device)
    image = torch.randn(batch, 1, *shape, device=device)
    table = torch.randn(batch, n_columns, device=device)
    looped = copy.deepcopy(network)  # in the default memory layout
    loop_over_samples(looped)
    loop = Step(looped, image, table, "float32")
    image = lay_out_images(image, last=lay_out(network))
    ours = Step(network, image, table, "bfloat16")
    with FlopCounterMode(display=False) as counter:
        ours()
    medians = take_turns({"loop": loop, "ours": ours}, repeats, warm_up=3)
    seconds = medians["ours"][0]
    return {
        "task": name,
        "batch": batch,
        "loop_ms": 1e3 * medians["loop"][0],
        "ours_ms": 1e3 * seconds,
        "times": medians["loop"][0] / seconds,
        "share_of_bf16_peak": counter.get_total_flops() / seconds / matmul_peak(device, tiny),
        "share_of_bandwidth": _least_bytes(network, image, table) / seconds / copy_peak(device, tiny),
    }


def _least_bytes(network, image, table):
    """Count the bytes of what the backbone's layers put out: written and read, forward and backward."""
    total = []
    hooks = [
        layer.register_forward_hook(lambda _, __, out: total.append(out.numel() * out.element_size()))
        for layer in network.backbone.modules()
        if not list(layer.children())
    ]
    with torch.no_grad(), torch.autocast(image.device.type, torch.bfloat16):
        network(image, table)
    for hook in hooks:
        hook.remove()
    return 4 * sum(total)


def matmul_peak(device, tiny):
    """Return the operations per second of a large bfloat16 matrix product."""
    n = 256 if tiny else 8192
    a, b = (torch.randn(n, n, device=device, dtype=torch.bfloat16) for _ in range(2))
    return 2 * n**3 / fastest(lambda: a @ b)


def copy_peak(device, tiny):
    """Return the bytes per second that a copy reads and writes."""
    source = torch.randn(1 << (16 if tiny else 28), device=device)
    target = torch.empty_like(source)
    return 2 * source.numel() * 4 / fastest(lambda: target.copy_(source))


def estimator_rows(device, tiny, seed):
    """Images per second of `fit` and `predict`: held on the device, and read again in every epoch."""
    n_rows, shape = (8, (8, 8, 8)) if tiny else (256, (64, 96, 64))
    rng = np.random.default_rng(seed)
    X = pd.DataFrame({"scan": list(rng.normal(size=(n_rows, *shape)).astype(np.float32))})
    X["age"] = rng.normal(size=n_rows)
    y = np.arange(n_rows) % 2
    rows = []
    for images, memory in {"held": "auto", "read ahead": 0}.items():
        model = HyperFusionClassifier(
            max_epochs=3, base_channels=2 if tiny else 16, device=str(device), random_state=seed,
            batch_size=4 if tiny else 16, image_loader=ImageLoader(memory=memory),
        ).fit(X, y)  # fmt: skip
        model.predict(X)
        rows.append(
            {
                "images": images,
                "fit_per_second": n_rows / model.history_["seconds"].iloc[1:].min(),
                "predict_per_second": n_rows / fastest(lambda: model.predict(X), 3),  # noqa: B023
            }
        )
    return rows


def main():
    """Measure, print the tables and save them."""
    arguments = parser(__doc__.splitlines()[0], repeats=20)
    arguments.add_argument("--device", default="cuda")
    arguments.add_argument("--tiny", action="store_true", help="sizes that only see that it runs")
    arguments = arguments.parse_args()
    device = torch.device(arguments.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise SystemExit("No GPU here. --device cpu --tiny sees that the script runs.")
    torch.manual_seed(arguments.seed)
    repeats = 2 if arguments.quick or arguments.tiny else arguments.repeats
    rows = [step_row(name, repeats, device, arguments.tiny) for name in TASKS]
    estimator = estimator_rows(device, arguments.tiny, arguments.seed)
    show("Training step", rows)
    show("Estimator, images per second", estimator)
    save(arguments, "gpu", rows, estimator=estimator)


if __name__ == "__main__":
    main()
