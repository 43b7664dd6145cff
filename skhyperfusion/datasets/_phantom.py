"""T1-like phantoms of the head, drawn from smooth signed distances.

Distances are in mm and negative inside; coordinates are RAS (x to the right, y to the front, z up)
with the origin near the anterior commissure. A distance becomes an occupancy over one voxel's width,
so that a shape that grows by a tenth of a voxel changes the picture by a tenth.
"""

from dataclasses import dataclass

import numpy as np

FIELD_OF_VIEW = np.array([164.0, 196.0, 190.0])  # mm, holds the head and a little neck
CENTRE = np.array([0.0, -2.0, -8.0])  # of the field of view, mm

CSF, GREY, WHITE, FAT, MUSCLE, BONE = 0.16, 0.56, 0.86, 0.95, 0.45, 0.08  # T1-like signal
SULCUS_DEPTH = 17.0  # mm
N_WAVES = 9


@dataclass(frozen=True)
class Anatomy:
    """What one subject's picture is drawn from; lengths in mm, angles in radians."""

    size: np.ndarray  # (3,) factor on the whole head
    rotation: np.ndarray  # (3,) about x, y, z
    shift: np.ndarray  # (3,)
    ventricles: float  # factor on the radius
    hippocampi: float  # factor on the radius
    sylvian: float  # factor on the radius of the lateral fissure
    thickness: float  # of the cortex
    sulci: float  # half width of a sulcus
    white: float  # signal of the white matter
    folds: np.ndarray  # (N_WAVES, 4): wave vector (per mm) and phase of the folding
    bias: np.ndarray  # (6,) of the receive field: three slopes and three curvatures
    gain: float  # of the scanner
    noise: float  # sd of either channel, as a part of the signal's range


def voxel_size(shape):
    """Edge of the cubic voxel with which the head fills an image of this shape, in mm."""
    return float(np.max(FIELD_OF_VIEW / np.asarray(shape)))


def affine_of(shape):
    """RAS affine that puts the head in the middle of the image, (4, 4)."""
    size = voxel_size(shape)
    affine = np.diag([size, size, size, 1.0])
    affine[:3, 3] = CENTRE - size * (np.asarray(shape) - 1) / 2
    return affine


def grid_of(shape):
    """Coordinates of the voxels' centres in mm, (3, X * Y * Z)."""
    index = np.indices(shape, dtype=np.float64).reshape(3, -1)
    affine = affine_of(shape)
    return (affine[:3, :3] @ index + affine[:3, 3:]).astype(np.float32)


def draw_folds(rng):
    """Draw wave vectors and phases of a cortical folding, (N_WAVES, 4)."""
    direction = rng.normal(size=(N_WAVES, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    wavelength = rng.uniform(25.0, 36.0, size=(N_WAVES, 1))
    phase = rng.uniform(0, 2 * np.pi, size=(N_WAVES, 1))
    return np.hstack([direction * 2 * np.pi / wavelength, phase])


def render(anatomy, shape, grid, rng):
    """Draw one subject.

    Parameters
    ----------
    anatomy : Anatomy
    shape : tuple of three int
    grid : ndarray of shape (3, n_voxels)
        ``grid_of(shape)``, made once for all subjects.
    rng : numpy.random.Generator
        Of the measurement's noise.

    Returns
    -------
    volume : ndarray of shape ``shape``, int16
    """
    width = voxel_size(shape)
    points = _to_head(anatomy, grid)
    signal, inside = _head(points, width)
    _brain(signal, points, inside, anatomy, width)
    signal *= _receive_field(anatomy, grid)
    real = signal + np.float32(anatomy.noise) * rng.standard_normal(signal.shape, dtype=np.float32)
    imaginary = np.float32(anatomy.noise) * rng.standard_normal(signal.shape, dtype=np.float32)
    magnitude = np.hypot(real, imaginary) * np.float32(700 * anatomy.gain)  # Rician, as a scanner's
    return np.rint(magnitude).clip(0, 32767).astype(np.int16).reshape(shape)


def _to_head(anatomy, grid):
    """Take scanner coordinates to those of the average head."""
    a, b, c = anatomy.rotation
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    about_z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    matrix = (about_x @ about_y @ about_z).T / anatomy.size[:, None]
    offset = -matrix @ anatomy.shift
    x, y, z = grid
    m, o = matrix.astype(np.float32), offset.astype(np.float32)
    # Written out: a BLAS may sum in another order on another run.
    return np.stack([m[i, 0] * x + m[i, 1] * y + m[i, 2] * z + o[i] for i in range(3)])


def _receive_field(anatomy, grid):
    u = grid * np.float32(1 / 90)
    slopes, curves = np.float32(anatomy.bias[:3]), np.float32(anatomy.bias[3:])
    field = np.zeros(grid.shape[1], dtype=np.float32)
    for axis in range(3):
        field += slopes[axis] * u[axis] + curves[axis] * u[axis] ** 2
    return np.exp(field)


def _head(points, width):
    """Draw all but the brain; return the signal and which voxels lie in the skull."""
    x, y, z = points
    ax = np.abs(x)
    vault = _ellipsoid(ax, y, z, (0, -3, 6), (75, 94, 82))
    face = _ellipsoid(ax, y, z, (0, 30, -56), (52, 58, 56))
    neck = _capsule(ax, y, z, (0, -26, -60), (0, -38, -140), 50)
    skin = _union(_union(vault, face, 16), neck, 16)
    cavity = _cavity(ax, y, z)
    signal = np.float32(FAT) * _occupancy(skin, width)
    _paint(signal, MUSCLE, _occupancy(np.maximum(skin + 5, -(cavity - 6)), width))
    _paint(signal, BONE, _occupancy(np.maximum(cavity - 6.5, skin + 4), width))
    _paint(signal, BONE, _occupancy(_ellipsoid(ax, y, z, (0, 62, -40), (16, 22, 22)), width))  # sinuses
    _paint(signal, CSF, _occupancy(_ellipsoid(ax, y, z, (31, 72, -24), (12, 12, 12)), width))  # eyes
    _paint(signal, CSF, _occupancy(cavity, width))
    return signal, np.flatnonzero(cavity < width)


def _cavity(ax, y, z):
    upper = _ellipsoid(ax, y, z, (0, -4, 9), (67, 84, 65))
    middle = _ellipsoid(ax, y, z, (0, 8, -22), (63, 52, 31))
    lower = _ellipsoid(ax, y, z, (0, -45, -33), (56, 40, 38))
    canal = _capsule(ax, y, z, (0, -24, -40), (0, -32, -140), 10)
    return _union(_union(_union(upper, middle, 8), lower, 8), canal, 8)


def _brain(signal, points, inside, anatomy, width):
    """Draw the brain into `signal`, in place, at the voxels `inside`."""
    x, y, z = points[:, inside]
    ax = np.abs(x)
    out = signal[inside]
    cerebrum = _ellipsoid(ax, y, z, (21, -4, 10), (43, 81, 57))
    temporal = _ellipsoid(ax, y, z, (40, 5, -25), (21, 43, 19))
    core = _ellipsoid(ax, y, z, (0, -6, -2), (34, 44, 27))  # callosum and what lies below it
    hull = _union(cerebrum, temporal, 4)
    furrows = np.maximum(_sulci(x, y, z, hull, anatomy), np.float32(6) - core)
    fissure = np.maximum(ax - np.float32(anatomy.sulci), -core)
    lateral = _capsule(ax, y, z, (56, 26, -12), (57, -26, 2), 4.2 * anatomy.sylvian)
    pial = np.maximum(_union(hull, core, 4), -np.minimum(np.minimum(furrows, fissure), lateral))
    cerebellum = _ellipsoid(ax, y, z, (20, -50, -38), (32, 31, 23))
    stem = _union(
        _capsule(ax, y, z, (0, -20, -12), (0, -30, -140), 9.5),
        _ellipsoid(ax, y, z, (0, -20, -28), (15, 13, 15)),  # pons
        4,
    )
    grey, white = np.float32(GREY), np.float32(anatomy.white)
    _paint(out, grey, _occupancy(pial, width))
    _paint(out, white, _occupancy(pial + np.float32(anatomy.thickness), width))
    _paint(out, grey, _occupancy(cerebellum, width))
    leaves = np.float32(2.0) * np.sin(np.float32(0.9) * (z + np.float32(0.5) * y))
    _paint(out, white, _occupancy(cerebellum + 9 + leaves, width))
    _paint(out, white, _occupancy(stem, width))
    _deep(out, ax, y, z, anatomy, width)
    signal[inside] = out


def _sulci(x, y, z, hull, anatomy):
    """Distance to the sulci: sheets across the surface where a wave field is zero."""
    radius = np.sqrt((x / 66) ** 2 + (y / 82) ** 2 + (z / 62) ** 2) + np.float32(1e-3)
    scale = np.float32(70) / radius
    u, v, w = x / 66 * scale, y / 82 * scale, z / 62 * scale
    field, slope = np.zeros_like(x), np.zeros((3, len(x)), dtype=np.float32)
    for kx, ky, kz, phase in anatomy.folds.astype(np.float32):
        angle = kx * u + ky * v + kz * w + phase
        field += np.cos(angle)
        steep = np.sin(angle)
        for axis, k in enumerate((kx, ky, kz)):
            slope[axis] += k * steep
    # Field by slope along the surface is the distance in mm; the floor keeps plateaus from being sulci.
    radial = (slope[0] * u + slope[1] * v + slope[2] * w) * np.float32(1 / 70)
    steepness = np.sqrt(np.maximum(np.sum(slope * slope, axis=0) - radial * radial, 0)) + np.float32(0.1)
    sheet = np.abs(field) / steepness - np.float32(anatomy.sulci)
    return np.maximum(sheet, -hull - np.float32(SULCUS_DEPTH))


def _deep(out, ax, y, z, anatomy, width):
    """Draw nuclei, ventricles and hippocampi."""
    grey, csf = np.float32(GREY), np.float32(CSF)
    _paint(out, grey, _occupancy(_ellipsoid(ax, y, z, (11, -14, 4), (9, 14, 9)), width))  # thalamus
    _paint(out, grey, _occupancy(_ellipsoid(ax, y, z, (27, 4, 2), (6, 18, 11)), width))  # putamen
    _paint(out, grey, _occupancy(_ellipsoid(ax, y, z, (14, 16, 12), (5, 12, 9)), width))  # caudate
    r = anatomy.ventricles
    lift = 1.0 + 2.0 * r  # the roof stays below the callosum as the ventricle widens
    body = _capsule(ax, y, z, (4 + 4 * r, 30, 8 + lift), (6 + 4 * r, -16, 14 + lift), 6.2 * r)
    atrium = _capsule(ax, y, z, (6 + 4 * r, -16, 14 + lift), (24, -44, 4), 6.6 * r)
    third = np.maximum(ax - np.float32(2.2 * r), _ellipsoid(ax, y, z, (0, -10, 0), (60, 15, 10)))
    ventricles = _union(_union(body, atrium, 4), third, 1)
    _paint(out, csf, _occupancy(ventricles, width))
    # The hippocampus lies in the temporal horn, whose wall stays: what the one loses is fluid's.
    horn = _capsule(ax, y, z, (26.5, -1, -20.5), (32.5, -33, -6.5), 11.2)
    hippocampus = _capsule(ax, y, z, (24.5, 0, -22.5), (30.5, -32, -8.5), 7.6 * anatomy.hippocampi)
    _paint(out, csf, _occupancy(horn, width))
    _paint(out, grey, _occupancy(hippocampus, width))


def _occupancy(distance, width):
    return np.clip(np.float32(0.5) - distance / np.float32(width), 0, 1)


def _paint(signal, value, occupancy):
    signal += (np.float32(value) - signal) * occupancy


def _ellipsoid(x, y, z, centre, radii):
    """Distance to an ellipsoid, good near its surface."""
    qx, qy, qz = (
        (a - np.float32(c)) / np.float32(r) for a, c, r in zip((x, y, z), centre, radii, strict=True)
    )
    rx, ry, rz = (np.float32(1 / r**2) for r in radii)
    qx, qy, qz = qx * qx, qy * qy, qz * qz
    level = np.sqrt(qx + qy + qz)
    slope = np.sqrt(rx * qx + ry * qy + rz * qz) + np.float32(1e-6)
    return level * (level - 1) / slope


def _capsule(x, y, z, start, end, radius):
    """Distance to a line segment thickened by `radius`."""
    start, axis = np.float32(start), np.float32(end) - np.float32(start)
    px, py, pz = x - start[0], y - start[1], z - start[2]
    t = np.clip((px * axis[0] + py * axis[1] + pz * axis[2]) / np.sum(axis * axis), 0, 1)
    px, py, pz = px - t * axis[0], py - t * axis[1], pz - t * axis[2]
    return np.sqrt(px * px + py * py + pz * pz) - np.float32(radius)


def _union(a, b, blend):
    """Smooth union: the seam is rounded over `blend` mm."""
    h = np.maximum(np.float32(blend) - np.abs(a - b), 0) * np.float32(1 / blend)
    return np.minimum(a, b) - h * h * np.float32(blend / 4)
