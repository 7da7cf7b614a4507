"""Applies a corrections file (key,column,value) to the rows that a reader found."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path

from trainables.data.competition import age_band
from trainables.data.raw import RawData, Row, sorted_names
from trainables.data.rows import SIDES
from trainables.data.tables import read_table

Combination = tuple[str, ...]


def apply_corrections(raw: RawData, path: Path) -> int:
    """Overrides labels, groups, sides and attributes in place; adds what is wrong to `raw.problems`.

    A key is a group (a person's id), or a picture's path below the root or as the data write it, with or
    without its ending. What is said of a picture goes before what is said of its group. Where classes are
    products of attributes, the label follows a corrected attribute, and the attributes follow a corrected
    label.

    Returns:
        The number of rows that are different now.
    """
    path = path.expanduser()
    if not path.is_file():
        raw.problems.append(f"--corrections {path}: no such file; correct the path")
        return 0
    table = read_table(path)
    raw.problems += table.problems
    if missing := [name for name in ("key", "column", "value") if name not in table.columns]:
        raw.problems.append(
            f"{table.name} row 1: no column {', '.join(missing)} (found {','.join(table.columns)!r}); a "
            "corrections file needs key,column,value"
        )
        return 0

    find = _finder(raw)
    # A class's attributes are learned before anything is corrected: afterwards a corrected row could
    # contradict them.
    combinations = _combinations(raw)
    allowed = _allowed(raw, combinations)
    group_lines: list[tuple[str, list[Row], str, str]] = []
    picture_lines: list[tuple[str, list[Row], str, str]] = []
    said: dict[tuple[str, str], tuple[str, str]] = {}
    for source, line in table.rows:
        key, column = line["key"], line["column"]
        value, problem = _value(raw, allowed, column, line["value"])
        rows = find(key)
        is_group = raw.has_groups and bool(rows) and rows[0].group == key
        before, other = said.setdefault((key, column), (source, value))
        if not rows:
            problem = f"the key {key!r} is neither a group nor a path of the data; correct it or delete the line"
        elif len(rows) > 1 and not is_group:
            problem = f"the key {key!r} fits {' and '.join(row.written for row in rows)}; write the ending too"
        elif other != value:
            problem = f"the {column} of {key!r} is {value!r} here and {other!r} in {before}; delete one of the two"
        if problem:
            raw.problems.append(f"{source}: {problem}")
        else:
            (group_lines if is_group else picture_lines).append((source, rows, column, value))

    changes: dict[int, dict[str, str]] = defaultdict(dict)
    touched: dict[int, tuple[str, Row]] = {}
    for source, rows, column, value in group_lines + picture_lines:
        for row in rows:
            changes[id(row)][column] = value
            touched[id(row)] = source, row
    by_attributes = {kinds: label for label, kinds in combinations.items()}
    changed = 0
    for identity, (source, row) in touched.items():
        before_change = (row.label, row.group, row.split, row.attributes)
        if problem := _change(row, changes[identity], raw.attributes, combinations, by_attributes):
            raw.problems.append(f"{source}: {row.written}: {problem}")
        changed += before_change != (row.label, row.group, row.split, row.attributes)
    return changed


def _finder(raw: RawData) -> Callable[[str], list[Row]]:
    """Returns a function from a key to the rows it names."""
    by_group, by_path, by_stem = (defaultdict[str, list[Row]](list) for _ in range(3))
    for row in raw.rows:
        if raw.has_groups:
            by_group[row.group].append(row)
        for path in {row.relative, row.written}:
            by_path[path].append(row)
            folder, slash, name = path.rpartition("/")
            by_stem[f"{folder}{slash}{name.rpartition('.')[0] or name}"].append(row)
    return lambda key: by_group.get(key) or by_path.get(key) or by_stem.get(key) or []


def _combinations(raw: RawData) -> dict[str, Combination]:
    """The attributes of each class: fixed by the layout, or else what most rows of the class say."""
    if raw.classes is not None:
        return {label: tuple(kinds[name] for name in raw.attributes) for label, kinds in raw.classes.items()}
    votes: dict[str, Counter[Combination]] = defaultdict(Counter)
    for row in raw.rows:
        if row.label:
            votes[row.label][tuple(row.attributes[name] for name in raw.attributes)] += 1
    return {label: votes[label].most_common(1)[0][0] for label in sorted_names(votes)}


def _allowed(raw: RawData, combinations: Mapping[str, Combination]) -> dict[str, tuple[str, ...]]:
    """The columns that can be corrected and their values; none for a group, which can be called anything."""
    allowed: dict[str, tuple[str, ...]] = {"label": tuple(combinations), "group": ()}
    if raw.has_split:
        allowed["split"] = SIDES
    for place, name in enumerate(raw.attributes):
        allowed[name] = sorted_names(kinds[place] for kinds in combinations.values())
    return allowed


def _value(raw: RawData, allowed: Mapping[str, tuple[str, ...]], column: str, text: str) -> tuple[str, str]:
    """Returns the value to set and what is wrong with it."""
    if column not in allowed:
        return text, f"the column {column!r} cannot be corrected, only {', '.join(allowed)}; correct the name"
    if column == "group":
        return text, "" if text else "the group is empty; write one"
    if column == "split" or (raw.classes is not None and column in raw.attributes):
        text = text.lower()
    if raw.classes is not None and column == "age":
        text = age_band(text) or text
    if text in allowed[column]:
        return text, ""
    return text, f"the {column} {text!r} is none of {', '.join(allowed[column])}; correct it"


def _change(
    row: Row,
    values: Mapping[str, str],
    attributes: tuple[str, ...],
    combinations: Mapping[str, Combination],
    by_attributes: Mapping[Combination, str],
) -> str:
    """Changes one row and returns what is wrong with the result."""
    row.group = values.get("group", row.group)
    row.split = values.get("split", row.split)
    wanted = {name: values[name] for name in attributes if name in values}
    if "label" in values:
        row.label = values["label"]
        row.attributes = dict(zip(attributes, combinations[row.label], strict=True))
        if any(row.attributes[name] != value for name, value in wanted.items()):
            return f"{row.label!r} and {_in_words(wanted)} contradict each other; delete one of the lines"
    elif wanted:
        row.attributes = {**row.attributes, **wanted}
        label = by_attributes.get(tuple(row.attributes[name] for name in attributes))
        if label is None:
            return f"no class has {_in_words(row.attributes)}; correct another attribute too, or the label"
        row.label = label
    return ""


def _in_words(attributes: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in attributes.items())
