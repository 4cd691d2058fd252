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


def open_console(call: Call, screen: str) -> int:
    """Show the console until the user leaves it. Raises UsageError without a terminal, ConfigError before it opens."""
    call.require_terminal()
    # What is imported and built until the first paint stays: looking for garbage in it is a tenth of the start.
    gc.disable()
    config = call.config()
    if call.options.theme is not None:
        from console.render.themes import load

        load(call.options.theme, config.theme_dir)
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
    settings = config.ui
    if settings != UiSettings():
        from console.commands.looks import usable

        settings, notices = usable(config)
        session.notices += notices
    app = QuarterdeckApp(session, settings, screen, config.theme_dir)
    app.run()
    if app.crash is not None:
        raise app.crash
    return app.return_code or 0
