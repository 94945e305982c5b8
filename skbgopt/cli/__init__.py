"""The command `skbgopt`: arguments, then the estimator, then files; heavy imports wait for a run."""

from __future__ import annotations

import os
import signal
import sys

import click

from skbgopt import __version__
from skbgopt.cli._demo import demo
from skbgopt.cli._errors import SentenceGroup
from skbgopt.cli._remove import remove


@click.group(cls=SentenceGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="skbgopt")
def command_line() -> None:
    """Model and remove the sky background of linear astronomical images (FITS, XISF, TIFF).

    The method is that of bgoptimizer by Sergio Díaz.
    """


command_line.add_command(remove)
command_line.add_command(demo)


def main() -> None:
    """Run the command; the entry point of ``skbgopt``."""
    # Threads that wait for work must not spin: on a busy machine that slows small fits tenfold and more. OpenMP
    # reads this when torch is first imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # So that a polite end leaves no temporary file, as Ctrl-C does not.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    command_line(prog_name="skbgopt")
