"""The types that a file may name, and how each is taken apart and put together.

The list stands here, in the loader; a file chooses from it and cannot add to it. Names are those of the file
format: a type may move in the package without its files becoming unreadable.
"""

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import VotingClassifier, VotingRegressor
from sklearn.pipeline import Pipeline
from sklearn.utils import Bunch

from skhyperfusion._encoder import RowEncoder
from skhyperfusion._engine._net import FusionNet
from skhyperfusion._estimators import HyperFusionClassifier, HyperFusionRegressor
from skhyperfusion._sklearn_private import PLAIN_TYPES, CalibratedClassifier
from skhyperfusion._survival import SurvivalTarget
from skhyperfusion._survival_estimator import HyperFusionSurvival
from skhyperfusion._table._missing import MissingValues
from skhyperfusion._table._notation import Notation
from skhyperfusion._table._numbers import NumberReader
from skhyperfusion._table._preprocessor import TabularPreprocessor
from skhyperfusion._table._schema import TableSchema
from skhyperfusion._table._seen import SeenValues
from skhyperfusion._target import LabelTarget, ValueTarget
from skhyperfusion._wording import show
from skhyperfusion.brain_age._bias import AgeBias
from skhyperfusion.brain_age._corrector import AgeBiasCorrector
from skhyperfusion.ensemble._folds import FoldEnsembleClassifier, FoldEnsembleRegressor
from skhyperfusion.ensemble._survival_folds import FoldEnsembleSurvival
from skhyperfusion.ensemble._voting import ConfidenceVotingClassifier
from skhyperfusion.features._image_features import ImageFeatures
from skhyperfusion.features._network import NetworkFeatures
from skhyperfusion.features._voxels import VoxelFeatures
from skhyperfusion.images._loader import ImageLoader
from skhyperfusion.images._spec import ImageSpec
from skhyperfusion.nn._fusion import FusionNetwork
from skhyperfusion.persistence._archive import DamagedFileError
from skhyperfusion.presets import mni152_hippocampi

#: Types inside scikit-learn's objects that skops asks about, and that were looked at: plain data, no code.
SKOPS_TYPES = frozenset(
    {
        "numpy.dtype",
        "skhyperfusion._table._imputation.StandardizedImputer",
        "skhyperfusion._table._impute.numeric_columns",
        *PLAIN_TYPES,
    }
)
#: Parameters that name folders: of the machine that trained, and no one else's business.
FOLDERS = ("root", "cache_dir", "checkpoint_dir")
#: Functions that a parameter may be: this package's own.
FUNCTIONS = {"mni152_hippocampi": mni152_hippocampi}


class NotSaved:
    """Stands for a parameter that no file can hold: a function, a class, an object of the user's.

    The estimator's own checks refuse it in `fit`, by its words.
    """

    def __init__(self, what):
        self.what = what

    def __repr__(self):
        return f"<{self.what}, which the file of the model does not hold: set this parameter again>"

    def __sklearn_clone__(self):
        return self


class MissingParameterError(ValueError):
    """A model cannot be put together without a parameter that the caller must give again."""


class Plain:
    """An object whose attributes are all there is to it."""

    def __init__(self, cls, dropped=()):
        self.cls = cls
        self.dropped = dropped

    def new(self):
        return self.cls.__new__(self.cls)

    def take_apart(self, value, encoder):
        return {name: None if name in self.dropped else item for name, item in vars(value).items()}

    def put_together(self, value, state, decoder):
        vars(value).update(state)
        return value


class Fields(Plain):
    """A tuple with names."""

    def new(self):
        return None

    def take_apart(self, value, encoder):
        return value._asdict()

    def put_together(self, value, state, decoder):
        return self.cls(**state)


class Mapping(Plain):
    """A dict of a kind of its own."""

    def new(self):
        return self.cls()

    def take_apart(self, value, encoder):
        return dict(value)

    def put_together(self, value, state, decoder):
        value.update(state)
        return value


class Estimator(Plain):
    """One of ours: parameters and what was learned, but for the network, whose weights are a member."""

    def take_apart(self, value, encoder):
        state = super().take_apart(value, encoder)
        if "net_" not in state:
            return state
        del state["net_"]
        member = f"weights/{len(encoder.members)}.safetensors"
        encoder.members[member] = save_tensors(
            {name: tensor.contiguous() for name, tensor in value.module_.state_dict().items()}
        )
        module = value.module_
        network = {
            "weights": member,
            "architecture": module.architecture,
            "frozen": list(module.frozen_layers),
        }
        return {**state, "network": network}

    def put_together(self, value, state, decoder):
        network = state.pop("network", None)
        value = super().put_together(value, state, decoder)
        if network is not None:
            weights = decoder.archive.read(network["weights"])
            module = build_network(network["architecture"], weights, network.get("frozen", ()))
            value.net_ = FusionNet.around(module, value._target)
        return value


class FrozenNetwork(Plain):
    """Features by a network of the user's: its weights are a member, and what makes it is given again."""

    def take_apart(self, value, encoder):
        state = super().take_apart(value, encoder)
        member = f"weights/{len(encoder.members)}.safetensors"
        encoder.members[member] = save_tensors(
            {name: tensor.contiguous() for name, tensor in state.pop("module_").state_dict().items()}
        )
        # By the name of the parameter of `ImageFeatures`, by which it is given at loading.
        return {**state, "method": state.pop("make"), "weights": member}

    def put_together(self, value, state, decoder):
        make, member = state.pop("method"), state.pop("weights")
        if isinstance(make, NotSaved):
            raise MissingParameterError(
                f"The features of images were made by method={make.what}, which the file does not hold. "
                "Give it again: load_model(path, method=...)."
            )
        value = super().put_together(value, {**state, "make": make}, decoder)
        value.build()
        try:
            value.module_.load_state_dict(load_tensors(decoder.archive.read(member)))
        except (SafetensorError, RuntimeError) as error:
            raise DamagedFileError(
                f"The weights are not those of the network that method={show(make)} makes: {error}"
            ) from error
        return value


def build_network(architecture, weights, frozen):
    """Build a network around the weights of a file; the file cannot make it allocate more than these take.

    `frozen` are the layers that were not trained, as `FusionNetwork.freeze` takes them.

    Raises
    ------
    DamagedFileError
        If the weights are not those of such a network.
    """
    if isinstance(architecture["backbone"], NotSaved):
        raise MissingParameterError(
            f"The network was built with backbone={architecture['backbone'].what}, which the file does "
            "not hold. "
            "Give it again: load_model(path, backbone=...)."
        )
    try:
        tensors = load_tensors(weights)
    except SafetensorError as error:
        raise DamagedFileError(f"The weights of the network cannot be read: {error}") from error
    if architecture["hyper_depth"] > len(tensors):  # a layer has a tensor at least
        raise DamagedFileError(
            f"A network of {len(tensors)} tensors has no {architecture['hyper_depth']} layers."
        )
    try:
        with torch.device("meta"):  # no memory: a file may ask for a network of any size
            module = FusionNetwork(**architecture).freeze(frozen)
    except RuntimeError as error:  # torch's word for sizes beyond any memory
        raise DamagedFileError(f"There is no network as the file describes it: {error}") from error
    wanted = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if wanted != found:
        name = sorted(set(wanted.items()) ^ set(found.items()))[0][0]
        raise DamagedFileError(
            f"The weights are not those of the network that the file describes: {name!r} is of shape "
            f"{show(found.get(name))} in the file, and {show(wanted.get(name))} in the network."
        )
    module.load_state_dict(tensors, assign=True)
    return module.eval()


OURS = {
    "HyperFusionClassifier": Estimator(HyperFusionClassifier, dropped=FOLDERS),
    "HyperFusionRegressor": Estimator(HyperFusionRegressor, dropped=FOLDERS),
    "HyperFusionSurvival": Estimator(HyperFusionSurvival, dropped=FOLDERS),
    "SurvivalTarget": Plain(SurvivalTarget),
    "LabelTarget": Plain(LabelTarget),
    "ValueTarget": Plain(ValueTarget),
    "RowEncoder": Plain(RowEncoder),
    "ImageLoader": Plain(ImageLoader, dropped=FOLDERS),
    "ImageSpec": Plain(ImageSpec),
    "MissingValues": Plain(MissingValues),
    "Notation": Plain(Notation),
    "NumberReader": Plain(NumberReader),
    "SeenValues": Plain(SeenValues),
    "TableSchema": Plain(TableSchema),
    "TabularPreprocessor": Plain(TabularPreprocessor),
    "FoldEnsembleClassifier": Plain(FoldEnsembleClassifier),
    "FoldEnsembleRegressor": Plain(FoldEnsembleRegressor),
    "FoldEnsembleSurvival": Plain(FoldEnsembleSurvival),
    "ConfidenceVotingClassifier": Plain(ConfidenceVotingClassifier),
    "AgeBiasCorrector": Plain(AgeBiasCorrector),
    "ImageFeatures": Plain(ImageFeatures),
    "VoxelFeatures": Plain(VoxelFeatures),
    "NetworkFeatures": FrozenNetwork(NetworkFeatures),
    "AgeBias": Fields(AgeBias),
    # scikit-learn's, which may hold ours inside.
    "Pipeline": Plain(Pipeline),
    "VotingClassifier": Plain(VotingClassifier),
    "VotingRegressor": Plain(VotingRegressor),
    "TransformedTargetRegressor": Plain(TransformedTargetRegressor),
    "CalibratedClassifierCV": Plain(CalibratedClassifierCV),
    "CalibratedClassifier": Plain(CalibratedClassifier),
    "Bunch": Mapping(Bunch),
}
_NAMES = {kind.cls: name for name, kind in OURS.items()}
_FUNCTION_NAMES = {function: name for name, function in FUNCTIONS.items()}


def without_folders(estimator):
    """Return an estimator of the same parameters, not fitted, that names no folder."""
    bare = clone(estimator, safe=False)
    named = [name for name in bare.get_params() if name.rpartition("__")[2] in FOLDERS]
    return bare.set_params(**dict.fromkeys(named)) if named else bare


def name_of(cls):
    """Return the name that the file format has for a type, or None."""
    return _NAMES.get(cls)


def function_name(function):
    """Return the name that the file format has for a function, or None."""
    return _FUNCTION_NAMES.get(function)
