"""Dropout for large maps on a CPU."""

import torch
from torch import nn
from torch.nn import functional as F

_VALUES = 1 << 16  # of a number of 16 bits


class Dropout(nn.Dropout):
    """Dropout that draws random numbers for four values at a time, on a CPU.

    There torch draws one after the other in one thread, which takes a fifth of a step of the residual
    network. A quarter of the draws has bits enough: 16 for each value, so that a rate is met to 1 in 65,536.
    On other devices, and compiled, it is torch's own.

    Shapes
    ------
    - input, output : any

    Examples
    --------
    >>> dropout = Dropout(0.5)
    >>> dropped = dropout(torch.ones(1000))
    >>> dropped.unique()
    tensor([0., 2.])
    """

    def forward(self, input):
        """Set values to zero at random, and scale the others, in training mode; else return `input`."""
        if not self.training or self.p == 0:
            return input
        if input.device.type != "cpu" or torch.compiler.is_compiling():
            return F.dropout(input, self.p, True)
        n_dropped = min(round(self.p * _VALUES), _VALUES - 1)
        mask = torch.empty_like(input, dtype=torch.bool)  # laid out as the input is, and dense
        n = input.numel()
        bits = torch.empty(-(-n // 4), dtype=torch.int64).random_(-(2**63), None).view(torch.int16)[:n]
        torch.ge(bits, n_dropped - _VALUES // 2, out=mask.as_strided((n,), (1,)))
        return (input * mask).mul_(_VALUES / (_VALUES - n_dropped))
