"""How far the generated weights move over a table, by what they do to the output."""

import contextlib
from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from sklearn.decomposition import PCA
from sklearn.utils import Bunch

from skhyperfusion._rules import Number, RandomState, check_argument, private_random_state
from skhyperfusion._typing import Estimator, Seed
from skhyperfusion.inspection._answers import Findings, as_rows, check_column
from skhyperfusion.inspection._attribution import table_columns
from skhyperfusion.inspection._members import Answer, encoded, members_of
from skhyperfusion.inspection._reuse import fixed_outputs, outputs_before
from skhyperfusion.nn._externalize import ExternalLayer
from skhyperfusion.nn._fusions import HyperFusion
from skhyperfusion.nn._layout import lay_out_images

NAME = "weight_modulation"


def weight_modulation(
    estimator: Estimator,
    X: pd.DataFrame,
    *,
    columns: Sequence[str] | None = None,
    n_pairs: int = 50,
    n_images: int = 32,
    random_state: Seed = None,
) -> Bunch:
    """Measure whether the hypernetwork uses what it is given: what its weights do, by layer and column.

    One layer after the other is given the weights of another row, or of the same row with one column from
    another; all other layers keep theirs. How far the output moves, over many pairs of rows and the same
    images, is the effect. The weights' own norms tell nothing: generators start with matrices as large for
    noise as for what matters.

    Parameters
    ----------
    estimator : estimator
        Fitted with ``fusion="hyper"``: a classifier, regressor or survival model, a fold ensemble of them
        (effects are averaged over its models), a search, or a pipeline that ends in one. It is not changed.
    X : DataFrame (n_samples, n_features)
        Rows, as in the estimator's ``fit``; at least two.
    columns : list of str, default=None
        The user's own columns, not what they are encoded to. None: those that the estimator calls
        ``tabular_columns_``; of a pipeline they must be named.
    n_pairs : int, default=50
        Pairs of rows.
    n_images : int, default=32
        Rows whose images are looked at under the weights of each pair, at most.
    random_state : int, RandomState or None, default=None
        Source of pairs and images.

    Returns
    -------
    Bunch
        ``values``: a DataFrame of layers and columns, the effect: by how much the output moves
        (root mean square) where one column differs, over the square root of two, relative to the standard
        deviation of the predictions. ``interaction``: the part of it that differs
        between images, likewise: zero for a column that shifts all predictions alike. ``share``: the
        columns' parts of the summed squares of a layer. ``spread``: a Series by layer, the effect of all
        columns together. ``map``: a DataFrame of the rows of X, the first two principal components of the
        first layer's embedding (of an ensemble, its first model's), and ``explained``, their parts of its
        variance. ``data``: the columns of X; ``names``: the columns.

    Raises
    ------
    TypeError
        If X is no DataFrame, or the estimator is none of this package's.
    ValueError
        If the network generates no weights from the table, a column is absent, or X has one row.

    See Also
    --------
    ModulationDisplay : Draws it.
    conditioning_profile : Predictions with one column varied.

    Notes
    -----
    The output is the log-odds of every class, the value, or the risk, as in `image_attribution`. With f the
    output for image i, t' and t'' two rows' tables that agree but for column c (Jansen 1999) ::

        effect_c^2 = mean_(pairs, i) (f_i(t') - f_i(t''))^2 / 2

    and for the interaction the variance over images takes the place of the mean square.

    References
    ----------
    Jansen, "Analysis of variance designs for model output", Computer Physics Communications 117, 1999.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from skhyperfusion import HyperFusionRegressor
    >>> rng = np.random.default_rng(0)
    >>> X = pd.DataFrame({"scan": list(rng.normal(size=(40, 8, 8))), "dose": rng.normal(size=40)})
    >>> X["noise"] = rng.normal(size=40)
    >>> model = HyperFusionRegressor(base_channels=2, max_epochs=40, random_state=0)
    >>> model = model.fit(X, 3 * X["dose"] + rng.normal(size=40))
    >>> found = weight_modulation(model, X, random_state=0)
    >>> bool(found.share.loc["backbone.block4.shortcut.conv", "dose"] > 0.6)
    True
    """
    X = as_rows(X, NAME)
    if len(X) < 2:
        raise ValueError(f"{NAME} compares rows and needs two at least.")
    for name, value in {"n_pairs": n_pairs, "n_images": n_images}.items():
        check_argument(NAME, name, value, [Number(int, 1)])
    check_argument(NAME, "random_state", random_state, [RandomState()])
    members = members_of(estimator, X, NAME)
    for member in members:
        _check_fusion(member.estimator)
    columns = table_columns(estimator, NAME) if columns is None else list(columns)
    for column in columns:
        check_column(X, column, NAME)
    rng = private_random_state(random_state)
    images = rng.permutation(len(X))[:n_images]
    first = rng.randint(len(X), size=n_pairs)
    second = (first + rng.randint(1, len(X), size=n_pairs)) % len(X)
    swapped = [_swapped(X, first, second, [column]) for column in columns]
    tables = [X.iloc[first], *swapped, _swapped(X, first, second, columns)]
    by_table = [members_of(estimator, table, NAME) for table in tables]
    found = [
        _effects(member, [one[i] for one in by_table], images, first) for i, member in enumerate(members)
    ]
    return _findings(found, members[0], X, columns)


def _check_fusion(estimator):
    fusion = estimator.module_.fusion
    if isinstance(fusion, HyperFusion):
        return
    why = (
        "generates weights from the image"
        if estimator.fusion == "reverse" and hasattr(fusion, "hypernetwork")
        else "generates none"
    )
    raise ValueError(
        f"{NAME} looks at weights that are generated from the table, and fusion={estimator.fusion!r} {why}. "
        "Fit with fusion='hyper'; conditioning_profile and modality_contribution take every fusion."
    )


def _swapped(X, first, second, columns):
    table = X.iloc[first].copy()
    for column in columns:
        table[column] = X[column].iloc[second].array
    return table


@torch.no_grad()
def _effects(member, tables, images, first):
    """Return mean squares, relative to the predictions' variance: (2, n_layers, n_columns + 1).

    The first are those of whole effects, the second those of what differs between images.
    """
    source, own = encoded(member)
    answer = Answer(member.estimator)
    hypernetwork = answer.network.fusion.hypernetwork
    encoder = member.estimator._encoder
    like = {"dtype": answer.dtype, "device": answer.device}

    def embed(table):
        return hypernetwork.embed(torch.as_tensor(table, **like))

    base, *others = [
        embed(encoder.encode_table(table.frame, source.view(first))) for table in tables
    ]  # each a list of (n_pairs, E), one for each layer
    run = _Runs(answer, torch.as_tensor(source.read(images), **like))
    squares = np.zeros((2, len(hypernetwork.slots), len(others)))
    for pair in range(len(first)):
        plain = [one[pair] for one in base]
        before = run(plain)
        for layer in range(len(plain)):
            for column, other in enumerate(others):
                changed = [*plain[:layer], other[layer][pair], *plain[layer + 1 :]]
                moved = run(changed) - before  # (n_images, K)
                squares[0, layer, column] += float(moved.square().mean())
                squares[1, layer, column] += float(moved.var(0, correction=0).mean())
    predictions = run([one[images] for one in embed(own)])
    return squares / (2 * len(first)) / (float(predictions.var(0, correction=0).mean()) or 1.0)


class _Runs:
    """A network on the same images again and again, under other generated weights.

    What comes before the first external layer is computed once.
    """

    def __init__(self, answer, images):
        self.answer = answer
        self.hypernetwork = answer.network.fusion.hypernetwork
        self.views = [lay_out_images(view) for view in images.unbind(1)]
        self.n_images = len(images)
        self.known = [{} for _ in self.views]
        embedding = [
            torch.zeros(generator.embedding_dim, dtype=answer.dtype, device=answer.device)
            for generator in self.hypernetwork.generators
        ]
        plain = self(embedding)
        layer = self._first_layer(embedding)
        self.known = [
            outputs_before(answer.network, layer, lambda view=view: self._view(view, embedding))
            for view in self.views
        ]
        # Not so where a module works otherwise than by being called, or writes into its input.
        if not torch.allclose(self(embedding), plain, rtol=1e-5, atol=1e-6):
            self.known = [{} for _ in self.views]

    def __call__(self, embeddings):
        """Return the answers of all images (n_images, K).

        The embeddings are one for each layer: (E,), the same for all images, or (n_images, E).
        """
        outputs = []
        for view, known in zip(self.views, self.known, strict=True):
            with fixed_outputs(known) if known else contextlib.nullcontext():
                outputs.append(self._view(view, embeddings))
        return self.answer.decode(torch.stack(outputs, dim=1))

    def _view(self, view, embeddings):
        network = self.answer.network
        embeddings = [one.expand(self.n_images, -1) for one in embeddings]
        with self.hypernetwork.supply_embeddings(embeddings):
            return network.fusion.output(network, network.fusion.features(network, view, None))

    def _first_layer(self, embedding):
        """Return the external layer that is called first."""
        called = []
        hooks = [
            layer.register_forward_pre_hook(lambda layer, _: called.append(layer))
            for layer in self.answer.network.modules()
            if isinstance(layer, ExternalLayer)
        ]
        try:
            self._view(self.views[0], embedding)
        finally:
            for hook in hooks:
                hook.remove()
        return called[0]


def _findings(found, member, X, columns):
    layers = pd.Index(member.estimator.external_layers_, name="layer")
    effect, interaction = np.mean(found, axis=0)
    squares = pd.DataFrame(effect[:, :-1], index=layers, columns=columns)
    total = squares.sum(axis=1)
    embedding = _embedding(member)
    n_components = min(2, *embedding.shape)
    pca = PCA(n_components, svd_solver="full").fit(embedding)
    places = np.zeros((len(X), 2))
    places[:, :n_components] = pca.transform(embedding)
    explained = np.zeros(2)
    explained[:n_components] = np.nan_to_num(pca.explained_variance_ratio_)
    return Findings(
        values=np.sqrt(squares),
        interaction=np.sqrt(pd.DataFrame(interaction[:, :-1], index=layers, columns=columns)),
        share=squares.div(total.where(total > 0, 1.0), axis=0),
        spread=pd.Series(np.sqrt(effect[:, -1]), index=layers, name="spread"),
        map=pd.DataFrame(places, index=X.index, columns=["first", "second"]),
        explained=explained,
        data=X[columns],
        names=columns,
    )


@torch.no_grad()
def _embedding(member):
    answer = Answer(member.estimator)
    table = torch.as_tensor(encoded(member)[1], dtype=answer.dtype, device=answer.device)
    return answer.network.fusion.hypernetwork.embed(table)[0].double().cpu().numpy()
