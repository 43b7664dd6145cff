"""Images of any format, made comparable: readers, geometry, intensity, cache, augmentation."""

from skhyperfusion.images._augmentation import make_augmentation
from skhyperfusion.images._cache import cache_info, clear_cache
from skhyperfusion.images._loader import ImageLoader
from skhyperfusion.images._readers import register_reader
from skhyperfusion.images._report import ImageReport, check_images
from skhyperfusion.images._source import ImageSource
from skhyperfusion.images._spec import ImageSpec

__all__ = [
    "ImageLoader",
    "ImageReport",
    "ImageSource",
    "ImageSpec",
    "cache_info",
    "check_images",
    "clear_cache",
    "make_augmentation",
    "register_reader",
]
