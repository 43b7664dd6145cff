"""The parameters that the estimators share: what each may be, and what its documentation says."""

import os
import re
import textwrap

import torch

from skhyperfusion._rules import (
    AnyOf,
    Boolean,
    Callable,
    HasMethods,
    InstanceOf,
    Nothing,
    Number,
    OneOf,
    RandomState,
    SequenceOf,
)

FUSIONS = (
    "hyper", "concat", "film", "daft", "tabattention", "max", "multiply", "reverse", "late", "image",
    "tabular",
)  # fmt: skip
# What is handed on under its own name: to `FusionNetwork`, and in the settings of a training.
NETWORK_SETTINGS = (
    "backbone", "base_channels", "dropout", "external_layers", "hyper_depth", "hyper_width", "embedding_dim",
    "shared_embedding", "hyper_init",
)  # fmt: skip
TRAINING_SETTINGS = (
    "max_epochs", "batch_size", "lr", "optimizer", "weight_decay", "lr_schedule", "compile", "verbose",
)  # fmt: skip
TRANSFORMER = HasMethods("fit", "transform")


class SkorchCallback(HasMethods):
    """A callback of skorch: an instance, its class, or a pair of a name and one of these."""

    def __init__(self):
        super().__init__("on_train_begin", "on_epoch_end", noun="a skorch callback")

    def accepts(self, value):
        if isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], str):
            value = value[1]
        return all(callable(getattr(value, method, None)) for method in self.methods)


PARAMETER_RULES = {
    "image_columns": [
        OneOf("auto"),
        Nothing(),
        InstanceOf(str),
        Number(int),
        SequenceOf(AnyOf(InstanceOf(str), Number(int))),
    ],
    "image_loader": [Nothing(), HasMethods("open", "get_params")],
    "tabular_preprocessor": [OneOf("default", "passthrough"), TRANSFORMER],
    "group_column": [Nothing(), InstanceOf(str), Number(int)],
    "augmentation": [Nothing(), OneOf("shift", "light", "medical"), Callable()],
    "fusion": [OneOf(*FUSIONS)],
    "backbone": [OneOf("resnet", "vgg", "resnet-paper", "vgg-paper"), Callable()],
    "base_channels": [Number(int, 1)],
    "dropout": [Number(float, 0, 1, closed="left"), SequenceOf(Number(float, 0, 1, closed="left"))],
    "external_layers": [Nothing(), InstanceOf(str), SequenceOf(InstanceOf(str))],
    "frozen_layers": [Nothing(), InstanceOf(str), SequenceOf(InstanceOf(str))],
    "hyper_depth": [Number(int, 0)],
    "hyper_width": [Number(int, 1)],
    "embedding_dim": [Number(int, 1)],
    "shared_embedding": [Boolean()],
    "hyper_init": [OneOf("principled", "residual")],
    "hyper_lr_scale": [OneOf("auto"), Number(float, 0, closed="neither")],
    "pretrain_embedding": [Number(int, 0)],
    "max_epochs": [OneOf("auto"), Number(int, 1)],
    "lr": [Number(float, 0, closed="neither")],
    "backbone_lr_scale": [Number(float, 0, closed="neither")],
    "batch_size": [Number(int, 1)],
    "optimizer": [OneOf("adamw", "adam", "sgd"), Callable()],
    "weight_decay": [Number(float, 0)],
    "lr_schedule": [Nothing(), OneOf("cosine"), Callable()],
    "early_stopping": [OneOf("auto"), Boolean()],
    "validation_fraction": [Number(float, 0, 1, closed="neither")],
    "n_iter_no_change": [Number(int, 1)],
    "monitor": [InstanceOf(str), Callable()],
    "callbacks": [Nothing(), SequenceOf(SkorchCallback(), empty=True)],
    "net_params": [Nothing(), InstanceOf(dict)],
    "warm_start": [Boolean()],
    "checkpoint_dir": [Nothing(), InstanceOf(str, os.PathLike)],
    "device": [InstanceOf(str, torch.device)],
    "precision": [OneOf("auto", "float32", "bfloat16", "float64")],
    "compile": [Boolean()],
    "random_state": [Nothing(), RandomState()],
    "verbose": [Number(int, 0), Boolean()],
}

DATA_PARAMETERS = """\
image_columns : "auto", str, int, list of these or None, default="auto"
    Columns that hold images. "auto": every column whose cells are all paths with a known suffix,
    arrays or nibabel images; None: no column does. Several columns are stacked as channels. Numeric columns
    named here are the pixels of one image, of the grid that ``image_loader.shape`` gives. A position counts
    the columns of the ``X`` that the estimator receives.
image_loader : ImageLoader, default=None
    How images are read, resampled and scaled; None: ``ImageLoader()``.
tabular_preprocessor : {"default", "passthrough"} or transformer, default="default"
    Encodes the other columns; fitted on the rows that the network trains on and no others.
    "default": a fresh `TabularPreprocessor`; "passthrough": the columns are finite numbers already.
group_column : str or int, default=None
    Column with the subject's id: no feature, but the rows of one subject stay on one side of the
    internal validation split.
augmentation : {"shift", "light", "medical"}, transform, callable or None, default="shift"
    Random changes of training images, never of others. "shift": moved by up to a twentieth of each axis;
    "light": mirrored left to right as well; "medical": MONAI's transforms (extra ``medical``); or a MONAI
    or torchio transform, or a function of a batch (B, C, *S)."""

NETWORK_PARAMETERS = """\
fusion : str, default="hyper"
    How image and table are joined. "hyper": the table generates weights of the network that reads the
    image; "concat", "film", "daft": the paper's rivals on the same backbone; "tabattention": the table
    helps to choose the channels and places to look at; "max", "multiply": features of both, element by
    element; "reverse": the image generates weights of a network that reads the table; "late": the
    predictions of two networks, one for each side, are averaged; "image", "tabular": one side alone.
backbone : {"resnet", "vgg", "resnet-paper", "vgg-paper"} or callable, default="resnet"
    Network that reads the image: a pre-activation residual network, a plain network, the same two as the
    paper has them (units of their heads die in training), or ``(in_channels, spatial_dims) ->
    torch.nn.Module`` giving features (B, C) or a map (B, C, *S).
base_channels : int, default=16
    Channels after the first convolution of a built-in backbone; deeper ones are multiples of it.
dropout : float or sequence of float, default=0.2
    Dropout probability before and inside the head; or one for each place: of "resnet" the four blocks and
    these two, of "vgg" before the head, of another backbone these two.
external_layers : str or sequence of str, default=None
    Names or `fnmatch` patterns of the layers whose weights the hypernetwork makes, such as
    ``"backbone.block4.shortcut*"`` or ``"head.*"``; None: the backbone's own choice. With "reverse",
    "head.hidden1" (None) and "head.output" of the network that reads the table.
frozen_layers : str or sequence of str, default=None
    Names or patterns, as in `external_layers`, of what is not trained: ``"backbone.*"`` for a pretrained
    network. It stays in evaluation mode, batch normalisation included. Where it is the whole backbone and
    nothing in it is external, the backbone's output is computed once per image and kept beside it for all
    epochs, folds and candidates; ``augmentation`` must then be None. So is that of its first layers, without
    augmentation and where it is known what runs after what: of named backbones and of an ``nn.Sequential``,
    if the outputs fit into the loader's memory. Of a layer that is external, too, the
    weights stay and the part that the table adds is trained, with ``hyper_init="residual"``: fine-tuning by
    the table.
hyper_depth : int, default=0
    Layers of the embedding network. 0 feeds the table straight to the weight generators, which learns from
    fewer subjects; 1, the paper's choice, suits wide tables, since the generators hold a copy of the external
    layers for each number that they read. With "reverse" it reads the image's features.
hyper_width : int, default=32
    Units of every layer of the embedding network but the last; used from ``hyper_depth=2``. Also those of
    the network that reads the table with "tabular", "late" and "reverse".
embedding_dim : int, default=8
    Units of its last layer: the size of the embedding; used from ``hyper_depth=1``. A fit warns of values
    that are not used.
shared_embedding : bool, default=True
    One embedding network for all external layers, or one for each.
hyper_init : {"principled", "residual"}, default="principled"
    Start of the weight generators: generated weights of the variance that a plain layer's would have,
    or a plain (pretrained, where the backbone is) layer with a small part that depends on the table.
hyper_lr_scale : "auto" or float, default="auto"
    Learning rate of the matrices that generate weights, as a multiple of ``lr``. "auto": one over the numbers
    that the generator reads, so that a generated weight moves about as far in a step as any other; 1: as all
    others, so that it moves the farther the wider the table is.
pretrain_embedding : int, default=0
    Epochs in which the embedding network first learns the target from the table of the training rows alone,
    with a linear head that is then thrown away. Trained as the whole is, but at a learning rate of at least
    1e-2. Used by "hyper" from ``hyper_depth=1``, "late" and "tabular"."""

TRAINING_PARAMETERS = """\
max_epochs : int or "auto", default=100
    Passes over the training rows. "auto": fewer the more there are of these, in batches of 16 77 epochs of 60
    rows, 44 of 200, 26 of 600, 14 of 2000 (40 steps times the root of their number; those held out do not
    count). With ``warm_start`` each fit trains as many again.
lr : float, default=3e-3
    Learning rate.
backbone_lr_scale : float, default=1.0
    Learning rate of the backbone's own weights, as a multiple of ``lr``; below 1 for fine-tuning.
batch_size : int, default=16
    Rows per step. It has no influence on predictions.
optimizer : {"adamw", "adam", "sgd"} or callable, default="adamw"
    Or a torch optimizer class.
weight_decay : float, default=1e-2
    The optimizer's weight decay.
lr_schedule : "cosine", callable or None, default="cosine"
    "cosine": a short rise, then half a cosine down to zero; None: constant; or
    ``optimizer -> torch scheduler``, stepped once per epoch.
{task_training}
early_stopping : "auto" or bool, default="auto"
    Hold out part of the training rows, and restore the epoch that is best on them; "auto": from 1000
    training rows. Otherwise the last epoch counts.
validation_fraction : float, default=0.1
    Share of the training rows that early stopping holds out.
n_iter_no_change : int, default=15
    Epochs without a better one before training stops early.
monitor : "loss", str or scorer, default="loss"
    What tells the best epoch on the rows held out: the loss, or a scikit-learn scorer or its name.
callbacks : list of skorch callbacks, default=None
    Cloned for each fit.
net_params : dict, default=None
    Further settings of the skorch net, such as ``{"iterator_train__num_workers": 2}``.
warm_start : bool, default=False
    Go on from the network of the previous fit instead of from a new one, with the columns, the reading of
    images and the preprocessing of that fit: changes of those parameters wait for a fit without it.
checkpoint_dir : path, default=None
    Folder in which each epoch is kept, so that a fit whose process was killed goes on where it stood when it
    is started again with the same data and parameters, and ends as if nothing had happened: bit for bit on a
    CPU. It needs a `random_state`. A folder belongs to one fit; another is refused by what differs. ``{fit}``
    in the path stands for a name made of data and parameters: so the fits of a search have a folder each."""

MACHINE_PARAMETERS = """\
device : str or torch.device, default="auto"
    "auto": CUDA if there is one; the workers of a parallel search spread over the GPUs.
precision : {"auto", "float32", "bfloat16", "float64"}, default="auto"
    Of training. "auto": bfloat16 autocast on a CUDA device that has it, else float32.
compile : bool, default=False
    Train with ``torch.compile``: some seconds to a minute before the first step, faster steps after it. On a
    CPU it needs a C++ compiler. Predictions, pickles and ``module_`` are those of the plain network.
random_state : int, RandomState or None, default=None
    Source of the start, the split, the order of rows, dropout and augmentation. With an int the same
    machine gives the same model, bit for bit.
verbose : int, default=0
    When positive, a bar on stderr while images are decoded, and a printed line per epoch: losses, learning
    rate, seconds, the time to go and in all; for one number to be predicted also what the losses are as root
    mean squared errors in y's own unit ("RMSE of y"; of training under dropout and augmentation). At 0 no
    line: a fit that will take over a minute gives one `UserWarning` that says how long, and what shortens it.
    A process is told again where another fit takes half as long again, or two thirds."""

SHARED_ATTRIBUTES = """\
n_features_in_ : int
    Number of columns of ``X``.
feature_names_in_ : ndarray of str
    Their names, where all are strings.
image_columns_, tabular_columns_ : list of str
    Columns that images are read from, and columns that the preprocessor encodes.
tabular_preprocessor_ : transformer or None
    The fitted preprocessor.
image_spec_ : ImageSpec or None
    Shape, spacing, orientation and intensity rule of the images; later ones are checked against it.
external_layers_ : tuple of str
    Names of the layers whose weights the hypernetwork makes.
module_ : torch.nn.Module
    The fitted network.
net_ : skorch.NeuralNet
    The net that trained it, without data, optimizer and callbacks.
history_ : DataFrame
    One row per epoch: losses, learning rate, seconds.
n_iter_ : int
    Epochs trained.
max_epochs_ : int
    Epochs that there were to be: ``max_epochs``, or what "auto" made of the number of training rows.
best_epoch_ : int
    Epoch whose weights were kept, counted from 1."""


def _fill(doc, name, text):
    """Put a text where its name stands, at the same margin; Python 3.13 has cut that of docstrings."""
    return re.sub(
        rf"^( *)\{{{name}\}}", lambda place: textwrap.indent(text, place[1]), doc, flags=re.MULTILINE
    )


def document(cls, *, task_data="", task_training=""):
    """Fill the shared parameters and attributes into a class docstring, and return the class."""
    parts = {
        "data": DATA_PARAMETERS,
        "network": NETWORK_PARAMETERS,
        "training": TRAINING_PARAMETERS.replace("{task_training}", task_training),
        "machine": MACHINE_PARAMETERS,
        "attributes": SHARED_ATTRIBUTES,
    }
    for name, text in parts.items():
        cls.__doc__ = _fill(cls.__doc__, name, text)
    return cls
