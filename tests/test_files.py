"""Files are written whole or not at all, and what killed processes leave is removed."""

import errno
import signal
import subprocess
import sys

import pytest

from nlvideo.files import remove_stale_partials, replacing, write_json, write_text

WRITER = """
import sys, time
from pathlib import Path
from nlvideo.files import replacing

with replacing(Path(sys.argv[1])) as partial:
    partial.write_text("half")
    print("written", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def writer(tmp_path):
    """A process in the middle of writing last.ckpt."""
    process = subprocess.Popen([sys.executable, "-c", WRITER, tmp_path / "last.ckpt"], stdout=subprocess.PIPE)
    assert process.stdout.readline()
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_killed_writers_partial_file_is_removed_and_a_living_writers_stays(writer, tmp_path):
    (half,) = tmp_path.iterdir()
    write_text(tmp_path / "config.yaml", "x")
    remove_stale_partials(tmp_path)
    assert half.exists()
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    assert half.exists()
    remove_stale_partials(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["config.yaml"]


def test_the_first_write_in_a_folder_removes_what_a_killed_process_left(writer, tmp_path):
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    (half,) = tmp_path.iterdir()
    others = [tmp_path / name for name in (".partial-of-mine", half.name.replace(half.name[9:17], "0" * 8))]
    for file in others:  # another program's, another host's
        file.write_text("x")
    write_json(tmp_path / "fit.json", {"seconds": 1})
    assert sorted(tmp_path.iterdir()) == sorted([*others, tmp_path / "fit.json"])


def test_a_failed_write_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "last.ckpt"
    path.write_text("old")
    with pytest.raises(OSError, match="No space left"), replacing(path) as partial:
        partial.write_text("ne")
        raise OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError(errno.EIO, "Input/output error")))
    with pytest.raises(OSError, match="Input/output"), replacing(path) as partial:
        partial.write_text("new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
