"""An embedding -> the weights and bias of one layer, by an affine map."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from skhyperfusion._typing import HyperInit

RESIDUAL_SCALE = 0.1
INITIALISATIONS = ("principled", "residual")


class AffineGenerator(nn.Module):
    """Generate one layer's weight and bias from an embedding: ``W = G e + c``, ``b = R e + d``.

    G is stored with the embedding's axis first, ``(E, *weight_shape)``. So ``e @ G`` gives every
    sample's weights in one matrix product, and ``G`` seen as ``(E * O, I)`` is the one matrix of the
    basis way (`ExternalLinear.from_basis`), which never builds them. Both views copy nothing.

    Parameters
    ----------
    embedding_dim : int
        E.
    weight_shape : sequence of int
        Shape of the generated weight, the output channels first.
    bias : bool, default=True
        Whether a bias is generated too.
    relu_follows : bool, default=False
        Whether a rectifier reads the layer's output: it halves the signal, which the principled
        initialisation makes up for.
    init : {'principled', 'residual'}, default='principled'
        'principled': Chang, Flokas and Lipson (2020), fan-in form; ``c = d = 0``.
        'residual': ``c`` and ``d`` are those of the layer that is replaced, and G and R are drawn at
        a tenth of the principled scale, so that training starts near the plain network.
    constant : tuple of Tensor and Tensor or None, optional
        The replaced layer's weight and bias, if it has one. Needed for 'residual'.

    Shapes
    ------
    - embedding : (B, E)
    - output : weight (B, *weight_shape) and bias (B, O) or None

    Examples
    --------
    >>> generator = AffineGenerator(8, (4, 3))
    >>> weight, bias = generator(torch.ones(5, 8))
    >>> weight.shape, bias.shape
    (torch.Size([5, 4, 3]), torch.Size([5, 4]))
    """

    def __init__(
        self,
        embedding_dim: int,
        weight_shape: Sequence[int],
        *,
        bias: bool = True,
        relu_follows: bool = False,
        init: HyperInit = "principled",
        constant: tuple[torch.Tensor, torch.Tensor | None] | None = None,
    ) -> None:
        super().__init__()
        if init not in INITIALISATIONS:
            raise ValueError(f"'init' must be one of {INITIALISATIONS}. Got {init!r} instead.")
        if init == "residual" and constant is None:
            raise ValueError("init='residual' needs 'constant', the weight and bias to start from.")
        self.embedding_dim = embedding_dim
        self.weight_shape = tuple(weight_shape)
        self.relu_follows = relu_follows
        self.init = init
        # Device and dtype of the layer that is replaced, so that a moved backbone stays whole.
        like: dict[str, Any] = (
            {} if constant is None else {"device": constant[0].device, "dtype": constant[0].dtype}
        )
        self.weight_basis = nn.Parameter(torch.empty(embedding_dim, *self.weight_shape, **like))
        self.weight_constant = nn.Parameter(torch.zeros(self.weight_shape, **like))
        if bias:
            n_out = self.weight_shape[0]
            self.bias_basis = nn.Parameter(torch.empty(embedding_dim, n_out, **like))
            self.bias_constant = nn.Parameter(torch.zeros(n_out, **like))
        else:
            self.register_parameter("bias_basis", None)
            self.register_parameter("bias_constant", None)
        if init == "residual" and constant is not None:
            with torch.no_grad():
                self.weight_constant.copy_(constant[0])
                if bias and constant[1] is not None:
                    self.bias_constant.copy_(constant[1])
        self.initialize()

    @torch.no_grad()
    def initialize(self, mean_square: float = 1.0) -> None:
        """Draw G and R for embeddings whose components have this mean square.

        Parameters
        ----------
        mean_square : float, default=1.0
            v, measured on the training table. Zero (an embedding that is zero for every row) carries
            no information about the scale, and is read as 1.
        """
        weight_variance, bias_variance = self.variances(mean_square)
        scale = RESIDUAL_SCALE if self.init == "residual" else 1.0
        bound = scale * math.sqrt(3 * weight_variance)
        nn.init.uniform_(self.weight_basis, -bound, bound)
        if self.bias_basis is not None:
            bound = scale * math.sqrt(3 * bias_variance)
            nn.init.uniform_(self.bias_basis, -bound, bound)

    def variances(self, mean_square: float = 1.0) -> tuple[float, float]:
        """Return the principled ``Var(G)`` and ``Var(R)`` for embeddings of this mean square."""
        v = float(mean_square)
        if not math.isfinite(v) or v < 0:
            raise ValueError(f"The mean square of the embedding must be finite. Got {v!r} instead.")
        # A denormal v would overflow the bounds; it means "zero" just as well.
        v = v if v > 1e-12 else 1.0
        fan_in = math.prod(self.weight_shape[1:])
        gain = 2.0 if self.relu_follows else 1.0
        if self.bias_basis is None:
            return gain / (fan_in * self.embedding_dim * v), 0.0
        return gain / (2 * fan_in * self.embedding_dim * v), gain / (2 * self.embedding_dim * v)

    def forward(self, embedding: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return the weight and bias of every sample."""
        weight = torch.addmm(self.weight_constant.flatten(), embedding, self.weight_basis.flatten(1))
        return weight.unflatten(1, self.weight_shape), self.bias(embedding)

    def bias(self, embedding: torch.Tensor) -> torch.Tensor | None:
        """Return the bias of every sample, or None."""
        if self.bias_basis is None:
            return None
        return torch.addmm(self.bias_constant, embedding, self.bias_basis)

    def extra_repr(self) -> str:
        """Return the sizes, for ``repr``."""
        return (
            f"embedding_dim={self.embedding_dim}, weight_shape={self.weight_shape}, "
            f"bias={self.bias_basis is not None}, relu_follows={self.relu_follows}, init={self.init!r}"
        )
