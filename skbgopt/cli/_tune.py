"""``skbgopt tune``: the best setting of one image, or of several in the mean."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from skbgopt.cli._errors import SentenceCommand, interrupt_code
from skbgopt.cli._help import EXIT_CODES, grouped
from skbgopt.cli._log import complain, say, speaker
from skbgopt.cli._options import SEED, estimator_parameters, fit_options, given_parameters, removal_flags
from skbgopt.cli._ranges import ranges_and_values
from skbgopt.cli._remove import job_of

if TYPE_CHECKING:
    from skbgopt.cli._tuning import Search

_EPILOG = f"""INPUTS are as those of skbgopt batch. What is searched: the ranges of --param and nothing else, or
without any the default ones, but for parameters given as flags, which are held. NAME is that of the report's arguments,
and values are those of its flag.

\b
Examples:
  skbgopt tune stack.xisf --save best.json --picture search.png
  skbgopt remove --params best.json stack.xisf
  skbgopt tune 'lights/*.fits' --trials 100           the best in the mean
  skbgopt tune stack.xisf -O 4                        all but the order
  skbgopt tune stack.xisf --param quantile=0.9:1.0 --param smoothing=1e-7:10:log --param order=2,3,4
  skbgopt tune stack.xisf --storage search.log        goes on after a kill; more processes join in
  skbgopt tune stack.xisf --storage postgresql://user@host/name

{EXIT_CODES}
"""

_option = partial(partial, click.option)
_path = click.Path(path_type=Path)


def _jobs(ctx: click.Context, param: click.Parameter, value: int) -> int:
    if value < -1 or value == 0:
        raise click.BadParameter(f"must be 1 or more, or -1 for one for each core, got {value}.", ctx, param)
    return value


# The names are those of BackgroundSearchCV, so that errors on them become errors on the flags.
_SEARCH = grouped("Search",
    _option("--trials", "n_trials", type=int, default=60, show_default=True,
        help="Settings to be tried, those that the storage holds included."),
    _option("--timeout", type=float, metavar="SECONDS", show_default="none",
        help="Begin no trial after this time."),
    _option("-j", "--jobs", "n_jobs", type=int, default=1, show_default=True, callback=_jobs,
        help="Trials at the same time; -1 is one for each core. Only 1 tries the same again with the same seed."),
    _option("--param", "params_searched", multiple=True, metavar="NAME=RANGE",
        help="Search this: LOW:HIGH, LOW:HIGH:log or A,B,C; or hold a single value. May be repeated."),
    _option("--seed", "random_state", type=SEED, default=0, metavar="INTEGER|none", show_default=True,
        help="Of the search, and of --init random."),
    _option("--storage", metavar="FILE|URL", show_default="in memory",
        help="Where trials are kept: a journal in a file, or a database such as sqlite:///search.db."),
    _option("--study-name", metavar="NAME", show_default="of images, ranges and fixed parameters",
        help="In the storage."),
)  # fmt: skip

_FOUND = grouped("Search",
    _option("--save", type=_path, metavar="FILE.json",
        help="Write the best setting, for --params of remove and batch."),
    _option("--picture", type=_path, metavar="FILE.png",
        help="Draw the trials, and the first image before and after."),
)  # fmt: skip

_JSON = grouped("Other",
    _option("--json", "as_json", is_flag=True, help="Print one line of JSON, as --save writes, instead of the report."),
)  # fmt: skip


def _search_options(command: Callable) -> Callable:
    for option in reversed((*_SEARCH, *_FOUND)):
        command = option(command)
    return command


@click.command("tune", cls=SentenceCommand, epilog=_EPILOG)
@click.argument("inputs", nargs=-1, required=True)
@_search_options
@fit_options
@_JSON[0]
@click.pass_context
def tune(ctx: click.Context, quiet: bool, as_json: bool, **_) -> None:
    """Search for the setting that meets the held-out sky of the images best."""
    from skbgopt.cli._tuning import run_search

    search = _search_of(ctx)
    try:
        found = run_search(search, speaker(quiet or as_json), partial(removal_flags, ctx=ctx), shows_progress=not quiet)
    except KeyboardInterrupt as error:
        goes_on = "the same command goes on" if search.storage else "with --storage the same command would go on"
        complain(f"skbgopt: interrupted, no output was written; {goes_on}.")
        ctx.exit(interrupt_code(error))
    if as_json:
        say(json.dumps(found))


def _search_of(ctx: click.Context) -> Search:
    space, held = ranges_and_values(ctx, ctx.params["params_searched"])
    from skbgopt.cli._expand import input_files
    from skbgopt.cli._tuning import Search

    given = ctx.params
    paths = input_files(given["inputs"])
    parameters = {**estimator_parameters(ctx), **held}
    names = "n_trials", "timeout", "n_jobs", "storage", "study_name", "save", "picture"
    return Search(
        [job_of(ctx, input_path=path, output_dir=Path(), parameters=parameters) for path in paths],
        space or None,
        frozenset(given_parameters(ctx) | set(held)),
        **{name: given[name] for name in names},
    )
