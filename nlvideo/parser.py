"""The command line's parser: errors are a line, and kinds of blocks are merged by name."""

import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import yaml
from jsonargparse import Namespace, set_dumper
from lightning.pytorch.cli import LightningArgumentParser

from nlvideo.models.inserts import key_with_kind, merge_inserts
from nlvideo.parse_errors import explain


class _Dumper(yaml.SafeDumper):
    """Quotes strings such as ``1e-3``, which YAML 1.1 reads as strings and jsonargparse as numbers."""


_Dumper.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile("[-+]?[0-9][0-9_]*[eE][-+]?[0-9]+$"), [*"-+0123456789"]
)


def to_yaml(config: Mapping[str, Any]) -> str:
    """Return the text of a config.yaml, which reads as the same values."""
    return yaml.dump(config, Dumper=_Dumper, sort_keys=False, allow_unicode=True)


set_dumper("yaml", to_yaml)  # for the configurations of classes too, which jsonargparse dumps and loads inside others


class Parser(LightningArgumentParser):
    """LightningCLI's parser.

    jsonargparse parses the arguments of a class in a parser of the same kind, where `namespace` holds what they were
    before. In those of a network, the settings of ``after`` are merged by `merge_inserts`: jsonargparse alone would
    replace the whole mapping by one of a YAML file, and knows no shorthand.
    """

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        options = [option for action in self._actions for option in action.option_strings]
        sys.stderr.write(f"nlvideo: {explain(message, options)} (see --help)\n")
        raise SystemExit(2)

    def parse_object(self, obj: Namespace | dict[str, Any], namespace: Namespace | None = None, **options) -> Namespace:
        if "after" in obj and self._has_inserts():
            override = obj["after"]
            if isinstance(override, str):
                override = yaml.safe_load(override)
            if isinstance(override, Namespace):
                override = vars(override)
            obj = Namespace({**vars(Namespace(obj)), "after": merge_inserts(self._inserts(namespace), override)})
        return super().parse_object(obj, namespace, **options)

    def parse_args(self, args: Sequence[str] | None = None, namespace: Namespace | None = None, **options) -> Namespace:
        if self._has_inserts():
            before = self._inserts(namespace)
            args = [self._with_kind(arg, before) for arg in args]
            namespace = Namespace({**vars(namespace or Namespace()), "after": before})
        return super().parse_args(args, namespace, **options)

    def _has_inserts(self) -> bool:
        try:
            return isinstance(self.get_default("after"), dict)
        except KeyError:
            return False

    def _inserts(self, namespace: Namespace | None) -> Mapping[str, Any]:
        before = (namespace or {}).get("after")
        return self.get_default("after") if before is None else before

    @staticmethod
    def _with_kind(arg: str, before: Mapping[str, Any]) -> str:
        key, equals, value = arg.partition("=")
        if not key.startswith("--after."):
            return arg
        return f"--after.{key_with_kind(before, key.removeprefix('--after.'))}{equals}{value}"
