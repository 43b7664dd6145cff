"""Rows as tensors, batches by index, and the encoder's checks."""

import threading

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.preprocessing import FunctionTransformer

from skhyperfusion._encoder import RowEncoder
from skhyperfusion._engine._batches import BatchSampler, FusionDataset, ReadAhead


def make_dataset(n_rows=6, **kwargs):
    return FusionDataset(
        images=torch.arange(n_rows * 4.0).reshape(n_rows, 1, 1, 2, 2),
        tabular=torch.arange(n_rows, dtype=torch.float64)[:, None],
        target=torch.arange(n_rows),
        weight=torch.ones(n_rows),
        **kwargs,
    )


def test_batch_equals_its_rows():
    dataset = make_dataset()
    inputs, (target, weight) = dataset.__getitems__([4, 1])
    for i, row in enumerate([4, 1]):
        alone, outputs = dataset[row]
        assert torch.equal(inputs["image"][i], alone["image"])
        assert torch.equal(inputs["tabular"][i], alone["tabular"])
        assert (target[i], weight[i]) == outputs


def test_subset_of_subset_counts_its_own_rows():
    subset = make_dataset().subset(np.array([5, 3, 1])).subset(np.array([2, 0]))
    assert len(subset) == 2
    assert subset.__getitems__([0, 1])[1][0].tolist() == [1, 5]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dtype_of_inputs_is_the_one_asked_for(dtype):
    inputs, _ = make_dataset(dtype=dtype).__getitems__([0])
    assert {value.dtype for value in inputs.values()} == {dtype}


def test_inputs_keep_their_types_when_no_dtype_is_asked_for():
    inputs, _ = make_dataset(dtype=None).__getitems__([0])
    assert (inputs["image"].dtype, inputs["tabular"].dtype) == (torch.float32, torch.float64)


def test_dataset_on_a_device_gathers_its_batches_there():
    here = make_dataset(dtype=torch.float64).subset(np.array([4, 2, 1]))
    there = here.to("meta")
    assert (here.device.type, there.device.type) == ("cpu", "meta")
    assert here.nbytes == there.nbytes == 6 * (4 * 4 + 8 + 8 + 4)
    inputs, outputs = there.__getitems__([0, 2])
    assert {value.device.type for value in (*inputs.values(), *outputs)} == {"meta"}
    assert inputs["image"].shape == (2, 1, 1, 2, 2)
    assert inputs["image"].dtype == torch.float64
    assert len(there) == 3


def test_dataset_whose_images_are_read_says_so():
    assert not make_dataset().reads
    assert FusionDataset(images=object(), rows=np.arange(2)).reads


def test_read_ahead_reads_the_next_batch_while_the_one_before_is_in_use():
    second = threading.Event()

    def batches():
        yield 1
        second.set()
        yield 2

    ahead = iter(ReadAhead(batches()))
    assert next(ahead) == 1
    assert second.wait(timeout=30)  # nobody has asked for it yet
    assert list(ahead) == [2]


def test_read_ahead_raises_in_its_turn_and_ends_when_it_is_left():
    def batches(bad):
        yield from range(3)
        if bad:
            raise ValueError("unreadable")

    ahead = iter(ReadAhead(batches(bad=True)))
    assert [next(ahead) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="unreadable"):
        next(ahead)
    before = threading.active_count()
    for _ in ReadAhead(batches(bad=False)):
        break
    assert threading.active_count() == before
    assert list(ReadAhead([])) == []
    again = ReadAhead([1, 2])  # an epoch after the other
    assert (list(again), list(again)) == ([1, 2], [1, 2])


def test_dataset_of_nothing_is_refused():
    with pytest.raises(ValueError, match="images, a table or both"):
        FusionDataset()


@pytest.mark.parametrize(
    ("n_rows", "batch_size", "sizes"),
    [
        (8, 4, [4, 4]), (9, 4, [3, 3, 3]), (10, 4, [4, 3, 3]), (1, 4, [1]), (3, 4, [3]), (200, 64, [50] * 4),
        (5, 2, [3, 2]), (3, 2, [3]), (3, 1, [1, 1, 1]),
    ],
)  # fmt: skip
def test_batches_are_of_like_sizes_and_none_of_a_single_row(n_rows, batch_size, sizes):
    sampler = BatchSampler(n_rows, batch_size)
    batches = list(sampler)
    assert [len(batch) for batch in batches] == sizes
    assert len(sampler) == len(sizes)
    assert np.concatenate(batches).tolist() == list(range(n_rows))


def test_batches_with_generator_differ_by_epoch_and_repeat_by_seed():
    sampler = BatchSampler(20, 20, generator=torch.Generator().manual_seed(0))
    first, second = next(iter(sampler)), next(iter(sampler))
    assert not np.array_equal(first, second)
    assert np.array_equal(np.sort(first), np.arange(20))
    again = BatchSampler(20, 20, generator=torch.Generator().manual_seed(0))
    assert np.array_equal(next(iter(again)), first)


def make_encoder(preprocessor):
    return RowEncoder(
        image_columns=(),
        tabular_columns=("age", "sex"),
        pixels=False,
        image_loader=None,
        tabular_preprocessor=preprocessor,
    )


def test_encoder_without_preprocessor_names_column_and_row_of_a_gap():
    frame = pd.DataFrame({"age": [1.0, np.nan], "sex": [0, 1]}, index=["p1", "p2"])
    with pytest.raises(ValueError, match=r"'age'.*1 row: 'p2'.*tabular_preprocessor='default'"):
        make_encoder(None).fit_table(frame, np.arange(2))


def test_encoder_whose_preprocessor_leaves_text_names_it():
    frame = pd.DataFrame({"age": [1.0, 2.0], "sex": ["F", "M"]}, index=["p1", "p2"])
    with pytest.raises(ValueError, match=r"'sex'.*2 rows: 'p1', 'p2'.*first holds 'F'"):
        make_encoder(FunctionTransformer()).fit_table(frame, np.arange(2))
