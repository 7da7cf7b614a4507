"""Runs the file of a user's own parts, once a process, from its source, which travels with the task."""

from __future__ import annotations

import io
import sys
import tokenize
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from trainables.errors import UserError
from trainables.parts.registry import Parts, in_use, line_of, set_in_use, set_loading, sha256_of

_loaded: dict[tuple[str, str], Parts] = {}
"""Files that hold parts and have been run, by name and hash."""
_ours_in_timm: set[str] = set()
"""Names of timm's that files of this process have taken."""


def read_source(file: Path) -> str:
    """The text of a file of Python, in the encoding that Python would read it in.

    Raises:
        UserError: It is in another.
        OSError: It cannot be read.
    """
    held = file.read_bytes()
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(held).readline)
        return held.decode(encoding)
    except (SyntaxError, UnicodeDecodeError) as error:
        raise UserError(f"{file} is not UTF-8, as Python files are ({error}): save it as UTF-8") from error


def run_source(source: str, file: str, *, folder: Path | None = None) -> Parts:
    """Runs a file of parts, or finds what running it made before.

    Args:
        source: Its text.
        file: Its path or name.
        folder: Where modules beside it may be imported from; None where the file has to do alone.

    Raises:
        UserError: It does not run; names the file, the line and the way out.
    """
    known = _loaded.get((file, sha256_of(source)))
    if known is not None:
        return known
    module = ModuleType(f"macrotune_parts_{sha256_of(file + source)[:12]}")
    module.__file__ = file
    parts = Parts(file, source, module)
    sys.modules[module.__name__] = module  # dataclasses, pickle and timm look modules up by name
    before = set_loading(parts)
    taken: list[warnings.WarningMessage] = []
    try:
        with warnings.catch_warnings(record=True) as taken:
            warnings.simplefilter("default")
            if folder is not None:
                sys.path.append(str(folder))  # last: the file may import its neighbours, which hide nothing of ours
            exec(compile(source, file, "exec"), module.__dict__)
    except (Exception, SystemExit) as error:
        sys.modules.pop(module.__name__, None)
        raise _does_not_run(error, file, folder) from error
    finally:
        set_loading(before)
        if folder is not None and str(folder) in sys.path:
            sys.path.remove(str(folder))
    _note_timm(parts, [str(each.message) for each in taken])
    for each in taken:
        if not _is_overwriting(str(each.message)):
            warnings.warn_explicit(each.message, each.category, each.filename, each.lineno)
    if not parts.is_empty:
        _loaded[file, sha256_of(source)] = parts
    return parts


def _does_not_run(error: BaseException, file: str, folder: Path | None) -> UserError:
    if isinstance(error, UserError):
        return error
    line = error.lineno if isinstance(error, SyntaxError) else line_of(error, file)
    where = f" in line {line}" if line else ""
    way = ""
    if folder is None and isinstance(error, ImportError):
        way = ". Workers see this file alone: put what it imports from beside it into it, or install that as a package"
    return UserError(f"{file} does not run: {type(error).__name__}{where}: {error}{way}")


def _is_overwriting(message: str) -> bool:
    return message.startswith("Overwriting ") and "in registry" in message


def _note_timm(parts: Parts, said: list[str]) -> None:
    """Finds what a file registered with timm, and refuses names that are taken."""
    if "timm" not in sys.modules:
        return
    import timm

    names = timm.list_models(module=parts.module.__name__, include_tags=False)
    parts.timm_networks = {name: timm.model_entrypoint(name) for name in names}
    overwritten = {message.split()[1] for message in said if _is_overwriting(message)} - _ours_in_timm
    taken = overwritten or (set(parts.timm_networks) & set(parts.found["network"]))
    if taken:
        name = min(taken)
        raise UserError(f"{parts.file}: there are two networks {name!r}, timm's or one of yours: give it another name")
    _ours_in_timm.update(names)


def use(parts: Parts | None) -> None:
    """Makes the parts of a file those that are looked up from now on; None for none.

    Raises:
        UserError: A network has the name of one of timm's.
    """
    set_in_use(parts)
    if parts is None or not parts.networks:
        return
    from trainables.parts.networks import register

    register(parts, _ours_in_timm)


@contextmanager
def using(parts: Parts | None) -> Iterator[None]:
    """Uses the parts of a file inside, and those of before after it."""
    before = in_use()
    use(parts)
    try:
        yield
    finally:
        use(before)


def use_task_parts(task_parts: Mapping[str, str]) -> None:
    """Uses the parts that travel with a task (`TaskConfig.parts`); none if it has none."""
    use(run_source(task_parts["source"], task_parts["file"]) if task_parts.get("source") else None)
