"""`qd`, `qd fleet|network|storage|sources`: the console."""

from __future__ import annotations

import argparse
import gc

from console.commands.call import Call


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """It takes the common options only."""


def run(call: Call) -> int:
    """Open the console on the screen that the command names."""
    return open_console(call, call.command)


def open_console(call: Call, screen: str, filter_text: str = "") -> int:
    """Show the console until the user leaves it, its first table filtered.

    Raises UsageError without a terminal; UsageError and ConfigError for what is wrong with the command line or the
    configuration, before it opens wherever that can be known then.
    """
    call.require_terminal()
    # What is imported and built until the first paint stays: looking for garbage in it is a tenth of the start.
    gc.disable()
    config = call.config()
    if call.options.hosts is not None:
        from console.nodeset import expand

        expand(call.options.hosts)
    if config.clusters and not config.simulated:
        from console.discover import configured
        from console.registry import Registry

        configured(config, Registry())
    from console.config import UiSettings
    from console.session import Session
    from console.ui.app import QuarterdeckApp

    session = Session(config)
    session.prepare()
    settings = config.ui
    if settings != UiSettings():
        from console.commands.looks import usable

        settings, notices = usable(config)
        session.notices += notices
    app = QuarterdeckApp(session, settings, screen, config.theme_dir, filter_text=filter_text)
    app.run()
    ended_by = app.crash or app.refused
    if ended_by is not None:
        raise ended_by
    return app.return_code or 0
