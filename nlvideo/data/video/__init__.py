"""Frames of a video by number: one reader for each decoder, behind one interface."""
