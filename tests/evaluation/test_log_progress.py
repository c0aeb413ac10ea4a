"""Lines of progress of an evaluation in a log."""

from types import SimpleNamespace

from nlvideo.evaluation import log_progress
from nlvideo.evaluation.log_progress import LogProgress


def test_a_line_a_minute_says_how_long_the_rest_takes(monkeypatch, capsys):
    now = 100.0
    monkeypatch.setattr(log_progress.time, "monotonic", lambda: now)
    trainer = SimpleNamespace(num_test_batches=[60], is_global_zero=True)
    progress = LogProgress()
    progress.on_test_start(trainer, None)
    for batch in range(10):
        now += 13.0
        progress.on_test_batch_end(trainer, None, None, None, batch)
    # After 65 s and after 130 s: the fifth and the tenth of sixty batches.
    assert capsys.readouterr().out.splitlines() == [
        "5 of 60 batches scored, left 0:11:55",
        "10 of 60 batches scored, left 0:10:50",
    ]
