"""The voxels of images that say something, and their principal components."""

import warnings

import numpy as np
from sklearn.decomposition import PCA

# A voxel counts if it varies at least this part of what most that vary at all do: the air around a head goes.
LEAST_RANGE = 0.01
# Bytes of images that are read at a time, so that a transform takes no more memory than that.
BYTES_AT_A_TIME = 1 << 26


class VoxelFeatures:
    """The voxels of a mask that is learned, or their principal components.

    Parameters
    ----------
    n_components : int or None
        Principal components; None: the voxels themselves.

    Attributes
    ----------
    mask_ : ndarray of shape (V, C, *S), bool
        Voxels that differ between the images.
    pca_ : PCA or None
    center_ : ndarray of shape (n_features,)
        Mean of the features over the images of the fit.
    """

    def __init__(self, n_components=None):
        self.n_components = n_components

    @property
    def kind(self):
        """How the features are called."""
        return "voxel" if self.n_components is None else "pca"

    def fit(self, source):
        """Learn mask and components from all images of a source."""
        images = source.stack()
        self.mask_ = _varying(images)
        voxels = images[:, self.mask_]
        self.pca_, self._scale = None, 1.0
        if self.n_components is None:
            self.center_ = voxels.mean(axis=0, dtype=np.float64)
            return self
        n_components = self._capped(*voxels.shape)
        # A seed of its own: for wide tables the solver starts at random.
        self.pca_ = PCA(n_components, random_state=0).fit(voxels)
        # In float64, and in an order that a pickle keeps: a row's scores are then the same bits ever after.
        for name in ("mean_", "components_"):
            setattr(self.pca_, name, np.ascontiguousarray(getattr(self.pca_, name), dtype=np.float64))
        # One number for all: their ratios tell how much of the images each explains. On average a component
        # has the variance of a standardised column of the table, and a ridge shrinks both alike.
        self._scale = float(np.sqrt(self.pca_.explained_variance_.mean()))
        self.center_ = np.zeros(n_components)
        return self

    def transform(self, source):
        """Return the features (n, n_features), float64; a row's do not depend on the rows beside it."""
        n_at_a_time = max(1, BYTES_AT_A_TIME * len(source) // max(1, source.nbytes))
        parts = [np.empty((0, len(self.center_)))]
        for start in range(0, len(source), n_at_a_time):
            images = source.read(range(start, min(start + n_at_a_time, len(source))))
            voxels = images[:, self.mask_].astype(np.float64)
            parts.append(voxels if self.pca_ is None else self.pca_.transform(voxels) / self._scale)
        return np.concatenate(parts)

    def _capped(self, n_rows, n_voxels):
        most = min(n_rows - 1, n_voxels)  # centred rows have one direction less
        if self.n_components > most:
            warnings.warn(
                f"n_components={self.n_components}, but {n_rows} training images of {n_voxels} voxels have "
                f"no more than {most} principal components: so many are kept.",
                UserWarning,
                stacklevel=4,
            )
        return min(self.n_components, most)


def _varying(images):
    """Return which voxels (V, C, *S) differ between the images."""
    if len(images) < 2:
        raise ValueError(
            "What differs between images takes at least 2 rows with an image to tell, but n_samples = "
            f"{len(images)} in fit."
        )
    ranges = np.ptp(images, axis=0)
    varying = ranges[ranges > 0]
    if not varying.size:
        raise ValueError(
            f"The {len(images)} training images are all the same: nothing can be learned from them. Look at "
            "the files, and at ImageLoader(intensity=...)."
        )
    return ranges >= LEAST_RANGE * np.quantile(varying, 0.9)
