"""Batches of rows: the image and the table of each row, its target and its weight."""

import copy
import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch.utils.data import Dataset, Sampler


class FusionDataset(Dataset):
    """Images, tables, targets and weights of the same rows, gathered a batch at a time.

    A loader that knows ``__getitems__`` (torch's own does) asks for a whole batch at once: it is
    gathered by index from one tensor, or read from disk together, never collated row by row.

    Parameters
    ----------
    images : Tensor (n, V, C, *S), ImageSource or None
        Images in memory, or a source that reads them when asked. V views per image.
    tabular : Tensor (n, T) or None
        The encoded table.
    target : Tensor (n,) or (n, K), optional
        Class codes or values.
    weight : Tensor (n,), optional
        Weights of the rows in the loss.
    rows : ndarray of int, optional
        The rows that this data set shows, in this order; all of them by default.
    dtype : torch.dtype or None
        Type that images and tables are given out in; None: as they are held.
    names : Index (n,), optional
        What messages call all the rows.
    """

    def __init__(
        self,
        *,
        images=None,
        tabular=None,
        target=None,
        weight=None,
        rows=None,
        dtype=torch.float32,
        names=None,
    ):
        if images is None and tabular is None:
            raise ValueError("A data set needs images, a table or both; got neither.")
        self.images = images
        self.tabular = tabular
        self.target = target
        self.weight = weight
        self.rows = np.arange(len(tabular if images is None else images)) if rows is None else rows
        self.dtype = dtype
        self.names = names
        self.is_weighted = weight is not None and bool((weight != weight[0]).any())

    def __len__(self):
        return len(self.rows)

    @property
    def _tensors(self):
        held = {name: getattr(self, name) for name in ("images", "tabular", "target", "weight")}
        return {name: value for name, value in held.items() if isinstance(value, torch.Tensor)}

    @property
    def reads(self):
        """Whether images are read when they are asked for, and not held as a tensor."""
        return self.images is not None and not isinstance(self.images, torch.Tensor)

    @property
    def image_shape(self):
        """Channels and axes of an image (C, *S); None without images."""
        if self.images is None:
            return None
        if self.reads:
            return (self.images.spec.n_channels, *self.images.spec.shape)
        return tuple(self.images.shape[2:])

    @property
    def nbytes(self):
        """Bytes of all tensors, whatever rows are shown."""
        return sum(tensor.nbytes for tensor in self._tensors.values())

    @property
    def device(self):
        """Where the tensors are, and where batches are gathered."""
        return next((tensor.device for tensor in self._tensors.values()), torch.device("cpu"))

    def subset(self, rows):
        """Show only some rows; the tensors are shared, not copied."""
        return self._with(rows=self.rows[rows])

    def without_target(self):
        """Show the inputs alone, as they are of rows to predict."""
        return self._with(target=None, weight=None, is_weighted=False)

    def to(self, device):
        """Hold all tensors on a device; what is shown of them stays the same."""
        return self._with(**{name: tensor.to(device) for name, tensor in self._tensors.items()})

    def with_images(self, images):
        """Show the same rows with other images; the tensors are shared, not copied."""
        return self._with(images=images)

    def _with(self, **changed):
        other = copy.copy(self)
        vars(other).update(changed)
        return other

    def __getitem__(self, index):
        inputs, outputs = self.__getitems__([index])
        return {name: value[0] for name, value in inputs.items()}, tuple(value[0] for value in outputs)

    def __getitems__(self, indices):
        rows = self.rows[np.asarray(indices)]
        inputs = {}
        if self.reads:
            inputs["image"] = self._typed(torch.from_numpy(self.images.read(rows)))
        rows = torch.from_numpy(rows).to(self.device)
        if isinstance(self.images, torch.Tensor):
            inputs["image"] = self._typed(self.images[rows])
        if self.tabular is not None:
            inputs["tabular"] = self._typed(self.tabular[rows])
        if self.target is None:
            return inputs, ()
        weight = self.weight[rows]
        if self.is_weighted:
            inputs["sample_weight"] = weight  # batch normalisation counts the rows as the loss does
        return inputs, (self.target[rows], weight)

    def _typed(self, values):
        return values if self.dtype is None else values.to(self.dtype)


class BatchSampler(Sampler):
    """Indices of the rows, a batch at a time, in a fresh order each epoch where asked.

    As few batches as hold all rows, and of like sizes, which differ by one row at most: the statistics of a
    last batch of two rows would disturb batch normalisation, and of one row there are none.

    Parameters
    ----------
    n_rows, batch_size : int
        Number of rows in all, and in a batch at most (of 2: one batch holds 3 where a row would be alone).
    generator : torch.Generator or None
        Source of the order; None keeps the rows in theirs.

    Examples
    --------
    >>> [len(batch) for batch in BatchSampler(35, 16)]
    [12, 12, 11]
    """

    def __init__(self, n_rows, batch_size, *, generator=None):
        self.n_rows = n_rows
        self.batch_size = batch_size
        self.generator = generator

    dealt = None  # the indices of the last epoch's batches, in their order

    def __len__(self):
        n_batches = math.ceil(self.n_rows / self.batch_size)
        return n_batches if self.batch_size == 1 else max(1, min(n_batches, self.n_rows // 2))

    def __iter__(self):
        if self.generator is None:
            order = np.arange(self.n_rows)
        else:
            order = torch.randperm(self.n_rows, generator=self.generator).numpy()
        self.dealt = np.array_split(order, len(self))
        yield from self.dealt


class ReadAhead:
    """Batches, each of them read in a thread while the one before it is in use.

    For a device that computes by itself; on a CPU the reader would take the time that it saves.

    Parameters
    ----------
    batches : iterable
        Batches, none of which is None.

    Examples
    --------
    >>> list(ReadAhead([1, 2, 3]))
    [1, 2, 3]
    """

    def __init__(self, batches):
        self.batches = batches

    def __iter__(self):
        with ThreadPoolExecutor(1) as thread:
            batches = iter(self.batches)
            following = thread.submit(next, batches, None)
            while (batch := following.result()) is not None:
                following = thread.submit(next, batches, None)
                yield batch


def pass_batch(batch):
    """Collate nothing: the data set gave the whole batch already."""
    return batch
