"""Two processes on gloo against one, and what happens where one of them is lost."""

import pandas as pd
import torch

from tests.distributed import start_nlvideo

# No mixup and no dropout: each process has its own draws there.
RUN = ["--trainer.max_epochs=2", "--trainer.sync_batchnorm=true", "--model.schedule.warmup_epochs=0"]
RUN += ["--trainer.limit_val_batches=0"]
RUN += ["--model.optimizer={name: sgd, lr: 0.05}"]  # adamw turns the rounding of tiny gradients into whole steps


def test_two_processes_train_as_one_with_the_same_total_batch(tiny, tmp_path):
    jobs = [
        start_nlvideo(
            [
                "fit",
                *tiny,
                *RUN,
                f"--data.batch_size={8 // num_ranks}",
                f"--runs_dir={tmp_path}",
                f"--name={num_ranks}",
            ],
            num_ranks=num_ranks,
        )
        for num_ranks in (1, 2)
    ]
    assert [job.wait() for job in jobs] == [[0], [0, 0]], jobs[1].output()
    one, two = (torch.load(tmp_path / name / "last.ckpt", weights_only=True) for name in "12")
    torch.testing.assert_close(two["state_dict"], one["state_dict"], rtol=1e-3, atol=1e-4)
    one, two = (pd.read_csv(tmp_path / name / "metrics.csv") for name in "12")
    for metric in ("train/loss_epoch", "train/top1"):
        pd.testing.assert_series_equal(one[metric], two[metric], rtol=1e-4)
    assert len(list(tmp_path.glob("*/last.ckpt"))) == 2
