"""The help of `fit`, `validate`, `test` and `attention-stats`, from the source of the classes that their options fill.

Importing these classes takes seconds; reading their signatures and docstrings does not. tests/test_help.py holds the
pages to the parser's options.
"""

import ast
import re
import textwrap
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from docstring_parser import parse

from nlvideo.run_options import RUN_OPTIONS, STATS_OPTIONS
from nlvideo.suggest import did_you_mean

WIDTH, COLUMN = 120, 44  # characters of a line, and those in front of the text

ABOUT = {
    "fit": "Train a network. The same command again goes on where it was stopped.",
    "validate": "Score a checkpoint at clip level: one centred clip, one centre crop.",
    "test": "Score a checkpoint at clip level and at video level: many clips and crops, softmax averaged.",
    "attention-stats": "Measure the attention of a checkpoint's network over the test videos.",
}
GENERAL = {
    "-c FILE": "A YAML file, or a recipe by name (nlvideo recipes). Several are merged, the last one wins.",
    "--ckpt_path FILE": "The weights. fit: where to go on, if not from last.ckpt of the run's folder.",
    "--import MODULE": "A module of yours: options can then name its classes. Repeatable.",
    "--seed_everything 0": "Of all random numbers.",
    "--print_config": "Print the whole configuration, and end.",
}


class Source(NamedTuple):
    """A class whose parameters are options.

    Attributes:
        title: above them.
        key: in front of each.
        file: of the class, within its package.
        name: of the class.
        skipped: parameters that stand elsewhere, or are refused.
        only: the parameters to show; () for all.
        package: of the file.
    """

    title: str
    key: str
    file: str
    name: str
    skipped: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    package: str = "nlvideo"


LIMITS = Source("Trainer", "trainer", "training/trainer.py", "Trainer")
LIGHTNING = Source(
    "",
    "trainer",
    "pytorch/trainer/trainer.py",
    "Trainer",
    skipped=("overfit_batches", "barebones", "enable_checkpointing"),  # `check_trainer` refuses them
    package="lightning",
)
COMMON = (
    *("accelerator", "devices", "num_nodes", "precision", "logger", "callbacks", "log_every_n_steps"),
    *("check_val_every_n_epoch", "accumulate_grad_batches", "gradient_clip_val"),
)
FIRST_PAGE = [
    Source("Data", "data", "data/module.py", "VideoData", skipped=("seed",)),
    Source("Training and evaluation", "model", "task.py", "VideoClassifier", skipped=("optimizer", "schedule")),
    Source("Optimizer", "model.optimizer", "training/optim.py", "Optimizer"),
    Source("Schedule of the learning rate", "model.schedule", "training/optim.py", "Schedule"),
    LIMITS,
    LIGHTNING._replace(only=COMMON),
]
EVALUATION = [*FIRST_PAGE[:2], LIGHTNING._replace(title="Trainer", only=COMMON[:4])]
TOPICS = {
    "net": [
        Source("Network ResNet3d", "model.net", "models/resnet3d.py", "ResNet3d", skipped=("num_classes",)),
        Source("Blocks at one plug, after or branch", "model.net.after", "models/inserts.py", "Insert"),
    ],
    "augment": [Source("Augmentation", "data.augment", "data/transforms.py", "Augment")],
    "trainer": [LIMITS._replace(title="Lightning's Trainer"), LIGHTNING],
}


class Option(NamedTuple):
    name: str
    default: str
    about: str

    @property
    def given(self) -> str:
        """The option as on a command line, with its default."""
        return f"--{self.name} {self.default}".rstrip()


def help_page(command: str, topic: str = "") -> str:
    """Return the help of a command, or of one topic of it.

    Raises:
        ValueError: there is no such topic.
    """
    topics = {**TOPICS, **block_topics()}
    if not topic:
        run = RUN_OPTIONS | (STATS_OPTIONS if command == "attention-stats" else {})
        shown = {name: each for name, each in run.items() if each.only in ("", command)}
        options = [Option(name, _value(each.settings["default"]), each.help) for name, each in shown.items()]
        lines = [f"usage: nlvideo {command} -c FILE [options]", "", ABOUT[command]]
        lines += ["Options stand with their defaults. In a YAML file each dot is a level.", "", "Run"]
        lines += _table([*GENERAL.items(), *((each.given, each.about) for each in options)])
        lines += _sections(FIRST_PAGE if command == "fit" else EVALUATION)
        lines += [
            "",
            "More options",
            *_table((f"nlvideo {command} --help {name}", sources[0].title) for name, sources in topics.items()),
        ]
        lines += _table([(f"nlvideo {command} --model.net.help CLASS", "A network of your own, after --import.")])
    elif topic in topics:
        lines = _sections(topics[topic])[1:]
    else:
        raise ValueError(f"--help {topic}: expected {', '.join(topics)}, or nothing{did_you_mean(topic, topics)}")
    return "\n".join(lines) + "\n"


def block_topics() -> dict[str, list[Source]]:
    """Return a topic for each class that nlvideo.blocks imports."""
    imports = [node for node in _tree("nlvideo", "blocks/__init__.py").body if isinstance(node, ast.ImportFrom)]
    found = {each.name: node.module.removeprefix("nlvideo.") for node in imports for each in node.names}
    return {
        name: [Source(f"Block {name}", "model.net.after.block", f"{module.replace('.', '/')}.py", name, ("channels",))]
        for name, module in found.items()
        if name != "Block"
    }


def read_options(source: Source) -> list[Option]:
    """Return the parameters of a class, without importing it."""
    tree = _tree(source.package, source.file)
    (cls,) = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == source.name]
    inits = [node for node in cls.body if isinstance(node, ast.FunctionDef) and node.name == "__init__"]
    texts = [ast.get_docstring(node) or "" for node in (cls, *inits)]
    about = {param.arg_name: param.description or "" for text in texts for param in parse(text).params}
    fields = list(_parameters(inits[0].args) if inits else _fields(cls))
    wanted = [name for name, _ in fields if name not in source.skipped and (not source.only or name in source.only)]
    defaults = dict(fields)
    first_sentence = source.package == "lightning"  # what follows is for calls from Python
    return [
        Option(f"{source.key}.{name}", defaults[name], _plain(about.get(name, ""), first_sentence)) for name in wanted
    ]


def _tree(package: str, file: str) -> ast.Module:
    (folder,) = find_spec(package).submodule_search_locations
    return ast.parse((Path(folder) / file).read_text(encoding="utf-8"))


def _parameters(arguments: ast.arguments) -> Iterator[tuple[str, str]]:
    """Yield name and default of each parameter of a function but self."""
    positional = arguments.args[1:]
    required = len(positional) - len(arguments.defaults)
    defaults = [*[None] * max(required, 0), *arguments.defaults, *arguments.kw_defaults]
    for argument, default in zip([*positional, *arguments.kwonlyargs], defaults, strict=True):
        yield argument.arg, _written(default)


def _fields(cls: ast.ClassDef) -> Iterator[tuple[str, str]]:
    """Yield name and default of each field of a dataclass."""
    for node in cls.body:
        if isinstance(node, ast.AnnAssign):
            yield node.target.id, _written(node.value)


def _written(default: ast.expr | None) -> str:
    """Return a default as it is written on the command line, "" for a required one or one of code."""
    try:
        return "" if default is None else _value(ast.literal_eval(default))
    except ValueError:
        return ""


def _value(value: object) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(list(value)) if isinstance(value, tuple | list) else str(value)


def _plain(text: str, first_sentence: bool) -> str:
    text = re.sub(r"``|:\w+:(?=`)", "", " ".join(text.split()))
    text = re.sub(r"\bNone\b", "null", text)  # as YAML writes it
    return text.partition(". ")[0].removesuffix(".") + "." if first_sentence else text


def _sections(sources: Iterable[Source]) -> list[str]:
    """Return the lines of a page. An option of two classes, our Trainer and Lightning's, is the first one's."""
    lines, shown = [], set()
    for source in sources:
        options = [option for option in read_options(source) if option.name not in shown]
        shown |= {option.name for option in options}
        lines += ["", source.title] if source.title else []
        lines += _table((option.given, option.about) for option in options)
    return lines


def _table(rows: Iterable[tuple[str, str]]) -> list[str]:
    """Return lines with two columns; a long first cell has a line of its own."""
    lines = []
    for left, right in rows:
        text = textwrap.wrap(right, WIDTH - COLUMN) or [""]
        if len(left) + 4 > COLUMN:
            lines.append(f"  {left}")
        else:
            text[0] = f"  {left}".ljust(COLUMN) + text[0]
            lines.append(text.pop(0))
        lines += [" " * COLUMN + line for line in text]
    return lines
