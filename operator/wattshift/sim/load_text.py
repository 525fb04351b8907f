"""The text of a scenario file: YAML, overrides, defaults and repeats; errors that name file and line.

Gives plain objects for the models in `schema.py`. Every fault of a file is a `ScenarioError`.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from wattshift.errors import NeedsHuman

Place = tuple[str | int, ...]
_PLACEHOLDER = re.compile(r"\{([A-Za-z][A-Za-z0-9]*)\}")
_MAXIMUM_BYTES = 5_000_000
_MAXIMUM_NODES = 1_000_000


class ScenarioError(NeedsHuman):
    """A scenario cannot be used: `file:line: field: what is wrong and what to change`."""

    default_reason = "ScenarioInvalid"


def dotted(place: Place) -> str:
    """`sites[0].price.csv`."""
    text = ""
    for part in place:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.removeprefix(".")


class Text:
    """A parsed file that knows the line of every field."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._root: yaml.Node | None = None
        self._moved: dict[tuple[str, int], tuple[int, str]] = {}
        self.document: dict[str, Any] = self._parse()

    def _parse(self) -> dict[str, Any]:
        try:
            if self.path.stat().st_size > _MAXIMUM_BYTES:
                raise ScenarioError(f"{self.path}: larger than 5 MB: put the data into CSV files")
            text = self.path.read_text(encoding="utf-8")
        except OSError as error:
            raise ScenarioError(f"{self.path}: cannot be read: {error.strerror}") from None
        except UnicodeDecodeError as error:
            raise ScenarioError(f"{self.path}: is no UTF-8 text (byte {error.start})") from None
        try:
            self._root = yaml.compose(text, Loader=yaml.SafeLoader)
            document = yaml.load(text, Loader=_Loader)  # noqa: S506 - a safe loader
        except _KeyTwice as error:
            raise ScenarioError(f"{self.path}:{error.line}: {error}: remove one") from None
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line = f":{mark.line + 1}" if mark else ""
            raise ScenarioError(f"{self.path}{line}: is no YAML: {error.problem}") from None
        except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as error:
            raise ScenarioError(f"{self.path}: is no YAML: {error}") from None
        if not isinstance(document, dict):
            raise ScenarioError(f"{self.path}: must be an object with `name`, `sites`, ...")
        self._check_size(document)
        return document

    def _check_size(self, document: Any) -> None:
        """Aliases of aliases multiply; a file must not eat the memory when it is copied."""
        count, stack = 0, [document]
        while stack:
            node = stack.pop()
            count += 1
            if count > _MAXIMUM_NODES:
                raise ScenarioError(
                    f"{self.path}: too many values: use `repeat` instead of aliases"
                )
            if isinstance(node, dict):
                stack.extend(node.values())
            elif isinstance(node, list):
                stack.extend(node)

    def line(self, place: Place) -> int | None:
        """Line of a field, or of the nearest object around it."""
        for candidate in self._candidates(place):
            node, found = self._root, None
            for part in candidate:
                child = _child(node, part)
                if child is None:
                    break
                node, found = child, child.start_mark.line + 1
            if found is not None:
                return found
        return None

    def _candidates(self, place: Place) -> list[Place]:
        """An item made from defaults or a repeat is looked up where it was written."""
        if len(place) > 1 and isinstance(place[0], str) and isinstance(place[1], int):
            moved = self._moved.get((place[0], place[1]))
            if moved is not None:
                index, defaults = moved
                own: Place = (place[0], index, *place[2:])
                given: Place = (defaults, *place[2:])
                if _depth(self._root, given) - 1 > _depth(self._root, own) - 2:
                    return [given, own]
                return [own]
        return [place]

    def error(self, place: Place, message: str) -> ScenarioError:
        """The error of a field."""
        line = self.line(place)
        where = f"{self.path}:{line}" if line else str(self.path)
        field = dotted(place)
        return ScenarioError(f"{where}: {field}: {message}" if field else f"{where}: {message}")

    # ---- what is done to the document before it is checked ------------------------------------

    def override(self, overrides: Sequence[str]) -> None:
        """Apply `key=value` by dotted path; `variant=a,b` applies named sets first.

        Raises:
            ScenarioError: the path leads nowhere, or the value is no YAML.
        """
        pairs = [_pair(text) for text in overrides]
        variants = self.document.get("variants") or {}
        if not isinstance(variants, dict):
            raise self.error(("variants",), "must be an object of names")
        for key, value in pairs:
            if key != "variant":
                continue
            for name in str(value).split(","):
                chosen = variants.get(name.strip())
                if not isinstance(chosen, dict):
                    known = ", ".join(map(str, variants)) or "none"
                    raise ScenarioError(f"{self.path}: no variant {name!r}; there are: {known}")
                for path, setting in chosen.items():
                    self._set(str(path), setting, f"variants.{name}")
        for key, value in pairs:
            if key != "variant":
                self._set(key, value, "--set")

    def _set(self, path: str, value: Any, who: str) -> None:
        node: Any = self.document
        parts = path.split(".")
        for index, part in enumerate(parts):
            last = index == len(parts) - 1
            if isinstance(node, list):
                position = _position(node, part)
                if position is None:
                    raise ScenarioError(
                        f"{self.path}: {who} {path}: no item {part!r} in "
                        f"{'.'.join(parts[:index])}: use its name or a number below {len(node)}"
                    )
                if last:
                    node[position] = copy.deepcopy(value)
                else:
                    node = node[position]
            elif isinstance(node, dict):
                if last:
                    node[part] = copy.deepcopy(value)
                else:
                    node = node.setdefault(part, {})
                    if node is None:
                        raise ScenarioError(f"{self.path}: {who} {path}: {part} is empty")
            else:
                raise ScenarioError(
                    f"{self.path}: {who} {path}: {'.'.join(parts[:index])} has no fields"
                )

    def expand(self) -> dict[str, Any]:
        """Merge defaults, draw repeats and replace placeholders; the document that is checked.

        Keys that begin with `x-` are dropped: a place for YAML anchors.
        """
        document = {
            key: value for key, value in self.document.items() if not str(key).startswith("x-")
        }
        for items, defaults in (("sites", "siteDefaults"), ("workloads", "workloadDefaults")):
            entries, common = document.get(items), document.get(defaults) or {}
            if not isinstance(entries, list) or not isinstance(common, dict):
                continue
            done: list[Any] = []
            for index, entry in enumerate(entries):
                if not isinstance(entry, dict):
                    done.append(entry)
                    continue
                for made in self._repeated(items, index, _merged(common, entry)):
                    self._moved[items, len(done)] = (index, defaults)
                    done.append(made)
            document[items] = done
        return document

    def _repeated(self, items: str, index: int, entry: dict[str, Any]) -> list[dict[str, Any]]:
        labels = entry.get("labels")
        labels = dict(labels) if isinstance(labels, dict) else {}
        repeat = entry.get("repeat")
        place: Place = (items, index, "repeat")
        if repeat is None:
            labels.setdefault("name", str(entry.get("name", "")))
            return [_filled(entry, labels, keep=("labels",))]
        if not isinstance(repeat, dict):
            raise self.error(place, "must be an object with `count`")
        count, seed = repeat.get("count"), repeat.get("seed", 0)
        values = repeat.get("values") or {}
        if not isinstance(count, int) or isinstance(count, bool) or not 0 < count <= 100_000:
            raise self.error((*place, "count"), "must be a whole number from 1 to 100000")
        if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
            raise self.error((*place, "seed"), "must be a whole number, not negative")
        if "{index}" not in str(entry.get("name", "")) and count > 1:
            raise self.error((items, index, "name"), "a repeated entry needs {index} in its name")
        if not isinstance(values, dict):
            raise self.error((*place, "values"), "must be an object of [low, high]")
        for key, ends in values.items():
            if not _is_range(ends):
                raise self.error((*place, "values", key), "must be two numbers: [low, high]")
        draw = np.random.default_rng([seed, index])
        template = {key: value for key, value in entry.items() if key != "repeat"}
        made = []
        for number in range(count):
            drawn = {
                key: round(float(draw.uniform(low, high)), 6) for key, (low, high) in values.items()
            }
            known: dict[str, Any] = {**labels, **drawn, "index": number}
            known["name"] = _fill_text(str(entry.get("name", "")), known)
            made.append(_filled(template, known, keep=("labels",)))
        return made


class _Loader(yaml.SafeLoader):
    """Safe YAML in which times stay texts and a key may not come twice."""


class _KeyTwice(ValueError):
    """A key of one object appears a second time."""

    def __init__(self, node: yaml.ScalarNode) -> None:
        super().__init__(f"the key {node.value!r} is there twice")
        self.line = node.start_mark.line + 1


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    # before `<<` is merged: own keys may stand beside those of an anchor, which they win over
    written: set[str] = set()
    for key_node, _ in node.value:
        if isinstance(key_node, yaml.ScalarNode) and key_node.value != "<<":
            if key_node.value in written:
                raise _KeyTwice(key_node)
            written.add(key_node.value)
    loader.flatten_mapping(node)
    seen: dict[Any, Any] = {}
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, str | int | float):
            raise yaml.constructor.ConstructorError(
                None, None, "a key must be a text", key_node.start_mark
            )
        seen[str(key)] = loader.construct_object(value_node, deep=True)
    return seen


_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in pairs if tag != "tag:yaml.org,2002:timestamp"]
    for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _child(node: yaml.Node | None, part: str | int) -> yaml.Node | None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == str(part):
                return value  # type: ignore[no-any-return]
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part]  # type: ignore[no-any-return]
    return None


def _depth(root: yaml.Node | None, place: Place) -> int:
    node, depth = root, 0
    for part in place:
        node = _child(node, part)
        if node is None:
            break
        depth += 1
    return depth


def _pair(text: str) -> tuple[str, Any]:
    key, sign, value = text.partition("=")
    if not sign or not key.strip():
        raise ScenarioError(f"--set {text!r}: write key=value, such as seed=2")
    try:
        return key.strip(), yaml.load(value, Loader=_Loader)  # noqa: S506 - a safe loader
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ScenarioError(f"--set {text!r}: the value is no YAML: {error}") from None


def _position(items: list[Any], part: str) -> int | None:
    if part.isdecimal() and int(part) < len(items):
        return int(part)
    for index, item in enumerate(items):
        if isinstance(item, dict) and item.get("name") == part:
            return index
    return None


def _merged(common: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Own keys win; objects are merged key by key, and null removes what the defaults say."""
    merged = dict(common)
    for key, value in own.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict) and isinstance(merged.get(key), dict):
            merged[key] = _merged(merged[key], value)
        else:
            merged[key] = value
    return merged


def _is_range(ends: Any) -> bool:
    return (
        isinstance(ends, list)
        and len(ends) == 2
        and all(isinstance(end, int | float) and not isinstance(end, bool) for end in ends)
        and all(abs(end) < 1e15 for end in ends)
        and ends[0] <= ends[1]
    )


def _fill_text(text: str, known: Mapping[str, Any]) -> Any:
    whole = _PLACEHOLDER.fullmatch(text)
    if whole and whole.group(1) in known:
        return known[whole.group(1)]
    return _PLACEHOLDER.sub(lambda m: str(known.get(m.group(1), m.group(0))), text)


def _filled(value: Any, known: Mapping[str, Any], keep: tuple[str, ...] = ()) -> Any:
    if isinstance(value, str):
        return _fill_text(value, known) if "{" in value else value
    if isinstance(value, dict):
        return {key: item if key in keep else _filled(item, known) for key, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, known) for item in value]
    return value


def words_of(error: Any) -> str:
    """What is wrong with a value, and what was found."""
    if error["type"] == "string_type" and isinstance(error.get("input"), bool):
        return f"is a text, and YAML reads Off, On, Yes and No as {error['input']}: quote it"
    match error["type"]:
        case "extra_forbidden":
            return "is no field here: remove it or check its spelling"
        case "missing":
            return "is required"
        case _:
            message = str(error["msg"]).removeprefix("Value error, ")
            value = repr(error.get("input"))
            return f"{message} (found {value[:60]})" if len(value) < 200 else message
