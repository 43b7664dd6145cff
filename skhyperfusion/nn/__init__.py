"""Networks: torch alone, no tables and no files."""

from skhyperfusion.nn._attention import TabAttention
from skhyperfusion.nn._backbones import PlainBackbone, ResidualBackbone
from skhyperfusion.nn._conditioning import DAFT, FiLM
from skhyperfusion.nn._embedding import EmbeddingNetwork
from skhyperfusion.nn._external import ExternalConv, ExternalLinear
from skhyperfusion.nn._externalize import externalize
from skhyperfusion.nn._fusion import FusionNetwork
from skhyperfusion.nn._generator import AffineGenerator
from skhyperfusion.nn._head import Head
from skhyperfusion.nn._hypernetwork import Hypernetwork
from skhyperfusion.nn._norm import BatchNorm

__all__ = [
    "DAFT",
    "AffineGenerator",
    "BatchNorm",
    "EmbeddingNetwork",
    "ExternalConv",
    "ExternalLinear",
    "FiLM",
    "FusionNetwork",
    "Head",
    "Hypernetwork",
    "PlainBackbone",
    "ResidualBackbone",
    "TabAttention",
    "externalize",
]
