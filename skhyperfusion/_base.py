"""What the two estimators share: from a table with images to a trained network, and back to predictions."""

import copy

import numpy as np
import pandas as pd
import torch
from sklearn.base import BaseEstimator, clone
from sklearn.utils.validation import (
    _check_sample_weight,
    check_consistent_length,
    check_is_fitted,
    column_or_1d,
)

from skhyperfusion._encoder import RowEncoder
from skhyperfusion._engine._augmentation import make_augmentation
from skhyperfusion._engine._batches import FusionDataset
from skhyperfusion._engine._callbacks import ValidationScore
from skhyperfusion._engine._collapse import warn_if_collapsed
from skhyperfusion._engine._device import has_room, resolve_precision, seeded, spread_device
from skhyperfusion._engine._holdout import split_holdout
from skhyperfusion._engine._predict import predict_outputs
from skhyperfusion._engine._train import train
from skhyperfusion._parameters import PARAMETER_RULES, RESERVED_NET_PARAMS
from skhyperfusion._rules import check_parameters, private_random_state
from skhyperfusion._table._columns import check_table, resolve_columns
from skhyperfusion._table._preprocessor import TabularPreprocessor
from skhyperfusion.images._loader import ImageLoader
from skhyperfusion.nn._fusion import FusionNetwork

MIN_ROWS_EARLY_STOPPING = 1000  # a tenth of fewer rows cannot tell one epoch from another
# Least learning rate of the pre-training. Its few hundred weights are not the image network's: at the
# paper's 1e-4 they are worse than the class frequencies after 10 epochs; at this rate they have converged.
PRETRAIN_LR = 1e-2


class BaseHyperFusion(BaseEstimator):
    """Everything but what y is.

    A subclass states ``_own_rules`` (of the parameters that it alone has) and defines ``_new_target``, which
    makes the `Target` of a fit.
    """

    def _fit(self, X, y, sample_weight, groups):
        check_parameters(self, PARAMETER_RULES | self._own_rules)
        # Whatever is learned waits until the end: a fit that fails leaves the model of before as it was.
        header = copy.copy(self)  # is told the names of the columns
        frame = check_table(header, X, reset=not self._continues())
        target = self._new_target()
        values = target.learn(y, frame.index, previous=self._target if self._continues() else None)
        weight = _check_sample_weight(sample_weight, np.empty((len(frame), 1)), ensure_non_negative=True)
        if groups is not None:
            groups = column_or_1d(groups)
            check_consistent_length(frame, groups)
        # A row of weight zero counts as absent: it is not even read.
        kept = np.flatnonzero(weight)
        if len(kept) < 2:
            raise ValueError(
                f"Fitting needs at least 2 rows of positive weight, but n_samples = {len(kept)}."
            )
        frame, values, weight = frame.iloc[kept], values[kept], weight[kept]
        groups = None if groups is None else groups[kept]

        random_state = private_random_state(self.random_state)
        encoder, groups = self._start_encoder(frame, groups, has_names=hasattr(header, "feature_names_in_"))
        train_rows, valid_rows = self._hold_out(target.strata(values), len(frame), groups, random_state)
        weight = target.row_weights(values, weight)
        target.fit(values[train_rows], weight[train_rows])
        dataset = self._encode_training(encoder, frame, target, values, weight, train_rows, valid_rows)
        monitor = self._monitor(target, values, valid_rows)
        device = spread_device(self.device)
        with seeded(random_state.randint(2**31), device):
            module = self._start_network(encoder, target, dataset, train_rows, device, random_state)
            trained = self._train(
                module, target, dataset, train_rows, valid_rows, monitor, device, random_state
            )
        self._store(header, encoder, target, trained)
        if trained.interrupted:
            raise KeyboardInterrupt
        warn_if_collapsed(
            self.module_,
            dataset.subset(train_rows),
            device=device,
            estimator_name=type(self).__name__,
            lr=self.lr,
        )
        return self

    def embed(self, X):
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

    def save(self, path):
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

    def set_params(self, **params):
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
    def module_(self):
        """The fitted torch network."""
        try:
            return self.net_.module_
        except AttributeError:
            raise AttributeError(f"{type(self).__name__} has no module_ before fit.") from None

    def _continues(self):
        return self.warm_start and hasattr(self, "net_")

    def _start_encoder(self, frame, groups, has_names):
        """Settle which column plays which part: (RowEncoder, groups)."""
        name = type(self).__name__
        roles = resolve_columns(
            frame,
            image_columns=self.image_columns,
            group_column=self.group_column,
            has_names=has_names,
            estimator_name=name,
            on_no_image="ignore" if self.fusion == "tabular" else "tabular",
        )
        if roles.group is not None:
            if groups is not None:
                raise ValueError(
                    f"{name} got both group_column={self.group_column!r} and groups=: pass one of them."
                )
            groups = frame[roles.group].to_numpy()
        if groups is not None:
            groups = _group_codes(groups)
        self._fusion = self.fusion if roles.image else "tabular"
        if self._fusion != "image" and not roles.tabular:
            raise ValueError(
                f"fusion={self.fusion!r} needs tabular columns, but X has {frame.shape[1]} feature(s), and "
                f"{list(roles.image)} hold images. Pass fusion='image', or add columns."
            )
        if self._continues():
            return self._encoder, groups
        encoder = RowEncoder(
            image_columns=() if self._fusion == "tabular" else roles.image,
            tabular_columns=() if self._fusion == "image" else roles.tabular,
            pixels=roles.pixels,
            image_loader=ImageLoader() if self.image_loader is None else clone(self.image_loader),
            tabular_preprocessor=self._new_preprocessor(),
        )
        return encoder, groups

    def _new_preprocessor(self):
        if self.tabular_preprocessor == "default":
            return TabularPreprocessor(image_columns=None)
        if self.tabular_preprocessor == "passthrough":
            return None
        return clone(self.tabular_preprocessor)

    def _hold_out(self, labels, n_rows, groups, random_state):
        """Rows to train on, and rows that choose the best epoch (None without early stopping)."""
        stops_early = self.early_stopping
        if stops_early == "auto":
            stops_early = n_rows >= MIN_ROWS_EARLY_STOPPING
        if not stops_early:
            return np.arange(n_rows), None
        return split_holdout(
            n_rows, self.validation_fraction, labels=labels, groups=groups, random_state=random_state
        )

    def _encode_training(self, encoder, frame, target, values, weight, train_rows, valid_rows):
        source = encoder.open_images(frame, verbose=self.verbose)
        if self._continues():
            tabular = encoder.encode_table(frame, source)
        else:
            tabular = encoder.fit_table(frame, train_rows, source)
        for rows in (train_rows, valid_rows):
            if rows is not None:
                weight[rows] /= weight[rows].mean()
        dtype = torch.float64 if self.precision == "float64" else torch.float32
        coded = target.encode(values)
        images = source
        if source is not None and source.fits_in_memory:
            images = torch.from_numpy(source.stack(verbose=self.verbose))
        return FusionDataset(
            images=images,
            tabular=None if tabular is None else torch.from_numpy(tabular),
            target=torch.from_numpy(coded).to(torch.int64 if coded.dtype.kind == "i" else dtype),
            weight=torch.from_numpy(weight).to(dtype),
            dtype=dtype,
        )

    def _start_network(self, encoder, target, dataset, train_rows, device, random_state):
        if self._continues():
            return copy.deepcopy(self.module_)
        spec = encoder.image_spec
        module = FusionNetwork(
            backbone=self.backbone,
            fusion=self._fusion,
            n_tabular_features=0 if dataset.tabular is None else dataset.tabular.shape[1],
            n_outputs=target.n_outputs,
            task=target.task,
            in_channels=0 if spec is None else spec.n_channels,
            spatial_shape=() if spec is None else spec.shape,
            base_channels=self.base_channels,
            dropout=self.dropout,
            external_layers=self.external_layers,
            hyper_depth=self.hyper_depth,
            hyper_width=self.hyper_width,
            embedding_dim=self.embedding_dim,
            shared_embedding=self.shared_embedding,
            hyper_init=self.hyper_init,
        ).to(dataset.dtype)
        if self.pretrain_embedding and module.has_embedding:
            self._pretrain(module, target, dataset, train_rows, device, random_state)
        if dataset.tabular is not None:  # after the pre-training: the generators' scale is the embedding's
            table = dataset.tabular[train_rows].to(dataset.dtype)
            module.initialize(table, sample_weight=dataset.weight[train_rows])
        return module

    def _pretrain(self, module, target, dataset, train_rows, device, random_state):
        """Train the embedding on the table of the training rows, with a linear head that is thrown away."""
        table = FusionDataset(
            tabular=dataset.tabular, target=dataset.target, weight=dataset.weight, dtype=dataset.dtype
        )
        settings = self._training_settings(target, device, random_state)
        settings["lr"] = max(settings["lr"], PRETRAIN_LR)
        try:
            trained = train(
                module.tabular_network(target.n_outputs),
                self._held_where_it_fits(table, device).subset(train_rows),
                max_epochs=self.pretrain_embedding,
                verbose=self.verbose,
                stage="embedding, epoch",
                **settings,
            )
        except FloatingPointError as error:
            error.add_note(
                "This happened while the embedding was pre-trained "
                f"(pretrain_embedding={self.pretrain_embedding})."
            )
            raise
        if trained.interrupted:
            raise KeyboardInterrupt

    def _monitor(self, target, values, valid_rows):
        """Make what scores the rows held out, or None where their loss does."""
        if valid_rows is None or self.monitor == "loss":
            return None
        name = self.monitor if isinstance(self.monitor, str) else "score"
        truth = target.original(values[valid_rows])
        return ValidationScore(target.scorer(self.monitor), target.predictions, truth, f"valid_{name}")

    def _train(self, module, target, dataset, train_rows, valid_rows, monitor, device, random_state):
        augmentation = None
        if dataset.images is not None:
            spatial_dims = dataset.images.ndim - 3 if isinstance(dataset.images, torch.Tensor) else None
            augmentation = make_augmentation(self.augmentation, spatial_dims)
        dataset = self._held_where_it_fits(dataset, device)
        return train(
            module,
            dataset.subset(train_rows),
            valid_set=None if valid_rows is None else dataset.subset(valid_rows),
            monitor=monitor,
            patience=self.n_iter_no_change,
            max_epochs=self.max_epochs,
            callbacks=clone(self.callbacks, safe=False),
            net_params=self._checked_net_params(),
            augmentation=augmentation,
            compile=self.compile,
            lr_scales=self._lr_scales(module),
            verbose=self.verbose,
            **self._training_settings(target, device, random_state),
        )

    def _held_where_it_fits(self, dataset, device):
        """Hold the rows on the device if they fit, unless the user asks for what loads them from a CPU."""
        settings = (self.net_params or {}).items()
        on_cpu = any(name.endswith(("num_workers", "pin_memory")) and value for name, value in settings)
        if dataset.reads or on_cpu or not has_room(device, dataset.nbytes):
            return dataset
        return dataset.to(device)

    def _lr_scales(self, module):
        """Return what the learning rate of each generating matrix is multiplied by: name -> factor."""
        scale = self.hyper_lr_scale
        return {
            name: 1 / n_read if scale == "auto" else float(scale)
            for name, n_read in module.generator_matrices().items()
        }

    def _training_settings(self, target, device, random_state):
        return {
            "loss": target.loss,
            "n_classes": target.n_classes,
            "lr": self.lr,
            "batch_size": self.batch_size,
            "optimizer": self.optimizer,
            "weight_decay": self.weight_decay,
            "lr_schedule": self.lr_schedule,
            "device": device,
            "precision": resolve_precision(self.precision, device),
            "seed": random_state.randint(2**31),
        }

    def _checked_net_params(self):
        for name in self.net_params or {}:
            if name in RESERVED_NET_PARAMS:
                own = RESERVED_NET_PARAMS[name]
                hint = "it is made by the estimator" if own is None else f"set the parameter {own!r} instead"
                raise ValueError(f"net_params of {type(self).__name__} may not set {name!r}: {hint}.")
        return self.net_params

    def _store(self, header, encoder, target, trained):
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
            "best_epoch_": trained.best_epoch,
            "_encoder": encoder,
            "_target": target,
        }
        if hasattr(header, "feature_names_in_"):
            learned["feature_names_in_"] = header.feature_names_in_
        kept = {name: value for name, value in vars(self).items() if name != "feature_names_in_"}
        self.__dict__ = kept | learned

    def _outputs(self, X, method="forward"):
        """Run the network over the rows of X: (n, V, K) in float64, one result per view."""
        check_is_fitted(self, "net_")
        return predict_outputs(
            self.module_,
            self._encode_rows(check_table(self, X, reset=False), None),  # cast batch by batch, and once
            device=spread_device(self.device, fitted=True),
            batch_size=self.batch_size,
            method=method,
        )

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


def _group_codes(groups):
    """Integer codes of subject ids; a row without an id is a subject of its own."""
    codes, names = pd.factorize(pd.Series(np.asarray(groups, dtype=object)))
    alone = codes < 0
    codes[alone] = len(names) + np.arange(alone.sum())
    return codes
