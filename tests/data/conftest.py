"""Shared by the tests of data."""

import pytest

from nlvideo.data.manifest import Sample


@pytest.fixture(scope="module")
def samples(tmp_path_factory, write_numbered):
    """Videos of 100 and of 20 frames, one that is missing, one that is not a video."""
    folder = tmp_path_factory.mktemp("videos")
    (folder / "text.mp4").write_text("not a video")
    return [
        Sample(write_numbered(folder / "long.mp4", 100), 1, "long.mp4"),
        Sample(write_numbered(folder / "short.mp4", 20), 0, "short.mp4"),
        Sample(folder / "absent.mp4", 1, "absent.mp4"),
        Sample(folder / "text.mp4", 0, "text.mp4"),
    ]
