"""The command line of `fit`, `validate` and `test`: LightningCLI, with a folder for each run."""

import shlex
import sys
from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import Namespace
from lightning.pytorch.callbacks import RichProgressBar
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.utilities import rank_zero_only

from nlvideo import checkpoint, recipes
from nlvideo.analysis.maps import block_names
from nlvideo.analysis.variants import make_variants
from nlvideo.console import PLAIN
from nlvideo.data.module import VideoData
from nlvideo.evaluation.log_progress import LogProgress
from nlvideo.evaluation.report import ResultsFolder
from nlvideo.evaluation.variants import INTACT
from nlvideo.files import make_writable_folder
from nlvideo.parser import Parser
from nlvideo.quiet import hush_libraries
from nlvideo.run_options import RUN_OPTIONS, add_options
from nlvideo.task import VideoClassifier
from nlvideo.training.checkpoint_io import AtomicIO
from nlvideo.training.checkpointing import checkpoints
from nlvideo.training.loggers import as_list, drop_failing_loggers, prepare_wandb, takes_pictures
from nlvideo.training.metrics_logger import metrics_logger
from nlvideo.training.resume import find_resumable_run
from nlvideo.training.run_folder import RunFolder, check_name, forget_run
from nlvideo.training.run_lock import run_lock
from nlvideo.training.sanity_checks import check_trainer
from nlvideo.training.trainer import Trainer, check_devices, set_speed, with_timeout
from nlvideo.training.wandb_media import WandbMedia
from nlvideo.user_modules import import_named_modules


class VideoCLI(LightningCLI):
    """Parse the command line, run the command, and leave its results in the run's folder."""

    def __init__(self, args: list[str]):
        hush_libraries()
        self._command = args[0]
        with ExitStack() as self._held:  # until the command has run
            super().__init__(
                VideoClassifier,
                VideoData,
                trainer_class=Trainer,
                parser_class=Parser,
                save_config_callback=None,  # RunFolder writes config.yaml
                seed_everything_default=0,
                auto_configure_optimizers=False,
                load_from_checkpoint_support=False,  # a checkpoint carries its own record
                args=recipes.find_all(import_named_modules(args)),
            )

    def subcommands(self) -> dict[str, set[str]]:
        """Return what the command does not take, for the command that was asked for: each parser takes time to make."""
        skipped = {"model", "dataloaders", "train_dataloaders", "val_dataloaders", "datamodule", "verbose"}
        return {self._command: {*skipped, "weights_only"}}

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        add_options(parser, RUN_OPTIONS)
        parser.link_arguments("data.num_classes", "model.net.init_args.num_classes")
        parser.link_arguments("seed_everything", "data.seed", compute_fn=_seed)

    def parse_arguments(self, parser: LightningArgumentParser, args: list[str]) -> None:
        self.config = parser.parse_args(args)
        self._arguments = args

    def _parse_ckpt_path(self) -> None:
        """Do nothing: LightningCLI would let the checkpoint's settings replace those of the command line.

        They are compared instead, see `VideoClassifier.on_load_checkpoint`.
        """

    def before_instantiate_classes(self) -> None:
        config = self.config[self.subcommand]
        check_name(config.name)
        given = config.get("ckpt_path")
        if config.resume and self.subcommand != "test":
            again = "; a training goes on by itself when its command is given again" if self.subcommand == "fit" else ""
            raise ValueError(f"nlvideo {self.subcommand}: --resume is for test{again}")
        if (config.lesion or config.probe) and self.subcommand != "test":
            raise ValueError(f"nlvideo {self.subcommand}: --lesion and --probe are for test")
        if not given and self.subcommand != "fit":
            weights = Path(config.runs_dir) / (config.name or "<name>") / "last.ckpt"
            also = "; --name only says where results go" if config.name else ""
            raise ValueError(f"{self.subcommand}: no weights given; expected --ckpt_path {weights}{also}")
        if self.subcommand != "fit":
            checkpoint.read(given)  # raises where it is none of ours
            self.folder = self._results_folder(config)
            config.trainer.precision = "32-true"  # a run's config has its training's; model.inference_dtype decides
        else:
            config.name = config.name or f"fit-{datetime.now():%Y%m%d-%H%M%S}"
            self.folder = Path(config.runs_dir) / config.name
        config.trainer.default_root_dir = str(self.folder)
        check_trainer(config.trainer)
        check_devices(config.trainer)
        self.resumed, self.same_command = None, False
        if self.subcommand == "fit":
            if rank_zero_only.rank == 0:
                self._held.enter_context(run_lock(self.folder))
            self._find_checkpoint(config)
        prepare_wandb(config.trainer.logger, self.folder, self.resumed)

    def _results_folder(self, config: Namespace) -> Path:
        """Return the checkpoint's folder, or the one named on this command line; a run's config.yaml names its own."""
        folder = Path(config.ckpt_path).parent
        if any(argument.partition("=")[0] in ("--name", "--runs_dir") for argument in self._arguments):
            if not config.name:
                raise ValueError(f"--runs_dir {config.runs_dir}: give --name too; results go to runs_dir/name")
            folder = Path(config.runs_dir) / config.name
        return self._writable(folder, "--name and --runs_dir")

    @staticmethod
    def _writable(folder: Path, options: str) -> Path:
        try:
            make_writable_folder(folder)
        except OSError as error:
            raise ValueError(
                f"{folder}: results can't be written there ({error.strerror}); choose another folder with {options}"
            ) from error
        return folder

    def _find_checkpoint(self, config: Namespace) -> None:
        """Find the one to go on from: --ckpt_path, or the last of an unfinished run in the folder."""
        if config.overwrite and not config.ckpt_path:
            if rank_zero_only.rank == 0:
                forget_run(self.folder)
            return
        if not config.ckpt_path:
            found = find_resumable_run(self.folder, self._config_values())
            if found is None:
                return
            config.ckpt_path = str(found)
            self.same_command = True
        self.resumed = checkpoint.read(config.ckpt_path)
        if "optimizer_states" not in self.resumed:
            raise ValueError(
                f"{config.ckpt_path}: holds a network, and no run to go on with; start from it with "
                f"--model.init_from {config.ckpt_path}"
            )

    def _config_values(self) -> dict[str, Any]:
        return yaml.safe_load(self._config_text())

    def _config_text(self) -> str:
        return self._parser(self.subcommand).dump(self.config[self.subcommand], skip_unset=False)

    def _prepare_subcommand_kwargs(self, subcommand: str) -> dict[str, Any]:
        """Keep Lightning from printing results too (verbose)."""
        quiet = {} if subcommand == "fit" else {"verbose": False}
        return {**super()._prepare_subcommand_kwargs(subcommand), **quiet}

    def instantiate_trainer(self, **kwargs):
        config_text = self._config_text()
        self.model.run_config = yaml.safe_load(config_text)
        settings = self.config_init[self.subcommand]
        config = {**settings.trainer, **kwargs}
        self.model.init_from = None if self.resumed else self.model.init_from  # it has gone on from there long since
        io, timeout = AtomicIO(), timedelta(minutes=settings.timeout_minutes)
        loggers = [logger for logger in as_list(config["logger"]) if not isinstance(logger, bool)]
        callbacks = [*as_list(config["callbacks"]), *([WandbMedia()] if takes_pictures(loggers) else [])]
        if self.subcommand == "fit":
            callbacks += [
                RunFolder(self.folder, config_text),
                *checkpoints(self.folder, settings.checkpoint_minutes, io, timeout, same_ranks=self.same_command),
            ]
            loggers = [metrics_logger(self.folder, self.resumed), *loggers]
            set_speed(config)
        else:
            evaluator, asked = self.model.evaluator, {"lesions": settings.lesion, "probes": settings.probe}
            evaluator.results = ResultsFolder(self.folder, Path(settings.ckpt_path), resume=settings.resume)
            evaluator.variants = [INTACT, *make_variants(self.model.net, **asked, seed=self.datamodule.seed)]
        if sys.stdout.isatty():
            callbacks.append(RichProgressBar(leave=False, console_kwargs=PLAIN))
        elif self.subcommand != "fit":  # which prints a line for each log step
            callbacks.append(LogProgress())
        config["logger"] = loggers or False
        config["callbacks"] = callbacks
        config["plugins"] = [*as_list(config["plugins"]), io]
        config["enable_progress_bar"] = sys.stdout.isatty()
        config["enable_model_summary"] = False
        config["use_distributed_sampler"] = False  # Lightning's counts some videos twice; VideoData shares them out
        config["strategy"] = with_timeout(config, timeout)
        trainer = self.trainer_class(**config)
        drop_failing_loggers(trainer)
        if self.same_command:
            done = f"{self.resumed['global_step']} steps"
            rank_zero_only(print)(f"{self.folder} holds this run, stopped after {done}: goes on from last.ckpt")
        return trainer

    def after_fit(self) -> None:
        if not self.trainer.fast_dev_run:  # which keeps no checkpoint
            say_next("test", "-c", self.folder / "config.yaml", "--ckpt_path", self.folder / "last.ckpt")

    def after_validate(self) -> None:
        say_next("test", *self._of_checkpoint())

    def after_test(self) -> None:
        if block_names(self.model.net):
            say_next("attention-stats", *self._of_checkpoint(), "-o", self.folder / "stats")
        else:
            say_next("predict", "VIDEO", *self._of_checkpoint()[-2:])

    def _of_checkpoint(self) -> list[Any]:
        """Return the options that name the checkpoint of this evaluation and the configuration beside it."""
        path = Path(self.config_init[self.subcommand].ckpt_path)
        config = path.with_name("config.yaml")
        return ["-c", config if config.is_file() else "FILE", "--ckpt_path", path]


def main(args: list[str]) -> None:
    """Run ``fit``, ``validate`` or ``test``, the first of `args`."""
    VideoCLI(args)


@rank_zero_only
def say_next(*command: str | Path) -> None:
    """Print a command of nlvideo to go on with, as the last line."""
    print(f"next: {shlex.join(['nlvideo', *map(str, command)])}")


def _seed(seed: int | bool) -> int:
    if isinstance(seed, bool):
        raise ValueError(f"seed_everything: expected a whole number, got {str(seed).lower()}")
    return seed
