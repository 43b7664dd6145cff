"""What the estimators share: from a table with images to a trained network, and back to predictions."""

import copy
from dataclasses import replace
from typing import Any, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator, clone
from sklearn.utils.validation import check_is_fitted

from skhyperfusion._encoder import RowEncoder, make_preprocessor
from skhyperfusion._engine._allocator import told_where_too_large
from skhyperfusion._engine._augmentation import make_augmentation
from skhyperfusion._engine._batches import FusionDataset
from skhyperfusion._engine._callbacks import ValidationScore
from skhyperfusion._engine._collapse import warn_if_collapsed
from skhyperfusion._engine._device import hold_where_it_fits, resolve_precision, seeded, spread_device
from skhyperfusion._engine._frozen import FrozenMaps, keeps_maps
from skhyperfusion._engine._holdout import (
    group_by,
    hold_out,
    mean_one,
    rows_that_weigh,
    warn_of_absent_classes,
)
from skhyperfusion._engine._net import check_net_params
from skhyperfusion._engine._predict import predict_outputs
from skhyperfusion._engine._pretrain import pretrain_embedding
from skhyperfusion._engine._train import TrainingSettings, lr_scales, train
from skhyperfusion._identity import backbone_code, make_checkpoint
from skhyperfusion._parameters import NETWORK_SETTINGS, PARAMETER_RULES, TRAINING_SETTINGS
from skhyperfusion._rules import check_names, check_parameters, private_random_state
from skhyperfusion._table._columns import check_table, resolve_columns
from skhyperfusion._table._missing import warn_of_codes_as_values
from skhyperfusion._table._preprocessor import TabularPreprocessor
from skhyperfusion._typing import PathLike, TableLike
from skhyperfusion._unused import warn_of_unused_parameters
from skhyperfusion._wording import listing, show
from skhyperfusion.images._loader import ImageLoader
from skhyperfusion.nn._fusion import FusionNetwork


class BaseHyperFusion(BaseEstimator):
    """Everything but what y is.

    A subclass states ``_own_rules`` (of the parameters that it alone has) and defines ``_new_target``, which
    makes the `Target` of a fit.
    """

    _keeps_maps = False  # whether a frozen part of the backbone has run once per image, and not in training

    def __new__(cls, *args, **params):
        check_names(cls, params)
        return super().__new__(cls)

    def _fit(self, X, y, sample_weight, groups):
        check_parameters(self, PARAMETER_RULES | self._own_rules)
        check_net_params(self.net_params or {}, type(self).__name__)
        # What is learned waits for _store: a fit that fails leaves the model of before as it was.
        header = copy.copy(self)  # is told the names of the columns
        frame = check_table(header, X, reset=not self._continues())
        target = self._new_target()
        values = target.learn(y, frame.index, previous=self._target if self._continues() else None)
        if target.loss == "squared_error":
            warn_of_codes_as_values(values, frame.index)
        rows = rows_that_weigh(frame, values, sample_weight, groups)
        roles, rows = self._resolve_columns(rows, has_names=hasattr(header, "feature_names_in_"))
        fusion = self._effective_fusion(roles, frame.shape[1])
        encoder = self._encoder if self._continues() else self._new_encoder(roles, fusion)
        random_state = private_random_state(self.random_state)
        strata = target.strata(rows.values)
        rows = hold_out(rows, strata, self.early_stopping, self.validation_fraction, random_state)
        warn_of_unused_parameters(
            self, fusion,
            holds_out=rows.valid is not None,
            architecture=self.module_.architecture if self._continues() else None,
        )  # fmt: skip
        dataset = self._encode_training(encoder, target, rows)
        monitor = self._monitor(target, rows)
        device = spread_device(self.device)
        with seeded(random_state.randint(2**31), device):
            if self._continues():
                module = copy.deepcopy(self.module_)
            else:
                module = self._new_network(fusion, encoder, target, dataset)
                self._initialize(module, target, dataset, rows, device, random_state)
            # A network without image has no such layers, as in a search over `fusion`.
            module.freeze(None if module.backbone is None else self.frozen_layers)
            keeps = keeps_maps(module, dataset.images, self.augmentation)
            dataset = self._with_images(dataset, module, device, keeps)
            spec = encoder.image_spec
            settings = replace(
                self._training_settings(target, device, random_state),
                lr_scales=lr_scales(module, self.hyper_lr_scale, self.backbone_lr_scale),
                augmentation=None if spec is None else make_augmentation(self.augmentation, len(spec.shape)),
            )
            settings = replace(settings, checkpoint=make_checkpoint(self, module, dataset, rows, settings))
            trained = self._train(module, dataset, rows, settings, monitor)
        if target.needs_outputs:
            self._finish_target(target, trained.net.module_, dataset, rows, device)
        self._store(header, encoder, target, trained, keeps)
        if trained.interrupted:
            raise KeyboardInterrupt
        warn_if_collapsed(
            self.module_,
            dataset.subset(rows.train),
            device=device, estimator_name=type(self).__name__, lr=self.lr,
        )  # fmt: skip
        return self

    def embed(self, X: TableLike) -> np.ndarray:
        """Features that enter the network's last layer.

        Parameters
        ----------
        X : DataFrame or array (n_samples, n_features)
            Rows as in `fit`.

        Returns
        -------
        ndarray (n_samples, d)
            Averaged over the views of an image where it has several.
        """
        return self._outputs(X, method="features").mean(axis=1)

    def save(self, path: PathLike) -> None:
        """Save the fitted estimator to one file, which `skhyperfusion.persistence.load_model` reads.

        Parameters
        ----------
        path : path
            The file to write, whole or not at all; one that is there is replaced.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.
        TypeError
            If a parameter cannot be held by a file; the message names it.

        See Also
        --------
        skhyperfusion.persistence.save_model : The same for ensembles and pipelines, and with a card.
        """
        from skhyperfusion.persistence._models import save_model  # the one arrow that points up

        save_model(self, path)

    def set_params(self, **params: Any) -> Self:
        """Set parameters, nested ones too, as ``image_loader__shape`` and ``tabular_preprocessor__imputer``.

        Parameters
        ----------
        **params : dict
            Where a nested parameter is given of an image loader or a tabular preprocessor that is left at its
            default, one is made to hold it.

        Returns
        -------
        HyperFusionClassifier or HyperFusionRegressor
            This estimator.
        """
        nested = {name.partition("__")[0] for name in params if "__" in name}
        if "image_loader" in nested and params.get("image_loader", self.image_loader) is None:
            params["image_loader"] = ImageLoader()
        preprocessor = params.get("tabular_preprocessor", self.tabular_preprocessor)
        if "tabular_preprocessor" in nested and isinstance(preprocessor, str):
            if preprocessor != "default":
                raise ValueError(
                    f"'tabular_preprocessor' is {preprocessor!r}, which has no parameters to set. "
                    "Pass tabular_preprocessor=TabularPreprocessor(), or another transformer."
                )
            params["tabular_preprocessor"] = TabularPreprocessor(image_columns=None)
        return super().set_params(**params)

    @property
    def module_(self) -> torch.nn.Module:
        """The fitted torch network."""
        try:
            return self.net_.module_
        except AttributeError:
            raise AttributeError(f"{type(self).__name__} has no module_ before fit.") from None

    def _continues(self):
        return self.warm_start and hasattr(self, "net_")

    def _resolve_columns(self, rows, has_names):
        """Settle which column plays which part: (ColumnRoles, the rows with their groups)."""
        name = type(self).__name__
        roles = resolve_columns(
            rows.frame,
            image_columns=self.image_columns,
            group_column=self.group_column,
            has_names=has_names,
            estimator_name=name,
            on_no_image="ignore" if self.fusion == "tabular" else "tabular",
        )
        if roles.group is not None:
            rows = group_by(rows, roles.group, name)
        return roles, rows

    def _effective_fusion(self, roles, n_features):
        """Return the fusion that these columns allow: without an image the table stands alone."""
        fusion = self.fusion if roles.image else "tabular"
        if fusion != "image" and not roles.tabular:
            raise ValueError(
                f"fusion={self.fusion!r} needs tabular columns, but X has {n_features} feature(s), and "
                f"{list(roles.image)} hold images. Pass fusion='image', or add columns."
            )
        return fusion

    def _new_encoder(self, roles, fusion):
        return RowEncoder(
            image_columns=() if fusion == "tabular" else roles.image,
            tabular_columns=() if fusion == "image" else roles.tabular,
            pixels=roles.pixels,
            image_loader=ImageLoader() if self.image_loader is None else clone(self.image_loader),
            tabular_preprocessor=make_preprocessor(self.tabular_preprocessor),
        )

    def _encode_training(self, encoder, target, rows):
        """Learn from the training rows how rows are encoded, and encode all: a FusionDataset."""
        weight = target.row_weights(rows.values, rows.weight)
        target.fit(rows.values[rows.train], weight[rows.train])
        source = encoder.open_images(rows.frame, verbose=self.verbose)
        if self._continues():
            tabular = encoder.encode_table(rows.frame, source)
        else:
            tabular = encoder.fit_table(
                rows.frame, rows.train, source, target=rows.values, groups=rows.groups
            )
        weight = mean_one(weight, rows)
        dtype = torch.float64 if self.precision == "float64" else torch.float32
        coded = target.encode(rows.values)
        return FusionDataset(
            images=source,
            tabular=None if tabular is None else torch.from_numpy(tabular),
            target=torch.from_numpy(coded).to(torch.int64 if coded.dtype.kind == "i" else dtype),
            weight=torch.from_numpy(weight).to(dtype),
            dtype=dtype,
            names=rows.frame.index,
        )

    def _monitor(self, target, rows):
        """Make what scores the rows held out, or None where their loss does."""
        if rows.valid is None:
            return None
        warn_of_absent_classes(target.lacking(rows.values[rows.valid]), len(rows.valid), self.monitor)
        if self.monitor == "loss":
            return None
        name = self.monitor if isinstance(self.monitor, str) else "score"
        truth = target.original(rows.values[rows.valid])
        return ValidationScore(
            target.scorer(self.monitor), target.predictions, truth, f"valid_{name}", show(self.monitor)
        )

    def _new_network(self, fusion, encoder, target, dataset):
        spec = encoder.image_spec
        with told_where_too_large(
            base_channels=self.base_channels, hyper_width=self.hyper_width, embedding_dim=self.embedding_dim
        ):
            network = FusionNetwork(
                fusion=fusion,
                n_tabular_features=0 if dataset.tabular is None else dataset.tabular.shape[1],
                n_outputs=target.n_outputs,
                task=target.task,
                in_channels=0 if spec is None else spec.n_channels,
                spatial_shape=() if spec is None else spec.shape,
                **{name: getattr(self, name) for name in NETWORK_SETTINGS},
            )
        return network.to(dataset.dtype)

    def _initialize(self, module, target, dataset, rows, device, random_state):
        """Pre-train the embedding where asked, then draw the generators for the training rows' table."""
        if dataset.tabular is None:
            return
        if self.pretrain_embedding and module.has_embedding:
            settings = self._training_settings(target, device, random_state)
            pretrain_embedding(
                module, dataset, rows, settings, n_epochs=self.pretrain_embedding, n_outputs=target.n_outputs
            )
        table = dataset.tabular[rows.train].to(dataset.dtype)
        # After the pre-training: the generators' scale is the embedding's.
        module.initialize(table, sample_weight=dataset.weight[rows.train])

    def _with_images(self, dataset, module, device, keeps_maps):
        """Hold the images where they fit into memory, or what a frozen part of the backbone makes of them."""
        source = dataset.images
        if keeps_maps:
            maps = self._maps(module, source, device)
            return dataset.with_images(torch.from_numpy(maps.read(range(len(maps)))))
        if source is None or not source.fits_in_memory:
            return dataset
        return dataset.with_images(torch.from_numpy(source.stack(verbose=self.verbose)))

    def _maps(self, module, source, device):
        return FrozenMaps(module, backbone_code(module.architecture), source, device)

    def _train(self, module, dataset, rows, settings, monitor):
        dataset = hold_where_it_fits(dataset, settings.device, settings.net_params)
        valid_set = None if rows.valid is None else dataset.subset(rows.valid)
        return train(module, dataset.subset(rows.train), settings, valid_set=valid_set, monitor=monitor)

    def _finish_target(self, target, module, dataset, rows, device):
        """Tell the target what the trained network says of the rows that it was trained on."""
        inputs = dataset.subset(rows.train).without_target()
        outputs = predict_outputs(module, inputs, device=device, batch_size=self.batch_size)
        weight = dataset.weight[rows.train].double().cpu().numpy()
        target.finish(outputs.mean(axis=1), rows.values[rows.train], weight)

    def _training_settings(self, target, device, random_state):
        """Return how to train for this target; what a network has of its own is to be filled in."""
        return TrainingSettings(
            **{name: getattr(target, name) for name in ("loss", "n_classes", "root_scale")},
            **{name: getattr(self, name) for name in TRAINING_SETTINGS},
            lr_scales={},
            patience=self.n_iter_no_change,
            callbacks=clone(self.callbacks or [], safe=False),
            net_params=dict(self.net_params or {}),
            augmentation=None,
            device=device,
            precision=resolve_precision(self.precision, device),
            seed=random_state.randint(2**31),
            stage="epoch",
            epochs_from="max_epochs",
            checkpoint=None,
        )

    def _store(self, header, encoder, target, trained, keeps_maps):
        """Put what a fit has learned in the place of what one before it had, all at once."""
        module = trained.net.module_
        trained.net.module = None  # the fitted one is net_.module_: a pickle would hold the weights twice
        learned = {
            "n_features_in_": header.n_features_in_,
            **target.attributes(),
            "image_columns_": list(encoder.image_columns),
            "tabular_columns_": list(encoder.tabular_columns),
            "tabular_preprocessor_": encoder.tabular_preprocessor,
            "image_spec_": encoder.image_spec,
            "external_layers_": tuple(module.external_layers),
            "net_": trained.net,
            "history_": trained.history,
            "n_iter_": len(trained.history),
            "max_epochs_": trained.max_epochs,
            "best_epoch_": trained.best_epoch,
            "_encoder": encoder,
            "_target": target,
            "_keeps_maps": keeps_maps,
            "_labels_in": header._labels_in,
        }
        if hasattr(header, "feature_names_in_"):
            learned["feature_names_in_"] = header.feature_names_in_
        kept = {name: value for name, value in vars(self).items() if name != "feature_names_in_"}
        self.__dict__ = kept | learned

    def _outputs(self, X, method="forward"):
        """Run the network over the rows of X: (n, V, K) in float64, one result per view."""
        check_is_fitted(self, "net_")
        frame = check_table(self, X, reset=False)
        device = spread_device(self.device, fitted=True)
        dataset = self._encode_rows(frame, None)  # cast batch by batch, and once
        if self._keeps_maps:
            dataset = dataset.with_images(self._maps(self.module_, dataset.images, device))
        outputs = predict_outputs(
            self.module_,
            dataset,
            device=device,
            batch_size=self.batch_size,
            method=method,
        )
        wild = np.flatnonzero(~np.isfinite(outputs).all(axis=(1, 2)))
        if wild.size:
            raise FloatingPointError(
                f"The network has no finite output for {listing(frame.index[wild])}: their numbers are too "
                "far from those of the fit. Correct them, or give NaN where a value is missing."
            )
        return outputs

    def _encode_rows(self, frame, dtype):
        """Encode rows, without targets, by what was learned at the fit."""
        source = self._encoder.open_images(frame, verbose=self.verbose)
        tabular = self._encoder.encode_table(frame, source)
        return FusionDataset(
            images=source, tabular=None if tabular is None else torch.from_numpy(tabular), dtype=dtype
        )

    def __sklearn_is_fitted__(self):
        return hasattr(self, "net_")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        tags.non_deterministic = self.random_state is None
        return tags
