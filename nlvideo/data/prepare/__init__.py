"""Offline work on video files: check, transcode, encode, in a pool of worker processes."""
