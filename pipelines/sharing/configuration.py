"""What of a bundle's configuration is code: seen as MONAI and :mod:`logging.config` will see it, and never run."""

from __future__ import annotations

import ast
import configparser
import re
import warnings
from collections.abc import Collection, Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any, NoReturn

from monai.bundle import ConfigParser, ReferenceResolver
from monai.bundle.utils import EXPR_KEY, ID_REF_KEY, MACRO_KEY, MERGE_KEY, merge_kv

from transforms import DataError

from ..bundle import CONFIGS
from .content import read_json, shown
from .targets import TARGETS

METADATA = f"{CONFIGS}/metadata.json"
META, TARGET, MODE = ConfigParser.meta_key, "_target_", "_mode_"
# Keys to which MONAI gives a meaning. It has _debug_ too, which starts a debugger, as does the mode debug; and META,
# where it puts the metadata.
SPECIAL = {TARGET, MODE, "_disabled_", "_requires_", "_desc_"}
MODES = ("default", "callable")
ALONE = ("metadata", "train", "inference")  # what is used by itself; all else is an overlay
BASES = (("train",), ("train", "evaluate"), ("inference",), ())  # which it is laid over: the first that it fits
KEY = re.compile(r"(?![@$%+])[ -~]{1,100}")  # of an object
MAX_KEYS, MAX_VALUES = 200, 20_000  # of an object, and that macros make
MAX_MACRO, MAX_MACROS = 200, 8  # characters of one, and how many within one another
LOGGED = ("class", "args", "kwargs", "defaults")  # what logging.config evaluates, of any section
MAX_LITERAL = 1000  # characters
LOG_CLASSES = ("StreamHandler", "NullHandler", "Formatter")
STREAMS = ("(sys.stdout,)", "(sys.stderr,)")


def check_keys(where: str, data: bytes) -> None:
    """Check that the keys of a configuration's JSON mean to MONAI what they look like.

    Raises:
        DataError: if one is empty or unprintable, is special to MONAI in a way that no bundle needs, holds ``#`` or
            ``::`` below the first level, or changes what another key of the same file says.
    """
    config = read_json(data)
    written: list[list[str]] = []
    if not isinstance(config, dict):
        raise DataError(f"{where}: is no JSON object. Write one.")
    for key, value in config.items():
        parts = ReferenceResolver.split_id(key.removeprefix(MERGE_KEY))
        for part in parts:
            _check_key(where, key, part)
        for other in written:
            if parts[: len(other)] == other or other[: len(parts)] == parts:
                _trick(where, key, f"changes what {'::'.join(other)} of the same file says")
        written.append(parts)
        _check_special(where, key, parts[-1], value)
        _check_object(where, key, value)


def _check_object(where: str, key: str, value: Any) -> None:
    if isinstance(value, dict):
        if len(value) > MAX_KEYS:
            _trick(where, key, f"has more than {MAX_KEYS} keys")
        for part, inner in value.items():
            _check_key(where, f"{key}::{part}", part)
            _check_special(where, f"{key}::{part}", part, inner)
    for part, inner in (
        value.items() if isinstance(value, dict) else enumerate(value if isinstance(value, list) else ())
    ):
        _check_object(where, f"{key}::{part}", inner)


def _check_key(where: str, key: str, part: str) -> None:
    if not KEY.fullmatch(part) or ":" in part or "#" in part:
        _trick(where, key, "is no plain key: it is empty, longer than 100, or holds what MONAI reads as something else")
    if re.fullmatch(r"_.*_", part) and part not in SPECIAL:
        _trick(where, key, f"is none of MONAI's special keys that a bundle needs ({', '.join(sorted(SPECIAL))})")


def _check_special(where: str, key: str, part: str, value: Any) -> None:
    if part == MODE and value not in MODES:
        _trick(where, key, f"is {value!r}, and not {' or '.join(MODES)}")
    if part == TARGET and not isinstance(value, str):
        _trick(where, key, "is no name")


def _trick(where: str, key: str, why: str) -> NoReturn:
    raise DataError(f"{where}: the key {shown(key)[:200]} {shown(why)}. Do not use it, or write it plainly.")


class _Unrun(ConfigParser):
    """MONAI's parser, which expands a configuration and runs nothing of it; nor does it open files."""

    def __init__(self, where: str):
        self.where, self.left = where, MAX_VALUES
        super().__init__({}, globals=False)

    def get_parsed_content(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise AssertionError("a configuration that is being verified is not to be run")

    def _do_resolve(self, config: Any, id: str = "") -> Any:  # noqa: A002 - MONAI's name
        if isinstance(config, str):
            text = self.resolve_relative_ids(id, config)
            if (
                text.startswith(MACRO_KEY) and len(text) > MAX_MACRO
            ):  # MONAI compares it with all keys to find a near one
                _trick(self.where, id, f"is a macro of more than {MAX_MACRO} characters")
            if text.startswith(MACRO_KEY) and self.split_path_id(text[len(MACRO_KEY) :])[0]:
                _trick(self.where, id, f"takes its value from another file, {text}")
        found = super()._do_resolve(config, id)
        if isinstance(config, str) and not isinstance(found, str):  # macros in macros double what they copy
            self.left -= sum(1 for _ in _leaves(found))
            if self.left < 0:
                _trick(self.where, id, f"is a macro that makes more than {MAX_VALUES} values")
        return found

    def expand(self) -> None:
        """Resolve macros and relative ids until none is left, as MONAI does each time that it parses."""
        for _ in range(MAX_MACROS):
            self.parse()
            macros = [key for key, value in _leaves(self.config) if str(value).startswith(MACRO_KEY)]
            if not macros:
                return
        _trick(self.where, macros[0], f"is a macro in more than {MAX_MACROS} macros")


def expanded(where: str, name: str, files: Mapping[str, bytes]) -> dict[str, Any]:
    """The values of one file of a configuration as MONAI has them, ``#``, ``::``, ``+``, ``%`` and macros resolved.

    Args:
        where: begins the message of an error.
        name: of the file, as ``configs/train.json``. An overlay is laid over what it fits.
        files: the JSON of the whole bundle, by name; each has passed :func:`check_keys`.

    Returns:
        each value that is no object or list, or an empty one, by its id. Of an overlay those that it adds or changes.

    Raises:
        DataError: if MONAI cannot read it, or it expands without bounds or takes values from other files.
    """
    reason: Exception | None = None
    for base in ((),) if PurePosixPath(name).stem in ALONE else BASES:
        below = [f"{CONFIGS}/{part}.json" for part in base]
        if name in below or not set(below) <= set(files):
            continue
        try:
            without = _read(where, below, files) if below else {}
            found = _read(where, [*below, name], files)
        except (KeyError, IndexError, ValueError, TypeError, AttributeError, RecursionError) as error:
            if isinstance(error, DataError):
                raise
            reason = reason or error
            continue
        return {key: value for key, value in found.items() if key not in without or repr(without[key]) != repr(value)}
    raise DataError(f"{where}: MONAI cannot read it ({shown(str(reason))[:200]}). Fix it.")


def _read(where: str, names: list[str], files: Mapping[str, bytes]) -> dict[str, Any]:
    """The values of files laid over one another, with the metadata where they are not what is read."""
    parser = _Unrun(where)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MONAI's repeat what is in the files
        _merge(parser, names, files)
        if METADATA in files and METADATA not in names:
            parser.set(_merge(ConfigParser({}, globals=False), [METADATA], files).config, META)
        parser.expand()
    # each value that MONAI would evaluate, hand on, or make an object of
    items = {key: item.get_config() for key, item in parser.ref_resolver.items.items()}
    values = {key: value for key, value in items.items() if not isinstance(value, (dict, list)) or not value}
    return {key: value for key, value in values.items() if key.partition("::")[0] != META}


def _merge(parser: ConfigParser, names: list[str], files: Mapping[str, bytes]) -> ConfigParser:
    """As ConfigParser.load_config_files does."""
    for name in names:
        for key, value in read_json(files[name]).items():
            merge_kv(parser, key, value)
    return parser


def _leaves(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, (dict, list)) and value:
        for _, below, inner in ReferenceResolver.iter_subconfigs(key, value):
            yield from _leaves(inner, below)
    else:
        yield key, value


def is_code(key: str, value: Any) -> bool:
    """Whether a value of an expanded configuration, or of a logging configuration, is run or names what is."""
    last = key.rpartition("::")[2]
    return isinstance(value, str) and (value.startswith((EXPR_KEY, MACRO_KEY)) or _names(last) or last in LOGGED)


def _names(part: str) -> bool:
    """Whether what stands under a key names Python: MONAI also finds readers and writers by their names."""
    return part == TARGET or part.endswith(("reader", "writer"))


def not_allowed(where: str, name: str, data: bytes, allowed: Collection[str] = ()) -> list[tuple[str, str]]:
    """Key and text of all in a file that names Python beyond ``TARGETS`` and ``allowed``.

    Of a logging configuration it is what :mod:`logging.config` evaluates, but for classes that only print, streams and
    literals. Files that configure nothing name none.

    Raises:
        DataError: as :func:`check_keys` and :func:`logging_options`.
    """
    if name.endswith(".conf"):
        found = [item for item in logging_options(where, data).items() if not _only_prints(*item)]
    elif name.startswith(f"{CONFIGS}/") and name.endswith(".json"):
        check_keys(where, data)
        found = [item for item in _python_named(read_json(data), "", "") if item[1] not in TARGETS]
    else:
        return []
    return [(key, text) for key, text in found if text not in allowed]


def _python_named(value: Any, key: str, part: str) -> Iterator[tuple[str, str]]:
    """Key and text of what stands under a key that names Python, which is ``part``."""
    if isinstance(value, dict):
        for inner, found in value.items():
            last = ReferenceResolver.split_id(inner.removeprefix(MERGE_KEY))[-1]
            yield from _python_named(found, f"{key}::{inner}".removeprefix("::"), last)
    elif isinstance(value, list):
        for number, found in enumerate(value):
            yield from _python_named(found, f"{key}::{number}", part)
    elif isinstance(value, str) and _names(part):
        # a reader may be one that stands elsewhere, under a key that is looked at too, or be computed: all that is
        # computed is shown
        elsewhere = value.startswith(ID_REF_KEY) and _names(ReferenceResolver.split_id(value)[-1])
        if part == TARGET or (not elsewhere and not value.startswith(EXPR_KEY)):
            yield key, value


def _only_prints(key: str, text: str) -> bool:
    option = key.rpartition("::")[2]
    if option == "class":
        return text.removeprefix("logging.") in LOG_CLASSES
    return option not in LOGGED or text in STREAMS or _is_literal(text)


def _is_literal(text: str) -> bool:
    if len(text) > MAX_LITERAL:
        return False
    try:
        ast.literal_eval(text or "None")
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return False
    return True


def logging_options(where: str, data: bytes) -> dict[str, str]:
    """The options of a logging configuration, by ``section::option``.

    Raises:
        DataError: if it is none, or composes from parts what :mod:`logging.config` evaluates.
    """
    parser = configparser.ConfigParser()
    try:
        parser.read_string(data.decode())
        options = {}
        for section in parser.sections():
            for option in parser.options(section):
                plain = parser.get(section, option, raw=True)
                if option in LOGGED and plain != parser.get(section, option):
                    _trick(where, f"{section}::{option}", "is composed of other options")
                options[f"{section}::{option}"] = plain
        return options
    except configparser.Error as error:
        raise DataError(f"{where}: is no logging configuration ({shown(str(error))}). Fix it.") from error


def values_of(where: str, name: str, files: Mapping[str, bytes]) -> dict[str, Any]:
    """What a file that configures says, by key: as MONAI or logging.config will have it; of other JSON, as it is.

    Raises:
        DataError: as :func:`expanded` and :func:`logging_options`.
    """
    if name.endswith(".conf"):
        return dict(logging_options(where, files[name]))
    if PurePosixPath(name).parts[0] == CONFIGS:
        return expanded(where, name, files)
    return dict(_leaves(read_json(files[name])))
