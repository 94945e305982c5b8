"""The look of ``--help``: options below the headings of their groups."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

EXIT_CODES = "Exit codes: 0 done, 1 failed, 2 wrong input or usage, 130 interrupted."


class GroupedOption(click.Option):
    """An option that `GroupedCommand` lists below a heading."""

    def __init__(self, *arguments: Any, group: str, **attributes: Any):
        super().__init__(*arguments, **attributes)
        self.group = group


class GroupedCommand(click.Command):
    """A command whose help lists its options in groups, in the order in which they are first met."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, as `click.Command.format_options` does."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None and not isinstance(param, click.Argument):
                groups.setdefault(getattr(param, "group", "Other"), []).append(record)
        for group, records in groups.items():
            with formatter.section(f"{group} options"):
                formatter.write_dl(records)


def flags_of(command: click.Command) -> dict[str, str]:
    """Return the long flag of each option, by the parameter's name."""
    options = (param for param in command.params if isinstance(param, click.Option))
    return {str(option.name): next(flag for flag in option.opts if flag.startswith("--")) for option in options}


def grouped(group: str, *options: Callable[..., Callable]) -> tuple[Callable, ...]:
    """Return decorators that add options of one group; each is given as a function of the group's attributes."""
    return tuple(option(cls=GroupedOption, group=group) for option in options)
