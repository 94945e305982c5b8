"""Files that appear complete or not at all."""

from __future__ import annotations

import errno
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path, *, overwrite: bool) -> Iterator[Path]:
    """Give a temporary path beside `path` that takes its place if the block succeeds, and goes if not."""
    # A symbolic link is followed, so that it survives and the file behind it is replaced.
    target = Path(os.path.realpath(path))
    _check_target(path, target, overwrite)
    # The suffixes are kept because writers look at them; the leading dot hides it from patterns like *.fits.
    suffixes = "".join(target.suffixes[-2:])
    temporary = target.with_name(f".skbgopt-{uuid.uuid4().hex}{suffixes[-16:]}")
    try:
        # Opened by hand, not by tempfile, so that the file has the permissions of the user's umask.
        temporary.touch(exist_ok=False)
        yield temporary
        if target.exists():
            shutil.copymode(target, temporary)
        flush(temporary)
        _check_target(path, target, overwrite)
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _check_target(path: Path, target: Path, overwrite: bool) -> None:
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if target.exists() and not target.is_file():
        raise ValueError(f"{path} is no regular file and is not replaced: choose another name.")
    if not target.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "No such directory to write to", str(path.parent))
    if target.exists() and not overwrite:
        raise FileExistsError(f"write_image found that {path} exists; pass overwrite=True to replace it.")


def flush(path: Path) -> None:
    """Wait until a file is on the disk."""
    with open(path, "rb+") as file:
        os.fsync(file.fileno())
