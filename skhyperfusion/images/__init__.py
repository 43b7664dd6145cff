"""Images of any format, made comparable: readers, geometry, intensity, cache."""

from skhyperfusion.images._cache._memory import cache_info, clear_cache
from skhyperfusion.images._formats._readers import register_reader
from skhyperfusion.images._loader import ImageLoader
from skhyperfusion.images._report import ImageReport, check_images

__all__ = [
    "ImageLoader",
    "ImageReport",
    "cache_info",
    "check_images",
    "clear_cache",
    "register_reader",
]
