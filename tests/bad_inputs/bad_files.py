"""Bad inputs: files of images that are damaged, or are not what they are called."""

import gzip
import io
import os
import pickle

import nibabel as nib
import numpy as np
from bad_case import cell, file, params, rows_of
from PIL import Image

from skhyperfusion import ImageLoader

bad = rows_of("file")
SCAN = "Row 'p10', column 'scan'"


def npy(array, allow_pickle=False):
    """Return the bytes of an array's file."""
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=allow_pickle)
    return stream.getvalue()


def picture(size, kind, **options):
    stream = io.BytesIO()
    Image.fromarray(np.arange(size[0] * size[1], dtype=np.uint8).reshape(size)).save(stream, kind, **options)
    return stream.getvalue()


def nifti(voxels):
    return nib.Nifti1Image(voxels, np.eye(4)).to_bytes()


def claims(shape):
    """Return the bytes of a NIfTI file that claims more voxels than it holds."""
    header = nib.Nifti1Image(np.zeros((2, 2, 2), np.uint8), np.eye(4)).header
    header.set_data_shape(shape)
    return header.binaryblock + b"\0" * 12


def link(name, to):
    """Let the picture be a link."""

    def make(study):
        path = study.folder / name
        path.unlink(missing_ok=True)
        path.symlink_to(to)
        return str(path)

    return cell("scan", make)


def folder(name):
    def make(study):
        (study.folder / name).mkdir(exist_ok=True)
        return str(study.folder / name)

    return cell("scan", make)


def pipe(name):
    """Let the picture be a named pipe, which blocks whoever opens it."""

    def make(study):
        if not (study.folder / name).exists():
            os.mkfifo(study.folder / name)
        return str(study.folder / name)

    return cell("scan", make)


VOXELS = np.ones((6, 6, 6), np.float32)
FILES = [
    bad("empty", file("empty.npy", b""), SCAN, "empty.npy"),
    bad("text called an array", file("text.npy", b"id,age\np10,70\n"), SCAN, "text.npy"),
    bad("array with a pickle", file("pickled.npy", npy(np.array([[{}]], dtype=object), allow_pickle=True)),
        SCAN, "pickled.npy", "object"),
    bad("pickle called an array", file("pickle.npy", pickle.dumps([1, 2])), SCAN, "pickle.npy"),
    bad("array cut short", file("cut.npy", npy(np.ones((6, 6)))[:-9]), SCAN, "cut.npy"),
    bad("vector", file("vector.npy", npy(np.ones(6))), SCAN, "vector.npy", "(6,)"),
    bad("array of text", file("words.npy", npy(np.full((6, 6), "x"))), SCAN, "words.npy", "<U1"),
    bad("complex array", file("complex.npy", npy(np.ones((6, 6)) * 1j)), SCAN, "complex.npy", "complex128"),
    bad("array without a pixel", file("none.npy", npy(np.ones((0, 6)))), SCAN, "none.npy", "(0, 6)"),
    bad("array with NaN", file("nan.npy", npy(np.full((6, 6), np.nan))), SCAN, "nan.npy", "NaN"),
    bad("array of another shape", file("wide.npy", npy(np.ones((6, 9)))), SCAN, "wide.npy", "(6, 9)",
        "(6, 6)"),
    bad("array of more pixels than allowed", lambda study: (file("large.npy", npy(np.ones((6, 90))))(study),
        params(image_loader=ImageLoader(max_voxels=100))(study)), SCAN, "large.npy", "max_voxels=100",
        ways=("fit",)),
    bad("picture called an array", file("picture.npy", picture((6, 6), "PNG")), SCAN, "picture.npy",
        "PNG", ".png"),
    bad("picture called a volume", file("picture.nii.gz", picture((6, 6), "PNG")), SCAN,
        "picture.nii.gz", "PNG", ".png"),
    bad("page of the web called a volume", file("page.nii.gz", b"<!DOCTYPE html><html>404</html>"), SCAN,
        "page.nii.gz"),
    bad("pointer of Git LFS", file("pointer.nii.gz", b"version https://git-lfs.github.com/spec/v1\n"
        b"oid sha256:abc\nsize 12345\n"), SCAN, "pointer.nii.gz", "git lfs pull"),
    bad("picture cut short", file("cut.png", picture((60, 60), "PNG")[:900]), SCAN, "cut.png"),
    bad("photograph cut short", file("cut.jpg", picture((60, 60), "JPEG", quality=95)[:900]), SCAN,
        "cut.jpg"),
    bad("volume cut short", file("cut.nii", nifti(VOXELS)[:-100]), SCAN, "cut.nii"),
    bad("packed volume cut short", file("cut.nii.gz", gzip.compress(nifti(VOXELS))[:-20]), SCAN,
        "cut.nii.gz"),
    bad("volume of zeros", file("zeros.nii", bytes(1000)), SCAN, "zeros.nii"),
    bad("volume that claims a billion voxels", file("claims.nii", claims((2000, 2000, 2000))), SCAN,
        "claims.nii", "cut short", "8000000000 bytes"),
    bad("volume of no voxel", file("none.nii", claims((0, 6, 6))), SCAN, "none.nii", "0"),
    bad("volume among pictures", file("volume.nii", nifti(VOXELS)), SCAN, "volume.nii", "(6, 6, 6)",
        "(6, 6)"),
    bad("text called DICOM", file("text.dcm", b"no image at all, but a text" * 9), SCAN, "text.dcm"),
    bad("link to nothing", link("link.npy", "/nowhere/at/all.npy"), SCAN, "link.npy"),
    bad("link to itself", link("loop.npy", "loop.npy"), SCAN, "loop.npy"),
    bad("link to a device", link("zero.npy", "/dev/zero"), SCAN, "zero.npy"),
    bad("named pipe", pipe("pipe.npy"), SCAN, "pipe.npy"),
    bad("folder called an array", folder("folder.npy"), SCAN, "folder.npy", "folder"),
    bad("folder of nothing called DICOM", folder("series.dcm"), SCAN, "series.dcm"),
]  # fmt: skip
