"""Predictions from what `export_onnx` wrote, by the guide alone: no torch, and nothing of the package."""

import hashlib
import json
import re
from pathlib import Path

import nibabel as nib
import numpy as np
import onnxruntime
import pandas as pd
from PIL import Image


class Reader:
    """Answer for rows of a table as the estimator that was exported would."""

    def __init__(self, path):
        self.about = json.loads(Path(path).with_suffix(".json").read_text(encoding="utf-8"))
        network = Path(path).read_bytes()
        assert hashlib.sha256(network).hexdigest() == self.about["network"]["sha256"]
        self.session = onnxruntime.InferenceSession(network, providers=["CPUExecutionProvider"])

    def __call__(self, table):
        """Return the network's output for the rows of a DataFrame."""
        rows = [row for _, row in table.iterrows()]
        inputs = {}
        images, missing = self.about["images"], [False] * len(rows)
        if images is not None:
            read = [read_images(images, row) for row in rows]
            inputs["image"] = np.stack([image for image, _ in read]).astype(np.float32)
            missing = [lost for _, lost in read]
        if self.about["table"] is not None:
            encoded = [encode(self.about["table"], row) for row in rows]
            if self.about["table"]["flag_of_missing_images"]:
                encoded = [[*numbers, float(lost)] for numbers, lost in zip(encoded, missing, strict=True)]
            inputs["tabular"] = np.array(encoded, dtype=np.float32)
        return self.session.run(None, inputs)[0]

    def classes(self, table):
        """Return the likeliest classes."""
        classes = self.about["network"]["output"]["classes"]
        return [classes[place] for place in self(table).argmax(axis=1)]

    def survival(self, table):
        """Return the survival at the times of the JSON, whichever the loss was."""
        output = self.about["network"]["output"]
        if output["name"] == "survival":
            return self(table)
        return np.exp(-np.exp(self(table))[:, None] * np.array(output["baseline"]))


# ---- The table


def encode(about, row):
    """Return the encoded table of one row."""
    cells = {c["name"]: read_cell(c, about, row[c["name"]]) for c in about["columns"]}
    refuse(about["refused"], cells)
    numbers = impute(about["numeric"], [cells[name] for name in about["numeric"]["columns"]])
    flags = [float(is_gap(cells[name])) for name in about["flags"]]
    categories = []
    for column in about["categories"]:
        bits = [0.0] * column["width"]
        place = column["places"].get(cells[column["name"]])
        if place is not None:
            bits[place] = 1.0
        categories += bits
    return [*numbers, *flags, *categories]


def is_gap(value):
    return value is None or value is pd.NA or (isinstance(value, float) and np.isnan(value))


def plain(text, words):
    for character, instead in words["plain_characters"].items():
        text = text.replace(character, instead)
    return " ".join(text.lower().split())


def read_cell(column, about, cell):
    """Return a number, a text, or NaN for a gap."""
    words, gaps = about["words"], column["gaps"]
    if isinstance(cell, np.generic):
        cell = cell.item()
    if is_gap(cell):
        return np.nan
    if column["kind"] == "text":
        text = cell.strip() if isinstance(cell, str) else category_of(cell)
        no_value = isinstance(cell, str) and text.lower() in words["no_text"]
        return np.nan if no_value or plain(text, words) in gaps["texts"] else text
    number = cell if not isinstance(cell, str) else read_number(column, words, gaps, cell)
    if number is None:
        if not about["other_text_is_a_gap"]:
            raise ValueError(f"{cell!r} in column {column['name']!r} is no number")
        return np.nan
    return np.nan if float(number) in gaps["numbers"] else float(number)


def category_of(cell):
    if isinstance(cell, bool):
        return str(cell)
    return str(int(cell)) if float(cell).is_integer() else repr(float(cell))


def read_number(column, words, gaps, cell):
    text, notation = plain(cell, words), column["notation"]
    if cell in column["words_seen"] or text in gaps["texts"] or text in words["no_number"]:
        return np.nan
    if re.fullmatch(words["no_number_pattern"], text):
        return np.nan
    for pattern in words["duration_patterns"]:
        if match := re.fullmatch(pattern, text, re.ASCII):
            factor = notation["units"].get(words["durations"][match[2]])
            number = read_digits(match[1], notation["decimal"])
            return None if factor is None or number is None else number * factor
    match = re.fullmatch(words["number_pattern"], text, re.ASCII)
    if match is None or (match["end"] and not notation["open_end"]):
        return None
    number, unit = read_digits(match["body"].strip(), notation["decimal"]), (match["unit"] or "").strip()
    if notation["flags"] and unit in words["laboratory_flags"]:
        unit = ""
    if number is None or unit == notation["unit"]:
        return number
    if not unit:
        return number if notation["needs_no_unit"] else None
    factor = notation["units"].get(unit)
    return None if factor is None else number * factor


def read_digits(body, decimal):
    """Return digits and marks as a number, or None where they can be read in two ways."""
    match = re.fullmatch(r"([+-]?) ?([0-9.,' ]+?)(e[+-]?[0-9]+)?", body)
    if match is None:
        return None
    sign, digits, exponent = match[1], match[2].strip(), match[3] or ""
    if re.search("[' ]", digits):
        if not re.fullmatch(r"[0-9]{1,3}(('[0-9]{3})+|( [0-9]{3})+)([.,][0-9]*)?", digits):
            return None
        digits = re.sub("[' ]", "", digits)
        decimal = "," if "," in digits else "."
    marks = re.findall("[.,]", digits)
    if len(marks) == 1:
        groups = re.fullmatch(r"[1-9][0-9]{0,2}[.,][0-9]{3}", digits)
        if groups and decimal != marks[0] and (marks[0] == "," or decimal == ","):
            if decimal is None:
                return None
            digits = digits.replace(marks[0], "")
    elif marks:
        first, last = re.escape(marks[0]), re.escape(marks[-1])
        grouped = rf"[0-9]{{1,3}}({first}[0-9]{{3}})+" + ("" if first == last else rf"{last}[0-9]*")
        if not re.fullmatch(grouped, digits):
            return None
        digits = digits.replace(marks[0], "")
    return float(sign + digits.replace(",", ".") + exponent)


def refuse(refused, cells):
    for name, categories in refused.get("unseen", {}).items():
        if not is_gap(cells[name]) and cells[name] not in categories:
            raise ValueError(f"{cells[name]!r} is no category of {name!r}")
    for name, (low, high) in refused.get("range", {}).items():
        if not is_gap(cells[name]) and not low <= cells[name] <= high:
            raise ValueError(f"{cells[name]!r} is far from the values of {name!r}")
    if refused.get("rows") and all(map(is_gap, cells.values())):
        raise ValueError("there is no value in the row")


def impute(about, values):
    """Return the numbers of one row, filled and scaled."""
    values = np.array(values, dtype=float)
    gap, how = np.isnan(values), about["impute"]
    if gap.any():
        if how is None:
            raise ValueError("a value is missing, and nothing fills it")
        values = np.where(gap, how["values"] if how["rule"] == "constants" else regress(how, values), values)
    if about["scale"] is not None:
        n = len(about["scale"]["mean"])
        values[:n] = (values[:n] - about["scale"]["mean"]) / about["scale"]["scale"]
    return values.tolist()


def regress(how, values):
    """Return a row filled by regressions in standard units."""
    mean, scale, low, high, median = (np.array(how[n]) for n in ("mean", "scale", "low", "high", "median"))
    gap = np.isnan(values)
    if gap.all():
        return median
    units = np.where(gap, how["start"], (values - mean) / scale)
    for step in how["steps"]:
        if gap[step["column"]]:
            units[step["column"]] = units[step["from"]] @ np.array(step["coefficients"]) + step["intercept"]
    return np.clip(units * scale + mean, low, high)


# ---- The images


def read_images(about, row):
    """Return the image (V, C, *S) of one row, and whether it was missing."""
    shape = (about["n_views"], about["n_channels"], *about["shape"])
    if about["pixels"]:
        pixels = np.array([row[name] for name in about["columns"]], dtype=np.float32)
        if np.isnan(pixels).all() and about["missing"] == "zeros":
            return np.zeros(shape), True
        grid = next(step["shape"] for step in about["steps"] if step["do"] == "stretch")
        return work(about["steps"], pixels.reshape(*grid, -1), None, "picture"), False
    images, lost = [], False
    for name in about["columns"]:
        cell = row[name]
        if cell is None or (isinstance(cell, float) and np.isnan(cell)):
            assert about["missing"] == "zeros"
            images.append(np.zeros((shape[0], shape[1] // len(about["columns"]), *shape[2:])))
            lost = True
        else:
            images.append(work(about["steps"], *open_image(cell)))
    image = np.concatenate(images, axis=1)
    assert image.shape == shape
    return image, lost


def open_image(cell):
    """Return voxels, affine in mm, and what kind of thing a cell is."""
    if isinstance(cell, np.ndarray):
        return cell, None, "array"
    if cell.endswith((".nii", ".nii.gz")):
        image = nib.load(cell)
        return np.asarray(image.dataobj, dtype=np.float32), image.affine, "volume"
    if cell.endswith(".npy"):
        return np.load(cell), None, "array"
    return np.array(Image.open(cell)), None, "picture"


def work(steps, voxels, affine, kind):
    """Take the steps from stored voxels to an image (V, C, *S)."""
    voxels = channels_first(steps, voxels, kind)
    for step in steps:
        if step["do"] == "channels":
            voxels = convert_channels(step, voxels)
        elif step["do"] == "turn" and affine is not None and voxels.ndim == 4:
            voxels, affine = turn(step, voxels, affine)
        elif step["do"] == "flatten" and voxels.ndim == 4:
            axis = voxels.shape.index(1, 1)
            voxels = voxels.squeeze(axis)
            if affine is not None:
                spacing = np.delete(np.linalg.norm(affine[:3, :3], axis=0), axis - 1)
                affine = np.diag([*spacing, 1.0])
        elif step["do"] == "resample":
            voxels, affine = resample(step, voxels, affine)
        elif step["do"] == "crop":
            voxels = crop(step, voxels)
        elif step["do"] == "window":
            voxels = window(step, voxels)
        elif step["do"] == "stretch":
            for axis, n in enumerate(step["shape"]):
                scale = voxels.shape[axis + 1] / n
                voxels = interpolate(voxels, axis, n, scale, (scale - 1) / 2)
        elif step["do"] == "intensity":
            voxels = rescale(step, voxels)
    halve = next((step["axis"] for step in steps if step["do"] == "halve"), None)
    if halve is None:
        return voxels[None]
    n = voxels.shape[halve + 1]
    high = np.take(voxels, range(n - (n + 1) // 2, n), halve + 1)
    low = np.take(voxels, range((n + 1) // 2), halve + 1)
    turned = [step["to"] for step in steps if step["do"] == "turn"]
    right_is_low = affine is not None and len(affine) == 4 and bool(turned) and turned[0][halve] == "L"
    right, left = (low, np.flip(high, halve + 1)) if right_is_low else (high, np.flip(low, halve + 1))
    return np.stack([right, left])


def channels_first(steps, voxels, kind):
    rule = next(step["rule"] for step in steps if step["do"] == "channels")
    wanted = next((len(step["shape"]) for step in steps if step["do"] in ("stretch", "window")), None)
    if kind == "array":
        last = voxels.shape[-1]
        of_3 = wanted == 2 or rule == "rgb" or (last in (3, 4) if isinstance(rule, str) else last == rule)
        is_picture = voxels.ndim == 2 or (voxels.ndim == 3 and wanted != 3 and of_3)
        kind = "picture" if is_picture else "volume"
    n = 2 if kind == "picture" else 3
    grid = voxels.shape[:n] + (1,) * (n - voxels.ndim)
    return np.moveaxis(voxels.reshape(*grid, -1), -1, 0).astype(np.float32)


def convert_channels(step, voxels):
    if step["rule"] == "grey" and len(voxels) > 1:
        return np.tensordot(step["luminance"], voxels[:3], axes=1)[None].astype(np.float32)
    if step["rule"] == "rgb":
        return np.repeat(voxels, 3, axis=0) if len(voxels) == 1 else voxels[:3]
    return voxels


def turn(step, voxels, affine):
    ornt = nib.orientations.ornt_transform(
        nib.orientations.io_orientation(affine), nib.orientations.axcodes2ornt(tuple(step["to"]))
    )
    turned = nib.orientations.apply_orientation(np.moveaxis(voxels, 0, -1), ornt)
    return np.moveaxis(turned, -1, 0), affine @ nib.orientations.inv_ornt_aff(ornt, voxels.shape[1:])


def resample(step, voxels, affine):
    old = np.linalg.norm(affine[:-1, :-1], axis=0)
    scales = np.broadcast_to(step["spacing_mm"], old.shape) / old
    for axis, scale in enumerate(scales):
        n = voxels.shape[axis + 1]
        m = max(1, round(n / scale))
        voxels = interpolate(voxels, axis, m, scale, (n - 1) / 2 - scale * (m - 1) / 2)
    return voxels, affine @ np.diag([*scales, 1.0])


def interpolate(voxels, axis, n_out, scale, start):
    """Average along an axis by triangles around the places ``start + scale * i``."""
    n_in, reach = voxels.shape[axis + 1], max(1.0, scale)
    if n_in == n_out and abs(scale - 1) < 1e-6 and abs(start) < 1e-6:
        return voxels
    centres = np.clip(start + scale * np.arange(n_out), 0, n_in - 1)
    weights = np.maximum(0, 1 - abs(np.arange(n_in) - centres[:, None]) / reach)
    weights /= weights.sum(axis=1, keepdims=True)
    return np.moveaxis(np.tensordot(weights, voxels, axes=(1, axis + 1)), 0, axis + 1).astype(np.float32)


def crop(step, voxels):
    if step.get("foreground"):
        filled = (voxels != 0).any(axis=0)
        places = [np.flatnonzero(filled.any(axis=tuple(a for a in range(filled.ndim) if a != axis)))
                  for axis in range(filled.ndim)]  # fmt: skip
        box = [(p[0], p[-1] + 1) if len(p) else (0, n) for p, n in zip(places, filled.shape, strict=True)]
    elif "box" in step:
        box = step["box"]
    else:
        box = next(one["box"] for one in step["boxes"] if tuple(one["of_shape"]) == voxels.shape[1:])
    return voxels[(slice(None), *(slice(start, stop) for start, stop in box))]


def window(step, voxels):
    for axis, m in enumerate(step["shape"]):
        n = voxels.shape[axis + 1]
        if axis == step.get("halved_along"):
            m = n if (n + 1) // 2 == m else 2 * m
        start = (n - m) // 2
        voxels = np.take(voxels, range(max(0, start), max(0, start) + min(n, m)), axis + 1)
        padding = [(0, 0)] * voxels.ndim
        padding[axis + 1] = (max(0, -start), max(0, m - n + start))
        voxels = np.pad(voxels, padding)
    return voxels


def rescale(step, voxels):
    filled = voxels[:, (voxels != 0).any(axis=0)]
    if step["rule"] == "zscore":
        for values in (filled, voxels):
            if values.size:
                mean, spread = values.mean(dtype=np.float64), values.std(dtype=np.float64)
                if spread > 1e-6 * abs(mean):
                    return (voxels - mean) / spread
        return np.zeros_like(voxels)
    if step["rule"] == "minmax":
        low, high = float(voxels.min()), float(voxels.max())
    else:
        low, high = np.percentile(filled if filled.size else voxels, step["percentiles"])
    if high - low <= 1e-6 * max(abs(low), abs(high)):
        return np.zeros_like(voxels)
    scaled = (voxels - low) / (high - low)
    return scaled if step["rule"] == "minmax" else np.clip(scaled, 0, 1)
