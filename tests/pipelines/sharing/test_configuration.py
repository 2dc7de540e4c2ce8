"""What of a configuration is code: what MONAI would run is found, and is not run by looking for it.

``witness`` stands for the evil function: tests let MONAI run it, to show that each trick is one.
"""

from __future__ import annotations

import json
import random
import sys
import tracemalloc
from contextlib import contextmanager

import pytest
from monai.bundle import ConfigParser

from pipelines.sharing.configuration import check_keys, expanded, is_code, not_allowed, values_of
from tests.pipelines.sharing.tampering import generated, tricks
from transforms import DataError

WITNESS = f"{__name__}.witness"
CALL = f"$__import__('pydoc').locate('{WITNESS}')()"
INFERENCE = "configs/inference.json"
calls: list[dict] = []


def witness(**arguments):
    calls.append(arguments)


class Watch:
    """Notes what Python's audit events tell of: evaluated code, processes, files opened."""

    EVENTS = ("exec", "compile", "os.system", "os.exec", "os.posix_spawn", "subprocess.Popen", "open", "import")

    def __init__(self):
        self.on, self.seen = False, []
        sys.addaudithook(self.hook)

    def hook(self, event, arguments):
        if self.on and event in self.EVENTS:
            self.seen.append((event, arguments[:1]))

    @contextmanager
    def __call__(self):
        self.seen, self.on = [], True
        try:
            yield
        finally:
            self.on = False


watch = Watch()


def monai_runs(tmp_path, config):
    """Whether ``witness`` is called by MONAI if all of a configuration is asked for."""
    file = tmp_path / "config.json"
    file.write_text(json.dumps(config))
    calls.clear()
    try:
        parser = ConfigParser()
        parser.read_config(file)
        parser.parse()
        for key in list(parser.ref_resolver.items):
            parser.get_parsed_content(key)
    except (KeyError, ValueError, TypeError, RuntimeError, IndexError, AttributeError):
        pass  # what the evil function gave may fit nowhere
    return bool(calls)


def looked_at(config):
    """What ``verify`` does with a file: what is refused, and the values that it shows as code, by key."""
    data = json.dumps(config).encode()
    refused = not_allowed("here", INFERENCE, data)
    values = expanded("here", INFERENCE, {INFERENCE: data})
    return refused, {key: value for key, value in values.items() if is_code(key, value)}


def found(config):
    """Whether an evil configuration is refused, or its expressions are shown. Nothing of it may be run."""
    with watch():
        try:
            refused, code = looked_at(config)
            told = bool(refused) or any("witness" in str(text) for text in code.values())
        except DataError:
            told = True
    assert not watch.seen and not calls
    return told


TRICKS = tricks(WITNESS, CALL)
NOT_RUN_AS_IT_STANDS = {"in what another needs", "a writer by its name", "all else replaced"}


@pytest.mark.parametrize("trick", TRICKS)
def test_what_monai_runs_is_found_and_not_run(tmp_path, trick):
    config = TRICKS[trick]
    assert monai_runs(tmp_path, config) or trick in NOT_RUN_AS_IT_STANDS
    calls.clear()
    assert found(config)


def test_generated_configurations_hide_nothing(tmp_path):
    """Parts of an evil object spread over keys, separators, merges and macros, as chance has it."""
    chance, evil = random.Random(7), 0
    for _ in range(200):
        config = generated(chance, WITNESS)
        if monai_runs(tmp_path, config):
            evil += 1
            calls.clear()
            assert found(config), config
    assert evil > 50


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"": {}}, "is no plain key"),
        ({"+": {}}, "is no plain key"),
        ({"a": {}, "a::": 1}, "is no plain key"),
        ({"a": {}, "a::::b": 1}, "is no plain key"),
        ({"a": {"b::c": 1}}, "is no plain key"),
        ({"a": {"b#c": 1}}, "is no plain key"),
        ({"a": {"": 1}}, "is no plain key"),
        ({"a": {"+b": 1}}, "is no plain key"),
        ({"++a": 1}, "is no plain key"),
        ({"@a": 1}, "is no plain key"),
        ({"$a": 1}, "is no plain key"),
        ({"%a": 1}, "is no plain key"),
        ({"a\u202eb": 1}, "is no plain key"),
        ({"a\nb": 1}, "is no plain key"),
        ({"x" * 101: 1}, "is no plain key"),
        ({"a": 1, "+a": []}, "changes what a of the same file says"),
        ({"a::b": 1, "a": {}}, "changes what a::b of the same file says"),
        ({"a": {}, "a#b": 1}, "changes what a of the same file says"),
        ({"a::b": 1, "a#b": 2}, "changes what a::b of the same file says"),
        ({"a": {"_debug_": True}}, "is none of MONAI's special keys"),
        ({"a": {"_args_": []}}, "is none of MONAI's special keys"),
        ({"_meta_": {}}, "is none of MONAI's special keys"),
        ({"a": {"_target_": "Compose", "_mode_": "debug"}}, "is 'debug', and not default or callable"),
        ({"a": {"_target_": "Compose", "_mode_": "$'debug'"}}, "and not default or callable"),
        ({"a::_mode_": "@mode"}, "and not default or callable"),
        ({"a": {str(number): 1 for number in range(201)}}, "has more than 200 keys"),
        ([], "is no JSON object"),
    ],
)
def test_keys_that_are_tricks_are_refused(config, message):
    with pytest.raises(DataError, match=f"^here: .*{message}") as caught:
        check_keys("here", json.dumps(config).encode())
    assert str(caught.value).isprintable()


def test_special_keys_that_bundles_need_are_taken():
    part = {"_target_": "Compose", "_mode_": "callable", "_disabled_": "@off", "_requires_": ["@a"], "_desc_": "text"}
    config = {"off": False, "a": part, "b": {"_target_": "CopyItemsd", "_disabled_": True}}
    refused, code = looked_at(config)
    assert not refused and code == {"a::_target_": "Compose", "b::_target_": "CopyItemsd"}


def test_disabled_and_callable_parts_are_looked_at_too():
    config = {"a": {"_target_": "x.y", "_disabled_": True}, "b": {"_target_": "x.z", "_mode_": "callable"}}
    refused, _ = looked_at(config)
    assert refused == [("a::_target_", "x.y"), ("b::_target_", "x.z")]


def test_values_are_those_that_monai_has(tmp_path):
    """By MONAI's own reading of the files, without evaluating."""
    base = {"a": {"b": [1, {"c": "$@x + 1"}], "d": "@#b"}, "x": 1, "y": "%a::b", "z": {"_target_": "Compose"}, "l": [1]}
    over = {"a#b#1": 2, "z::transforms": ["@x"], "+l": [2], "new": "%a"}
    files = {"configs/train.json": json.dumps(base).encode(), "configs/over.json": json.dumps(over).encode()}
    for name, data in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    parser = ConfigParser()
    parser.read_config([str(tmp_path / name) for name in files])
    parser.parse()
    found = expanded("here", "configs/over.json", files)
    assert found == {
        "a::b::1": 2,
        "z::transforms::0": "@x",
        "l::1": 2,
        "y::1": 2,
        **{"new::b::0": 1, "new::b::1": 2, "new::d": "@a::b"},
    }
    assert {key: parser[key] for key in found} == found
    values = expanded("here", "configs/train.json", files)
    assert values["y::1::c"] == "$@x + 1" and values["a::d"] == "@a::b" and values["z::_target_"] == "Compose"


def test_an_overlay_that_fits_on_nothing_is_refused():
    files = {"configs/train.json": b'{"a": {}}', "configs/over.json": b'{"missing::b": 1}'}
    with pytest.raises(DataError, match="here: MONAI cannot read it .*missing"):
        expanded("here", "configs/over.json", files)


@pytest.mark.parametrize("value", ["%../../x.json::y", "%x.json", "%/etc/x.yaml", "%a::x.json#b", "%https://h/x.yml"])
def test_macros_of_other_files_are_refused(value):
    with watch(), pytest.raises(DataError, match="takes its value from another file"):
        expanded("here", INFERENCE, {INFERENCE: json.dumps({"a": {"b": value}}).encode()})
    assert not watch.seen


BOMBS = {
    "doubled forty times": {"a0": [0] * 10, **{f"a{n}": [f"%a{n - 1}", f"%a{n - 1}"] for n in range(1, 40)}},
    "backwards": {**{f"a{n}": [f"%a{n + 1}", f"%a{n + 1}"] for n in range(40)}, "a40": [0]},
    "itself": {"a": {"b": "%a", "c": "%a"}},
    "each other": {"a": ["%b", "%b"], "b": ["%a", "%a"]},
    "a long name": {"a": "%" + "x" * 1000},
    "nothing": {"a": "%missing"},
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_macros_that_explode_are_refused(bomb):
    tracemalloc.start()
    with pytest.raises(DataError, match="^here: "):
        expanded("here", INFERENCE, {INFERENCE: json.dumps(BOMBS[bomb]).encode()})
    assert tracemalloc.get_traced_memory()[1] < 100 * 1024**2
    tracemalloc.stop()


# Logging ------------------------------------------------------------------------------------------------------------

LOGGING = """[loggers]
keys=root
[handlers]
keys=h
[formatters]
keys=f
[logger_root]
level=INFO
handlers=h
[handler_h]
class=StreamHandler
formatter=f
args=(sys.stdout,)
[formatter_f]
format=%(asctime)s %(message)s
"""


def logging_named(text, allowed=()):
    return not_allowed("here", "configs/logging.conf", text.encode(), allowed)


@pytest.mark.parametrize("option", ["args", "kwargs", "defaults", "class"])
@pytest.mark.parametrize(
    "text", ["os.system('x')", "(open('x', 'w'),)", "[].__class__", "{'a': print()}", "FileHandler", "x" * 2000]
)
def test_what_logging_evaluates_is_found_whatever_its_section(option, text):
    for section in ("handler_h", "formatter_f", "logger_root", "other"):
        changed = LOGGING.replace(f"[{section}]", f"[{section}]\n{option} = {text}") + f"[other2]\n{option}: {text}\n"
        changed = changed.replace("class=StreamHandler\n", "").replace("args=(sys.stdout,)\n", "")
        with watch():
            named = logging_named(changed)
        assert {event for event, _ in watch.seen} <= {"compile"}  # to tell whether it is a literal
        assert named[-1] == (f"other2::{option}", text)
        assert (f"{section}::{option}", text) in named or section == "other"
        assert not logging_named(changed, [text])


def test_what_only_prints_is_taken():
    assert logging_named(LOGGING) == []
    more = "[formatter_g]\nclass=logging.Formatter\ndefaults={'a': 1}\n[handler_i]\nclass=NullHandler\nkwargs={}\n"
    assert logging_named(LOGGING + more) == []


@pytest.mark.parametrize(
    "text",
    [
        LOGGING.replace("class=StreamHandler", "part=Stream\nclass=%(part)sHandler"),
        LOGGING.replace("args=(sys.stdout,)", "args=(%(x)s,)") + "[DEFAULT]\nx=print()\n",
    ],
)
def test_what_is_composed_is_refused(text):
    with pytest.raises(DataError, match="is composed of other options"):
        logging_named(text)


def test_what_is_no_logging_configuration_is_refused():
    for text in ("class=x", LOGGING + "[handler_h]\n", LOGGING.replace("class=", "class=a\nclass=")):
        with pytest.raises(DataError, match="is no logging configuration"):
            logging_named(text)


def test_default_options_count_for_every_section():
    assert ("handler_h::kwargs", "print()") in logging_named("[DEFAULT]\nkwargs=print()\n" + LOGGING)


def test_other_json_is_read_as_it_is():
    files = {"models/model.json": b'{"a": {"b": [1, "%x"]}, "_target_": "y"}'}
    assert values_of("here", "models/model.json", files) == {"a::b::0": 1, "a::b::1": "%x", "_target_": "y"}
    assert not_allowed("here", "models/model.json", files["models/model.json"]) == []
