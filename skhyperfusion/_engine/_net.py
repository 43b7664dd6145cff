"""The skorch net that trains a fusion network."""

import contextlib
import inspect
import multiprocessing

import numpy as np
import torch
from sklearn.utils import ClassifierTags, RegressorTags
from skorch import NeuralNet
from skorch.callbacks import EarlyStopping, EpochTimer, PassthroughScoring
from skorch.dataset import Dataset
from skorch.exceptions import SkorchException
from skorch.utils import to_device
from torch.utils.data import DataLoader

from skhyperfusion._engine._batches import BatchSampler, FusionDataset, ReadAhead, pass_batch
from skhyperfusion._engine._compiler import check_compiler
from skhyperfusion._engine._gone_wrong import divergence, is_finite
from skhyperfusion._engine._losses import LOSSES, row_losses
from skhyperfusion._engine._small_maps import SmallMapsInFloat32
from skhyperfusion._wording import did_you_mean
from skhyperfusion.nn._layout import lay_out_images, suits_channels_last

# Settings of the skorch net that an estimator's own parameter, or the estimator itself, makes.
RESERVED_NET_PARAMS = {
    **{
        name: name
        for name in ("lr", "max_epochs", "batch_size", "optimizer", "callbacks", "device", "verbose")
    },
    "optimizer__weight_decay": "weight_decay",
    "train_split": "early_stopping",
    "warm_start": "warm_start",
    "augmentation": "augmentation",
    "precision": "precision",
    "compile": "compile",
    "seed": "random_state",
    "checkpoint": "checkpoint_dir",
    "module": "backbone",
    "criterion": None,
    "criterion__reduction": None,  # of one number for each row, which its weight multiplies
    "dataset": None,
}
# What takes the place of torch's own ways to draw batches.
_DRAWN_HERE = {
    "iterator_train__sampler": "Rare classes count more with class_weight='balanced' or sample_weight",
    "iterator_train__drop_last": "A last batch of one row joins the one before it, none need be dropped",
    **dict.fromkeys(
        [f"iterator_valid__{name}" for name in ("shuffle", "sampler", "batch_sampler", "drop_last")],
        "The rows held out are scored in their order, all of them",
    ),
}

# What the loader takes for its worker processes, and refuses where it has none.
_OF_WORKERS = ("num_workers", "prefetch_factor", "persistent_workers", "timeout", "multiprocessing_context")
_OF_THE_COMPILER = [*inspect.signature(torch.compile).parameters][1:]


def check_net_params(net_params, owner):
    """Raise ValueError where settings of the skorch net are not the user's to set, or none that it has."""
    for name in net_params:
        if name in RESERVED_NET_PARAMS:
            own = RESERVED_NET_PARAMS[name]
            hint = "it is made by the estimator" if own is None else f"set the parameter {own!r} instead"
            raise ValueError(f"net_params of {owner} may not set {name!r}: {hint}.")
        if name in _DRAWN_HERE:
            raise ValueError(
                f"net_params of {owner} may not set {name!r}: the estimator draws the batches. "
                f"{_DRAWN_HERE[name]}."
            )
        names = _names_like(name)
        if name not in names and not name.startswith(("criterion__", "optimizer__", "callbacks__")):
            raise ValueError(
                f"net_params of {owner} sets {name!r}, which a skorch net does not have"
                f"{did_you_mean(name, names) or '.'}"
            )


def _names_like(name):
    """Return the settings that there are, of the same part of the net where `name` says which."""
    own = [*inspect.signature(NeuralNet.__init__).parameters][1:]
    loader = [*inspect.signature(DataLoader.__init__).parameters][2:]
    nested = [f"{part}__{n}" for part in ("iterator_train", "iterator_valid") for n in loader]
    nested += [f"compile__{n}" for n in _OF_THE_COMPILER]
    return [n for n in own if n not in ("module", "kwargs")] + nested


class StopTraining(KeyboardInterrupt):
    """Ends the training loop at the end of an epoch; no one pressed a key."""


class FusionNet(NeuralNet):
    """skorch net for batches of images, tables, targets and weights.

    Parameters
    ----------
    augmentation : callable or None
        ``(image, generator) -> image``, applied to training batches on the device.
    precision : {"float32", "bfloat16", "float64"}
        "bfloat16": float32 weights under autocast.
    seed : int
        Seed of the order of rows, of the views drawn and of the augmentation.
    n_classes : int or None
        Number of classes; None: a regression.
    checkpoint : Checkpoint or None
        Where the end of each epoch is kept, and training goes on from.
    """

    def __init__(
        self,
        module,
        *args,
        augmentation=None,
        precision="float32",
        seed=0,
        n_classes=None,
        checkpoint=None,
        **kwargs,
    ):
        super().__init__(module, *args, **kwargs)
        self.augmentation = augmentation
        self.precision = precision
        self.seed = seed
        self.n_classes = n_classes
        self.checkpoint = checkpoint

    @classmethod
    def around(cls, module, target):
        """Return the net of a network that is trained already for a `Target`, as a fit leaves it behind."""
        net = cls(module, criterion=LOSSES[target.loss], n_classes=target.n_classes).initialize()
        net.strip()
        net.module = None
        return net

    _compiled = None  # the network as ``compile=True`` runs it
    _drawn = None  # the rows of training, and what deals them to batches

    @property
    def _default_callbacks(self):
        return [
            ("epoch_timer", EpochTimer()),
            ("train_loss", PassthroughScoring(name="train_loss", on_train=True)),
            ("valid_loss", PassthroughScoring(name="valid_loss")),
        ]

    def initialize(self):
        super().initialize()
        order, augmentation = np.random.SeedSequence(self.seed).generate_state(2)
        self.order_generator_ = torch.Generator().manual_seed(int(order))
        self.augmentation_generator_ = torch.Generator(self.device).manual_seed(int(augmentation))
        self.interrupted_ = self.stop_requested_ = False
        self.channels_last_ = suits_channels_last(self.module_)
        return self

    def torch_compile(self, module, name):
        """Compile the network beside ``module_``, which stays plain: it pickles, under plain names."""
        if self.compile and name == "module":
            check_compiler(self._device_type)
            # Each fit compiles a network of its own; torch runs the ninth of a process as it is, unasked.
            torch.compiler.reset()
            compiled = torch.compile(module, **self.get_params_for("compile"))
            self._compiled = compiled.__call__  # a module would count among the net's own
        return module

    @property
    def _network(self):
        return self.module_ if self._compiled is None else self._compiled

    def __getstate__(self):
        return {**super().__getstate__(), "_compiled": None, "_drawn": None}

    def _set_training(self, training=True):
        # skorch walks through every layer before every batch, which a step of 2 ms feels.
        if self.module_.training is not training:
            super()._set_training(training)

    def get_iterator(self, dataset, training=False):
        """Load batches by index; ``net_params`` may set what torch's DataLoader takes.

        For a GPU the rows that it does not hold are read ahead, into memory that it can copy from by itself.
        """
        prefix = "iterator_train" if training else "iterator_valid"
        kwargs = {"collate_fn": pass_batch, **self.get_params_for(prefix)}
        if multiprocessing.parent_process() is not None:
            # A daemonic child of a parallel search may have no children.
            kwargs = {name: value for name, value in kwargs.items() if name not in _OF_WORKERS}
        batch_size = kwargs.pop("batch_size", self.batch_size)
        generator = self.order_generator_ if kwargs.pop("shuffle", training) else None
        kwargs.setdefault("batch_sampler", BatchSampler(len(dataset), batch_size, generator=generator))
        kwargs.setdefault("generator", self.order_generator_)
        if training:
            self._drawn = dataset, kwargs["batch_sampler"]
        is_elsewhere = isinstance(dataset, FusionDataset) and dataset.device.type == "cpu"
        reads_ahead = self._device_type == "cuda" and is_elsewhere
        kwargs.setdefault("pin_memory", reads_ahead)
        loader = getattr(self, prefix)(dataset, **kwargs)
        return ReadAhead(loader) if reads_ahead else loader

    def infer(self, x, **fit_params):
        inputs = {name: value.to(self.device, non_blocking=True) for name, value in x.items()}
        halved = self.precision == "bfloat16"
        mended = SmallMapsInFloat32() if halved and self._device_type == "cpu" else contextlib.nullcontext()
        with torch.autocast(self._device_type, torch.bfloat16, enabled=halved), mended:
            outputs = self._infer(**inputs, **fit_params)
        return outputs.float() if outputs.dtype == torch.bfloat16 else outputs

    def _infer(self, image=None, **inputs):
        if image is None:
            return self._network(**inputs)
        if self.module_.training:
            return self._network(image=self._training_view(image), **inputs)
        views = [lay_out_images(view, last=self.channels_last_) for view in image.unbind(1)]
        return torch.stack([self._network(image=view, **inputs) for view in views]).mean(0)

    @property
    def _device_type(self):
        return torch.device(self.device).type

    def _training_view(self, image):
        """One view per sample, drawn at random, then augmented: (B, V, C, *S) -> (B, C, *S)."""
        generator = self.augmentation_generator_
        if image.shape[1] == 1:
            image = image[:, 0]
        else:
            rows = torch.arange(len(image), device=image.device)
            view = torch.randint(image.shape[1], (len(image),), generator=generator, device=image.device)
            image = image[rows, view]
        if self.augmentation is not None:
            image = self.augmentation(image, generator)
        return lay_out_images(image, last=self.channels_last_)

    def get_loss(self, y_pred, y_true, X=None, training=False):
        target, weight = to_device(y_true, self.device)
        # Weights have mean one over the training rows, so a plain mean keeps every row's share the same
        # in whatever batch it falls.
        return row_losses(self.criterion_, y_pred, target, weight).mean()

    def train_step_single(self, batch, **fit_params):
        """Compute loss and gradients, and raise FloatingPointError where one is not finite."""
        step = super().train_step_single(batch, **fit_params)
        if not is_finite(step["loss"], self.module_.parameters()):
            n_before = len(self.history[-1]["batches"]) - 1
            raise divergence(
                step["loss"],
                batch[0] | {"target": batch[1][0]},
                epoch=len(self.history),
                batch=n_before + 1,
                names=self._names_in(n_before),
                lr=self.optimizer_.param_groups[-1]["lr"],
            )
        return step

    def _names_in(self, batch):
        """Return the names of the rows of a batch of this epoch, or None where they are not known."""
        dataset, sampler = self._drawn
        names, dealt = getattr(dataset, "names", None), getattr(sampler, "dealt", None)
        return None if names is None or dealt is None else names[dataset.rows[dealt[batch]]].tolist()

    def fit_loop(self, X, y=None, epochs=None, **kwargs):
        self.module_.train()  # every layer, whatever mode a pre-training left some in
        # skorch swallows a KeyboardInterrupt; here the estimator is told, and raises it again.
        if epochs is None:  # a checkpoint may hold some of them, and that the last one was the end
            epochs = 0 if self.stop_requested_ else self.max_epochs - len(self.history)
        try:
            return super().fit_loop(X, y, epochs, **kwargs)
        except StopTraining:
            return self
        except KeyboardInterrupt:
            self.interrupted_ = True
            return self

    def notify(self, method_name, **cb_kwargs):
        if "batch" in cb_kwargs:  # skorch's scoring callbacks know inputs and targets, not weights
            inputs, (target, _) = cb_kwargs["batch"]
            cb_kwargs["batch"] = inputs, target
        if method_name == "on_epoch_end":
            cb_kwargs |= {name: _with_target(cb_kwargs[name]) for name in ("dataset_train", "dataset_valid")}
        try:
            super().notify(method_name, **cb_kwargs)
        except (KeyError, SkorchException) as error:
            if self.train_split is None and "valid_" in str(error):
                error.add_note(
                    "A callback asks for a score of rows held out, and none are: pass early_stopping=True, "
                    "or let the callback monitor 'train_loss'."
                )
            raise
        except KeyboardInterrupt:
            # skorch's own EarlyStopping ends training by this exception: no key was pressed.
            if method_name != "on_epoch_end" or not any(map(_has_run_out, self.callbacks_)):
                raise
            self.stop_requested_ = True
        if self.checkpoint is not None and method_name in ("on_train_begin", "on_epoch_end"):
            # Behind all callbacks, so that they are at one with the epoch.
            keep = self.checkpoint.restore if method_name == "on_train_begin" else self.checkpoint.save
            keep(self)
        if method_name == "on_epoch_end" and self.stop_requested_:
            raise StopTraining

    # What the scorers of skorch's callbacks ask a net for.

    def predict(self, X):
        """Codes of the likeliest classes, or values in the unit that the network is trained in."""
        outputs = self.predict_proba(X)
        return outputs if self.n_classes is None else outputs.argmax(axis=1)

    @property
    def classes_(self):
        if self.n_classes is None:
            raise AttributeError("The net of a regression has no classes_.")
        return np.arange(self.n_classes)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        if self.n_classes is None:
            tags.estimator_type, tags.regressor_tags = "regressor", RegressorTags()
        else:
            tags.estimator_type, tags.classifier_tags = "classifier", ClassifierTags()
        return tags

    def strip(self):
        """Drop what only training needs: a pickle then holds no row, and does not grow with the data.

        The weights move to the CPU, so that a pickle from a machine with a GPU opens on one without.
        """
        self.module_.to("cpu")
        self.device = "cpu"
        self.trim_for_prediction()
        if hasattr(self.criterion_, "forget"):
            self.criterion_.forget()
        self._compiled = self._drawn = None
        self.augmentation = self.checkpoint = None
        self.order_generator_ = self.augmentation_generator_ = None


def _has_run_out(named_callback):
    callback = named_callback[1]
    return isinstance(callback, EarlyStopping) and callback.misses_ >= callback.patience


def _with_target(dataset):
    """Show a data set to callbacks as one of skorch, which is where its scorers find the target."""
    if dataset is None:
        return None
    return Dataset(dataset, dataset.target[dataset.rows].cpu().numpy(), length=len(dataset))
