"""Networks and where blocks stand in them."""

from nlvideo.models.any_model import AnyModel
from nlvideo.models.backbone import Backbone
from nlvideo.models.head import DualAttentionHead, Head
from nlvideo.models.insert import insert_blocks
from nlvideo.models.inserts import Insert
from nlvideo.models.placement import Placement, resolve_placement
from nlvideo.models.resnet3d import ResNet3d

__all__ = [
    "AnyModel",
    "Backbone",
    "DualAttentionHead",
    "Head",
    "Insert",
    "Placement",
    "ResNet3d",
    "insert_blocks",
    "resolve_placement",
]
