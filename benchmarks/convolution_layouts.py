"""Compare torch's convolutions in both memory formats with a plain reference, on this machine's CPU.

    python benchmarks/convolution_layouts.py

Every kind of convolution that the backbones and the external layers make, small: 1 to 3 axes, 1 to 33
channels, kernels of 1 and 3, strides of 1 and 2, maps from 1 up, one group or one for each of four samples;
float32, float64 and bfloat16 (under autocast, as `fit` has it); one, two and four threads; outputs with and
without gradients, and the gradients of images and kernels. "plain": torch's own format. "last": the channels
last. Beside them the convolutions of large volumes, for which `fit` puts the channels last.

The reference is the same convolution in float64 without oneDNN. A figure is wrong where it differs by more
than rounding, relative to the largest: what was never written differs, since fresh memory is filled with
3e38. A fault may also write where it must not. So batches of cases, of one format each, run in processes of
their own, and one that ends, or stands still, is told with the case that it was at; the next process goes on
behind it.

Processors with AVX-512 also run the kernels for AVX2, which are wrong in more places. A fault that writes
where it must not may end the process some cases later: a lone kernel of 3 beside many of 1 is such a one.
"""

import argparse
import contextlib
import itertools
import math
import multiprocessing
import os
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import torch
from _report import RESULTS
from _speed import save, show
from torch.nn import functional as F

from skhyperfusion._engine._small_maps import SmallMapsInFloat32
from skhyperfusion.nn._layout import lay_out_images

CHANNELS = (1, 2, 3, 4, 5, 6, 7, 8, 15, 16, 33)
FEWER_CHANNELS = (1, 2, 4, 6, 7, 8, 16)
MAPS = {1: (1, 2, 3, 4, 8, 32), 2: (1, 2, 3, 4, 8, 16, 32), 3: (1, 2, 3, 5, 8)}
MOST_PRODUCTS = 1 << 23  # of a small case
# Channels in and out, kernel, stride and side: the residual network of width 8 on 40^3, from its stem to its
# last block; the same of width 16 on 27^3 with three channels; convolutions of the plain network of width 8.
LARGE = (
    (1, 8, 3, 1, 40), (8, 16, 3, 1, 20), (8, 16, 1, 1, 20), (16, 32, 3, 2, 20), (16, 32, 1, 2, 20),
    (32, 64, 3, 2, 10), (64, 128, 1, 2, 5), (64, 128, 3, 2, 5), (128, 128, 3, 1, 3),
    (3, 16, 3, 1, 27), (16, 32, 1, 1, 13), (128, 256, 3, 2, 4), (256, 256, 3, 1, 2),
    (8, 8, 3, 1, 38), (32, 32, 3, 1, 9),
)  # fmt: skip
TOLERANCE = {"float32": 1e-4, "float64": 1e-10, "bfloat16": 3e-2}
PATIENCE = 60  # seconds after which a process that says nothing stands still
PARTS = ("output", "gradient of the image", "gradient of the kernel", "output without gradients")
FORMATS = {"plain": False, "last": True}
CONV = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}


class Case(NamedTuple):
    """One convolution."""

    rows: int
    groups: int
    n_in: int
    n_out: int
    kernel: int
    stride: int
    side: int


class Batch(NamedTuple):
    """What a process is started with, and the cases that it goes through."""

    isa: str  # "": what the processor has
    n_axes: int
    dtype: str
    threads: int
    format: str
    cases: list


def small_cases(n_axes, channels, groups):
    """Return the grid of small convolutions."""
    grid = itertools.product(groups, channels, (1, 2), (1, 3), (1, 2), MAPS[n_axes])
    cases = [
        Case(1 if n_groups > 1 else 3, n_groups, n_in, n_in * widening, kernel, stride, side)
        for n_groups, n_in, widening, kernel, stride, side in grid
    ]
    return [case for case in cases if _products(case, n_axes) <= MOST_PRODUCTS]


def _products(case, n_axes):
    positions = math.ceil(case.side / case.stride) ** n_axes
    return case.rows * case.groups * case.n_in * case.n_out * case.kernel**n_axes * positions


def batches(quick):
    """Return what to run: all sizes on one thread, fewer on more."""
    isas = ("AVX2", "") if "AVX512" in torch.backends.cpu.get_cpu_capability() else ("",)
    all_dtypes = ("float32",) if quick else ("float32", "bfloat16", "float64")
    for isa, n_axes, dtype, threads in itertools.product(isas, (1, 2, 3), all_dtypes, (1, 2, 4)):
        if (quick or dtype == "float64") and threads == 4:
            continue
        if dtype == "float64" and isa:
            continue  # oneDNN has none
        few = quick or threads > 1
        cases = small_cases(n_axes, FEWER_CHANNELS if few else CHANNELS, (1,) if few else (1, 4))
        if n_axes == 3 and dtype != "float64":
            cases += [Case(2, 1, *sizes) for sizes in LARGE[: 3 if quick else None]]
        for format in FORMATS:
            yield Batch(isa, n_axes, dtype, threads, format, cases)


def run_batch(batch, context):
    """Return what was wrong: number of the case -> parts, or how the process ended."""
    wrong, start = {}, 0
    while start < len(batch.cases):
        reader, writer = context.Pipe(duplex=False)
        process = context.Process(target=_go_through, args=(batch, start, writer), daemon=True)
        process.start()
        writer.close()
        at, how = start, None
        try:
            while reader.poll(PATIENCE):
                at, found = reader.recv()
                if found:
                    wrong[at] = found
            how = "stood still"
            process.kill()
        except EOFError:
            pass
        process.join()
        reader.close()
        if at == len(batch.cases) and not process.exitcode:
            break
        at = min(at, len(batch.cases) - 1)
        wrong[at] = [how or "ended the process"]
        start = at + 1
    return wrong


def _go_through(batch, start, writer):
    """Send each case's number before it, and again with what was wrong; then one number more."""
    if batch.isa:
        os.environ["ONEDNN_MAX_CPU_ISA"] = batch.isa  # read at the first convolution
    torch.set_num_threads(batch.threads)
    for i in range(start, len(batch.cases)):
        writer.send((i, None))
        torch.manual_seed(i)
        writer.send((i, _wrong(batch.cases[i], batch)))
    writer.send((len(batch.cases), None))


def _wrong(case, batch):
    """Return the parts that differ from the reference."""
    n_axes, dtype = batch.n_axes, batch.dtype
    exact = torch.float64 if dtype == "float64" else torch.float32
    # Rounded to the type, so that the reference reads the same numbers.
    image = torch.randn(case.rows, case.groups * case.n_in, *(case.side,) * n_axes).to(getattr(torch, dtype))
    kernel = torch.randn(case.groups * case.n_out, case.n_in, *(case.kernel,) * n_axes).to(image.dtype)

    def convolve(image, kernel):
        padding = case.kernel // 2
        return CONV[n_axes](image, kernel, stride=case.stride, padding=padding, groups=case.groups)

    with torch.backends.mkldnn.flags(enabled=False):
        direction = torch.randn_like(convolve(image.double(), kernel.double())).to(image.dtype)
        wanted = _parts(convolve, image.double(), kernel.double(), direction)
    last = FORMATS[batch.format]
    laid_out = [lay_out_images(part.to(exact), last=last) for part in (image, kernel, direction)]
    halved = dtype == "bfloat16"
    mended = SmallMapsInFloat32() if halved else contextlib.nullcontext()
    with torch.autocast("cpu", torch.bfloat16, enabled=halved), mended:
        found = _parts(convolve, *laid_out)
    return [
        part
        for part, value, right in zip(PARTS, found, wanted, strict=True)
        if not (value.double() - right).abs().max() <= TOLERANCE[dtype] * right.abs().max()
    ]


def _parts(convolve, image, kernel, direction):
    with torch.no_grad():
        alone = convolve(image, kernel)
    sources = [image.detach().requires_grad_(), kernel.detach().requires_grad_()]
    output = convolve(*sources)
    return [output.detach(), *torch.autograd.grad(output, sources, direction.to(output.dtype)), alone]


def rows_of(batch, wrong):
    """Return the rows of the table: one for each kernel and stride, and one of the large volumes."""
    rows = []
    kinds = [_kind(case) for case in batch.cases]
    for kind, n_tried in Counter(kinds).items():
        bad = {i: parts for i, parts in wrong.items() if kinds[i] == kind}
        rows.append(
            {
                "axes": batch.n_axes,
                "convolutions": kind,
                "type": batch.dtype,
                "threads": batch.threads,
                "instructions": batch.isa or "all",
                "format": batch.format,
                "tried": n_tried,
                "wrong": len(bad),
                "channels": _span(batch.cases[i].n_in for i in bad),
                "sides": _span(batch.cases[i].side for i in bad),
                "how": ", ".join(sorted({part for parts in bad.values() for part in parts})),
            }
        )
    return rows


def _kind(case):
    return "large volumes" if case.rows == 2 else f"kernel {case.kernel}, stride {case.stride}"


def _span(values):
    values = sorted(set(values))
    return "" if not values else f"{values[0]} to {values[-1]}" if len(values) > 1 else str(values[0])


def main():
    """Go through all batches, print the table and save it."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--quick", action="store_true", help="float32 alone, and fewer channels")
    arguments.add_argument("--results", type=Path, default=RESULTS, help="folder of what is written")
    arguments = arguments.parse_args()
    os.environ["GLIBC_TUNABLES"] = "glibc.malloc.perturb=128"  # fills fresh memory with bytes of 0x7f
    os.environ["OMP_WAIT_POLICY"] = "passive"  # more threads than cores take turns
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["_speed", "skhyperfusion.nn"])
    rows = []
    for batch in batches(arguments.quick):
        rows += rows_of(batch, run_batch(batch, context))
        done = f"{batch.n_axes} axes, {batch.dtype}, {batch.threads} threads, {batch.isa or 'all'}"
        print(f"{done}, {batch.format}: {len(batch.cases)} convolutions", flush=True)
    summary = pd.DataFrame(rows).groupby(["axes", "type", "format"], sort=False)[["tried", "wrong"]].sum()
    show(f"Convolutions on {_processor()}, torch {torch.__version__}", summary.reset_index())
    show("The wrong ones", [row for row in rows if row["wrong"]] or [{"wrong": 0}])
    save(arguments, "convolution_layouts", rows, processor=_processor())


def _processor():
    """Return the processor's name, as Linux tells it, and the instructions that torch uses."""
    name = "unknown processor"
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo") as lines:
            name = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), name)
    return f"{name}, {torch.backends.cpu.get_cpu_capability()}"


if __name__ == "__main__":
    main()
