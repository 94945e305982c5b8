"""From INPUTS to files: names, patterns, directories and lists."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from glob import has_magic
from pathlib import Path

from skbgopt.cli._outputs import output_suffix, split_suffix
from skbgopt.io._formats import format_of_content

# Some editors begin a file with it.
_BOM = "\ufeff"
_RESULTS = ("_bgSubtracted", "_bgModel")


def input_files(inputs: Iterable[str]) -> list[Path]:
    """Return the files that the inputs name, each once, as absolute paths.

    Parameters
    ----------
    inputs : iterable of str
        Files; directories (the images in them); patterns, ``**`` for any depth; ``@list.txt``, which holds any of
        these, one a line, empty lines and those that begin with "#" left out. Directories and patterns leave out
        hidden files and the results of earlier runs; ``**`` leaves out hidden directories and links to directories.

    Raises
    ------
    ValueError
        If a directory or pattern has no image.
    """
    return list(dict.fromkeys(Path(os.path.abspath(path)) for item in inputs for path in _expand(item)))


def check_names(paths: Iterable[Path], file_format: str | None) -> None:
    """Raise ValueError if two files would have the same results, which are named by their inputs."""
    by_stem = defaultdict(list)
    for path in paths:
        by_stem[split_suffix(path)[0]].append(path)
    for namesakes in by_stem.values():
        first: dict[str, Path] = {}
        for path in namesakes if len(namesakes) > 1 else ():
            other = first.setdefault(_result_suffix(path, file_format).lower(), path)
            if other != path:
                raise ValueError(f"{other} and {path} would have results of the same name: give each its own -o.")


def _result_suffix(path: Path, file_format: str | None) -> str:
    """Return the suffix of a file's results, which its content decides; its own where that cannot be read."""
    try:
        file_format = file_format or format_of_content(path).name
    except (OSError, ValueError):
        return split_suffix(path)[1]
    return output_suffix(path, file_format, file_format)


def check_results(paths: Iterable[Path], read: Iterable[Path], directory: Path) -> None:
    """Raise ValueError if a result in the directory would take the place of an image that is read."""
    behind = (Path(os.path.realpath(path)) for path in read)
    there = [path for path in behind if path.parent == Path(os.path.realpath(directory))]
    taken = {stem: path for path in there for stem, suffix in [split_suffix(path)] if suffix}
    for path in paths:
        for result in _RESULTS:
            if (other := taken.get(split_suffix(path)[0] + result)) is not None:
                raise ValueError(f"{other} has the name of a result of {path}: leave it out, or give another -o.")


def _expand(item: str, lists: tuple[str, ...] = ()) -> Iterator[Path]:
    path = Path(item)
    if item.startswith("@"):
        if item in lists:
            raise ValueError(f"INPUTS must name images, but the list {item!r} names itself: take that line out.")
        lines = [line.strip() for line in os.fsdecode(Path(item[1:]).read_bytes()).removeprefix(_BOM).splitlines()]
        inside = [line for line in lines if line and not line.startswith("#")]
        if not inside:
            raise ValueError(f"INPUTS must name images, but the list {item!r} names none: write one a line.")
        for line in inside:
            yield from _expand(line, (*lists, item))
    elif path.is_dir():
        yield from _images(item, sorted(path.iterdir()))
    elif has_magic(item) and not path.exists():
        yield from _images(item, sorted(_matching(item)))
    else:
        yield path


def _matching(pattern: str) -> Iterator[Path]:
    """Yield what a pattern matches; pathlib's ``**`` follows no links, which could lead round in circles for ever."""
    path = Path(pattern)
    path = path / "*" if path.name == "**" else path
    for found in Path(path.anchor).glob(str(path.relative_to(path.anchor))):
        if not any(part.startswith(".") for part in set(found.parts) - {".", "..", *path.parts}):
            yield found


def _images(item: str, found: list[Path]) -> list[Path]:
    images = [path for path in found if _is_input(path)]
    if not images:
        raise ValueError(f"INPUTS must name images, but {item!r} has none (FITS, XISF or TIFF): check the path.")
    return images


def _is_input(path: Path) -> bool:
    stem, suffix = split_suffix(path)
    return path.is_file() and suffix != "" and not path.name.startswith(".") and not stem.endswith(_RESULTS)
