"""Checkpoints are written beside the training: of the step at which they were taken, and whole or not at all."""

import multiprocessing
import os
import signal
from threading import Event

import pytest
import torch

from nlvideo.training import checkpoint_io
from nlvideo.training.checkpoint_io import AtomicIO


def save_gated(monkeypatch) -> Event:
    """Let torch.save begin only when the event is set."""
    gate, save = Event(), torch.save
    monkeypatch.setattr(checkpoint_io.torch, "save", lambda *args: gate.wait(30) and save(*args))
    return gate


def test_the_training_goes_on_and_the_file_holds_the_weights_of_its_step(tmp_path, monkeypatch):
    gate, io, path = save_gated(monkeypatch), AtomicIO(), tmp_path / "new" / "last.ckpt"
    net = torch.nn.Linear(2, 3)
    optimizer = torch.optim.SGD(net.parameters(), lr=1.0, momentum=0.9)
    net(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    position = {"samples": 8}
    before = {name: t.clone() for name, t in net.state_dict().items()}
    io.save_checkpoint({"net": net.state_dict(), "optimizer": optimizer.state_dict(), "loader": position}, path)
    position["samples"] = 16
    optimizer.step()  # in place
    assert not path.exists()
    gate.set()
    io.wait()
    saved = torch.load(path, weights_only=True)
    assert all(torch.equal(saved["net"][name], t) for name, t in before.items())
    assert not torch.equal(saved["net"]["weight"], net.weight)
    assert torch.equal(saved["optimizer"]["state"][0]["momentum_buffer"], torch.ones(3, 2))
    assert saved["loader"] == {"samples": 8}


def test_a_kill_in_the_middle_of_writing_leaves_the_earlier_file_whole(tmp_path):
    path = tmp_path / "last.ckpt"

    def train():
        io = AtomicIO()
        io.save_checkpoint({"step": 1}, path)
        io.wait()
        checkpoint_io.os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)
        io.save_checkpoint({"step": 2}, path)
        io.wait()

    process = multiprocessing.get_context("fork").Process(target=train)
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    assert torch.load(path, weights_only=True) == {"step": 1}


def test_a_bug_in_the_writer_is_raised_where_it_is_waited_for(tmp_path):
    io = AtomicIO()
    io.save_checkpoint({"step": lambda: 1}, tmp_path / "last.ckpt")  # cannot be pickled
    with pytest.raises(AttributeError, match="lambda"):
        io.wait()
