"""What is said when numbers leave all bounds in training, or a GPU's memory is not enough."""

from contextlib import contextmanager

import torch

from skhyperfusion._wording import listing

# Numbers that a network is given are of the order of one; what lies beyond this is told of.
_LARGE_INPUT = 1e4


def is_finite(loss, parameters):
    """Tell whether a loss and all gradients are finite."""
    parts = [parameter.grad.sum() for parameter in parameters if parameter.grad is not None]
    return bool(torch.stack([loss.detach().double(), *(part.double() for part in parts)]).isfinite().all())


def divergence(loss, inputs, *, epoch, batch, names, lr):
    """Return the error of a step whose loss or gradient is not finite.

    Parameters
    ----------
    loss : Tensor ()
        Of the batch.
    inputs : dict of str to Tensor (B, ...)
        What the network was given, and the target.
    epoch, batch : int
        Counted from 1.
    names : sequence or None
        Of the rows of the batch; None where they are not known.
    lr : float
        The learning rate of the step.

    Returns
    -------
    FloatingPointError
    """
    is_loss = not bool(loss.isfinite())
    what = f"the loss is {loss.item():.4g}" + ("" if is_loss else ", and its gradient not finite")
    rows = "" if names is None else f" ({listing(names)})"
    return FloatingPointError(
        f"Training diverged: in epoch {epoch}, batch {batch}{rows}, {what}, at a learning rate of {lr:g}. "
        f"{_largest(inputs, names)}Lower lr, or check the scale of the images, of the table and of the "
        "target: look for numbers far from all others."
    )


def _largest(inputs, names):
    """Name the row whose numbers are far too large for a network, if there is one."""
    for name, noun in (("tabular", "encoded table"), ("image", "images"), ("target", "target")):
        if name not in inputs:
            continue
        sizes = inputs[name].detach().abs().reshape(len(inputs[name]), -1).amax(1)
        row = int(sizes.argmax())
        if not sizes[row] <= _LARGE_INPUT:
            owner = "" if names is None else f" (row {names[row]!r})"
            return f"The largest number of the {noun} is {sizes[row].item():.3g}{owner}. "
    return ""


@contextmanager
def told_of_memory(doing, dataset, batch_size, precision):
    """Say, where a GPU's memory ends inside the block, of what and what to do. Nothing is tried again.

    Parameters
    ----------
    doing : str
        Such as "training".
    dataset : FusionDataset
        Whose rows are computed.
    batch_size : int
        Of them at a time.
    precision : str

    Raises
    ------
    torch.cuda.OutOfMemoryError
    """
    try:
        yield
    except torch.cuda.OutOfMemoryError as error:
        shape = dataset.image_shape
        what = "" if shape is None else f", images of shape {' x '.join(map(str, shape))}"
        smaller = "" if shape is None else " ImageLoader(shape=...) with fewer voxels,"
        halved = " precision='bfloat16'," if doing == "training" and precision == "float32" else ""
        raise torch.cuda.OutOfMemoryError(
            f"The GPU's memory is not enough for {doing} with batch_size={batch_size}{what}, in {precision}. "
            f"Pass a smaller batch_size,{smaller}{halved} a smaller base_channels, or device='cpu'. {error}"
        ) from error
