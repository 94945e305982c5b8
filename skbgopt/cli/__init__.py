"""The command `skbgopt`: arguments, then the estimator, then files; heavy imports wait for a run."""

from __future__ import annotations

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
    command_line(prog_name="skbgopt")
