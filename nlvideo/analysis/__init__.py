"""What attention does: which positions a block draws on, in pixels of the video, as numbers and as pictures."""

from nlvideo.analysis.maps import AttentionMap, attention_maps

__all__ = ["AttentionMap", "attention_maps"]
