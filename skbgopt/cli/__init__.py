"""The command `skbgopt`: arguments, then the estimator, then files; heavy imports wait for a run."""

from __future__ import annotations

import io
import os
import signal
import sys

import click

from skbgopt import __version__
from skbgopt.cli._batch import apply_model, batch
from skbgopt.cli._config import NAME
from skbgopt.cli._demo import demo
from skbgopt.cli._errors import SentenceGroup, Terminated
from skbgopt.cli._help import EXIT_CODES
from skbgopt.cli._remove import remove
from skbgopt.cli._tune import tune

_EPILOG = f"""\b
Completion of commands and flags by the shell, in its start file:
  bash: eval "$(_SKBGOPT_COMPLETE=bash_source skbgopt)"
  zsh:  eval "$(_SKBGOPT_COMPLETE=zsh_source skbgopt)"
  fish: _SKBGOPT_COMPLETE=fish_source skbgopt | source

\b
Parameters of BackgroundSplineRegressor that should not be given each time, by their names (n_control_points = 32),
and no other options (such as --format), in TOML:
  {NAME} in the current directory, {NAME} in {{directory}}, or --config FILE.toml

{EXIT_CODES}
"""


@click.group(
    cls=SentenceGroup,
    epilog=_EPILOG.format(directory=click.get_app_dir("skbgopt")),
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name="skbgopt")
def command_line() -> None:
    """Model and remove the sky background of linear astronomical images (FITS, XISF, TIFF).

    The method is that of bgoptimizer by Sergio Díaz.
    """


for command in (remove, batch, apply_model, tune, demo):
    command_line.add_command(command)


def _end_politely(name: str) -> None:
    """Let a signal end the program as Ctrl-C does, unless it is to be ignored, as under nohup."""
    number = getattr(signal, name, None)
    if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
        signal.signal(number, _terminate)


def _terminate(number: int, _: object) -> None:
    raise Terminated(number)


def main() -> None:
    """Run the command; the entry point of ``skbgopt``."""
    # Threads that wait for work must not spin: on a busy machine that slows small fits tenfold and more. OpenMP
    # reads this when torch is first imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    for name in ("SIGTERM", "SIGHUP"):
        _end_politely(name)
    # Names of files may hold what the terminal has no character for, or bytes that are none.
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")
    command_line(prog_name="skbgopt")
