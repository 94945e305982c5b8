"""What `skbgopt remove` writes: names, checks before the fit, all files or none."""

from __future__ import annotations

import errno
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from skbgopt._atomic import flush
from skbgopt.io._formats import FORMATS

# Bytes, on every usual file system.
_LONGEST_NAME = 255
# A full disk, a quota, a limit of the size of files.
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_SUFFIXES = {"fits": ".fits", "xisf": ".xisf", "tiff": ".tif"}


def split_suffix(path: Path) -> tuple[str, str]:
    """Return the name without the suffix of an image format, and that suffix ("" if there is none)."""
    suffixes = sorted((suffix for known in FORMATS for suffix in known.suffixes), key=len, reverse=True)
    for suffix in suffixes:
        if path.name.lower().endswith(suffix):
            return path.name[: -len(suffix)], path.name[-len(suffix) :]
    return path.stem, ""


def output_suffix(path: Path, read_format: str, wanted_format: str | None) -> str:
    """Return the input's own suffix where it fits the format to be written, else the format's usual one."""
    file_format = wanted_format or read_format
    suffix = split_suffix(path)[1]
    own = next((known.name for known in FORMATS if suffix.lower() in known.suffixes), None)
    return suffix if own == file_format else _SUFFIXES[file_format]


def check_targets(targets: Iterable[Path], sources: Iterable[Path], *, overwrite: bool) -> None:
    """Say before the work what would go wrong when its results are written.

    Raises
    ------
    OSError
        If a target exists, is a directory, or its directory cannot be written to.
    ValueError
        If a target is a file that is read, no regular file, or the same as another.
    """
    targets = list(targets)
    if len({os.path.realpath(target) for target in targets}) < len(targets):
        raise ValueError(f"Two outputs have the same path: {', '.join(map(str, targets))}: rename one.")
    for target in targets:
        _check_link(target)
        if len(os.fsencode(target.name)) > _LONGEST_NAME:
            raise OSError(errno.ENAMETOOLONG, "The name of the output is too long", str(target))
        # What will be replaced, also of "new/../name", which does not exist until the directory "new" is made.
        behind = Path(os.path.realpath(target))
        if any(is_same(behind, source) for source in sources):
            raise ValueError(f"The output {target} is an input itself: choose another directory or name.")
        if behind.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(target))
        # What a pipe is called behind /dev/stdout is no path.
        if any(path.exists() and not path.is_file() for path in (target, behind)):
            raise ValueError(f"The output {target} is no regular file and is not replaced: choose another name.")
        if not overwrite:
            _check_absent(target)
        _check_directory(target.parent)


def check_is_no_file_name(directory: Path) -> None:
    """Raise ValueError if a directory that does not exist yet has the name of an image."""
    if split_suffix(directory)[1] and not directory.exists():
        raise ValueError(
            f"OUTPUT_DIR is a directory, {directory} looks like a file: the results are named by the input."
        )


def is_same(path: Path, other: Path) -> bool:
    """Return whether two paths lead to one file, also if it is to be made yet."""
    if path.exists() and other.exists():
        return os.path.samefile(path, other)
    return os.path.realpath(path) == os.path.realpath(other)


def _check_absent(target: Path) -> None:
    if os.path.exists(os.path.realpath(target)):
        raise FileExistsError(f"The output {target} exists: pass --overwrite to replace it.")


def _check_link(target: Path) -> None:
    """A link to a file that does not exist is followed as well, but makes no directory and has an end."""
    behind = Path(os.path.realpath(target))
    if behind.is_symlink():
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(target))
    if target.is_symlink() and not behind.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "The output is a link into a directory that does not exist", str(target))


def _check_directory(directory: Path) -> None:
    existing = directory
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    if not existing.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(existing))
    if not os.access(existing, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, "No permission to write to the directory", str(existing))


@contextmanager
def all_or_none(
    targets: Iterable[Path], prefix: str = ".skbgopt-", *, overwrite: bool = True
) -> Iterator[dict[Path, Path]]:
    """Give for each target a path to write to; the files take the targets' places if the block succeeds.

    They are made in a directory beside them, whose name begins with the prefix. A symbolic link is followed, so that
    it survives and the file behind it is replaced.

    Raises
    ------
    FileExistsError
        If there is a target, perhaps since a moment ago, that is not to be overwritten.
    """
    behind = {target: Path(os.path.realpath(target)) for target in targets}
    with _all_or_none(behind.values(), prefix) as staged:
        yield {target: staged[path] for target, path in behind.items()}
        for target in () if overwrite else behind:
            _check_absent(target)


@contextmanager
def _all_or_none(targets: Iterable[Path], prefix: str) -> Iterator[dict[Path, Path]]:
    targets = list(targets)
    with ExitStack() as stack:
        staging: dict[Path, Path] = {}
        directories = list(dict.fromkeys(target.parent for target in targets))
        stack.enter_context(_named_where_full(directories))
        for directory in directories:
            stack.enter_context(_made(directory))
            # On the targets' own file system, so that moving is renaming and cannot run out of space.
            staging[directory] = stack.enter_context(_staging(directory, prefix))
        staged = {target: staging[target.parent] / target.name for target in targets}
        yield staged
        for written in staged.values():
            flush(written)
        moved: dict[Path, Path | None] = {}
        try:
            for target, written in staged.items():
                moved[target] = _kept_aside(target, staging[target.parent])
                os.replace(written, target)
        except BaseException:
            for target, older in moved.items():
                if older is not None:
                    os.replace(older, target)
                elif target not in staged or not staged[target].exists():
                    target.unlink(missing_ok=True)
            raise


@contextmanager
def _named_where_full(directories: list[Path]) -> Iterator[None]:
    """Say of an error that there is no room, where."""
    where = " or ".join(map(str, directories))
    try:
        yield
    except OSError as error:
        if type(error) is OSError and error.errno is None:
            # Of writers that count bytes: numpy, and with it astropy and tifffile.
            raise OSError(errno.ENOSPC, "No room for all of the results", where) from error
        if error.errno in _NO_ROOM and error.filename is None:
            error.filename = where
        raise


@contextmanager
def _made(directory: Path) -> Iterator[None]:
    """Make a directory with its parents; if the block fails, those that are new and empty go again."""
    missing = [path for path in (directory, *directory.parents) if not path.exists()]
    try:
        directory.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException:
        with suppress(OSError):
            for path in missing:
                path.rmdir()
        raise


@contextmanager
def _staging(directory: Path, prefix: str) -> Iterator[Path]:
    """Make a directory that goes again; unlike `tempfile`'s also where a signal comes while it is made."""
    path = directory / f"{prefix}{uuid.uuid4().hex}"
    try:
        path.mkdir(mode=0o700)
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _kept_aside(target: Path, directory: Path) -> Path | None:
    """Keep a file that is to be replaced until all are; return where, or None if there is none."""
    if not target.exists():
        return None
    older = directory / uuid.uuid4().hex
    try:
        os.link(target, older)
    except OSError:
        shutil.copy2(target, older)
    return older
