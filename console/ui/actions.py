"""Everything that a person can ask for: one registry for keys, palette, command line, footer and help.

An action is carried out by the method `act_ID` (dots and dashes as underscores) of the screen, else of the app.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from console.actions import ORDERS

TABLE_SCREENS = ("fleet", "jobs", "network", "storage", "journal", "sources")
PAGES = ("node", "job", "explain", "log", "plan", "run", "answer", "attempt", "help", "notices")
OF_NODES = ("fleet", "network", "storage", "node")
OF_JOBS = ("jobs", "job", "explain")
OF_ATTEMPTS = ("journal", "attempt", "plan")
OPENING = (*TABLE_SCREENS, "node", "job", "run")
ALL = (*TABLE_SCREENS, *PAGES)
CHOOSER = "chooser"
"""Lists to choose from: the columns of a table."""
LINE = "line"
"""Lines of input: command, filter, palette. What can be typed is text there, whatever it does elsewhere."""
LISTS = (*ALL, CHOOSER)
"""Wherever a cursor moves over lines."""
EVERYWHERE = (*LISTS, LINE)


@dataclass(frozen=True, slots=True)
class Action:
    """One thing that a person can ask for."""

    id: str
    """As keymap and command line name it."""
    keys: tuple[str, ...]
    """Default keys: a character, or a name as `enter`, `ctrl-d`, `pagedown`."""
    title: str
    help: str
    group: str
    screens: tuple[str, ...] = ALL
    """Where it exists."""
    order: str = ""
    """The action of `console.actions.ORDERS` that it plans; empty: it changes no cluster."""
    argument: str = ""
    """What follows its name on the command line, in capitals; empty: nothing."""
    needs: str = ""
    """What a backend must be able to do (`explain`, `log`); empty: nothing."""
    acts: bool = False
    """It changes something without being an order to a scheduler: absent where nothing may be changed."""
    asks: bool = False
    """It means nothing without its argument: chosen without one, it opens the command line for it."""
    footer: int = 0
    """Place in the footer; 0: not there."""

    @property
    def method(self) -> str:
        """The name of the method that does it."""
        return "act_" + self.id.replace("-", "_").replace(".", "_")


def _order(id: str, key: str, title: str, help: str, footer: int = 0) -> Action:
    """An action that changes a cluster: what it needs to know, it asks."""
    order = ORDERS.get(id) or ORDERS[id.removesuffix("-job")]
    value = order.needs_value.rpartition(" ")[2].upper()
    return Action(
        id,
        (key,) if key else (),
        title,
        help,
        "Act",
        OF_NODES if order.of_nodes else OF_JOBS,
        order=id.removesuffix("-job"),
        argument=value or "REASON",
        asks=bool(value) or order.needs_reason,
        footer=footer,
    )


def _screen(number: str, name: str, title: str, about: str) -> Action:
    return Action(f"screen-{name}", (number,), title, about, "Screens")


ACTIONS: tuple[Action, ...] = (
    _screen("1", "fleet", "Fleet", "every node, as a table or a heat map"),
    _screen("2", "jobs", "Jobs", "every job of every scheduler"),
    _screen("4", "network", "Network", "every link of the fleet, worst first"),
    _screen("5", "storage", "Storage", "every mount and disk of the fleet, worst first"),
    _screen("7", "journal", "Journal", "what was done, by whom, how it went; and its undo"),
    _screen("9", "sources", "Sources", "where every value comes from, and how that source is doing"),
    Action("pane", ("tab",), "Next pane", "to the details and back", "Move", (*TABLE_SCREENS, "job", LINE), footer=7),
    Action(
        "filter",
        ("/",),
        "Filter",
        "show only what matches: words, field:value, field>80, !word, ~regex~, gpu[01-16], @drained",
        "Show",
        TABLE_SCREENS,
        argument="FILTER",
        footer=2,
    ),
    Action("sort-left", ("<",), "Sort left", "sort by the column on the left", "Show", TABLE_SCREENS),
    Action("sort-right", (">",), "Sort right", "sort by the column on the right", "Show", TABLE_SCREENS, footer=5),
    Action("sort-reverse", ("S",), "Reverse", "reverse the order", "Show", TABLE_SCREENS),
    Action("sort", (), "Sort", "sort by a column by its name", "Show", TABLE_SCREENS, argument="COLUMN", asks=True),
    Action("columns", ("C",), "Choose columns", "choose columns", "Show", TABLE_SCREENS, argument="COLUMNS"),
    Action("map", ("m",), "Heat map", "the heat map, one measure after the other", "Show", ("fleet",), footer=4),
    Action("racks", ("b",), "Heat map by rack", "group the heat map by rack, closer together", "Show", ("fleet",)),
    Action("details", ("i",), "Details", "show or hide the details under the table", "Show", TABLE_SCREENS),
    Action("zoom", ("z",), "Zoom", "the focused pane alone, and back", "Show", (*TABLE_SCREENS, "job"), footer=8),
    Action(
        "mark",
        ("space",),
        "Mark",
        "mark or unmark the row, or end a range",
        "Mark",
        (*TABLE_SCREENS, CHOOSER),
        footer=3,
    ),
    Action("mark-range", ("v",), "Mark a range", "begin a range at the cursor; again: mark it", "Mark", TABLE_SCREENS),
    Action("mark-all", ("a",), "Mark all shown", "mark all rows shown; again: none", "Mark", TABLE_SCREENS),
    Action("explain", ("E",), "Why", "why this job waits or failed", "Job", OF_JOBS, needs="explain", footer=6),
    Action("log", ("L",), "Log", "the output of this job, live", "Job", OF_JOBS, needs="log", footer=7),
    _order("drain", "d", "Drain", "let the nodes take no new work; says first whom it meets", footer=10),
    _order("cordon", "", "Cordon", "let the nodes take no new work and let what runs there run on"),
    _order("resume", "r", "Resume", "let the nodes take work again; looks first how they are", footer=11),
    _order("power-down", "", "Power down", "power the nodes down once their jobs have ended"),
    _order("power-up", "", "Power up", "power the nodes up again"),
    _order("reboot", "", "Reboot", "reboot the nodes once their jobs have ended"),
    Action(
        "run",
        ("x",),
        "Run",
        "run a command line on the nodes; equal answers are folded",
        "Act",
        OF_NODES,
        argument="COMMAND",
        acts=True,
        asks=True,
        footer=12,
    ),
    Action("last-run", ("X",), "Last run", "the answers of the last run again", "Act", (*OF_NODES, "journal")),
    Action("differences", ("D",), "Differences", "the other answers against that of most", "Run", ("run",), footer=3),
    _order("cancel", "c", "Cancel", "end the jobs", footer=10),
    _order("hold", "H", "Hold", "keep the jobs from starting", footer=11),
    _order("release", "R", "Release", "let held jobs start", footer=12),
    _order("requeue", "", "Requeue", "put running jobs back into the queue"),
    _order("suspend-job", "", "Suspend jobs", "let running jobs stand still"),
    _order("continue", "", "Continue jobs", "let suspended jobs go on"),
    _order("timelimit", "", "Time limit", "change their time limit: 90 (minutes), 12h, 1-12:00:00, unlimited"),
    _order("priority", "", "Priority", "change the priority of the jobs"),
    _order("move", "", "Move", "move waiting jobs to another partition or queue"),
    Action("carry-out", ("enter",), "Carry out", "do what the plan says, after a question", "Act", ("plan",), footer=1),
    Action("undo", ("u",), "Undo", "plan what brings back what was before", "Act", OF_ATTEMPTS, footer=10),
    Action("find", ("/",), "Search", "search upwards", "Log", ("log",), argument="WORDS", footer=2),
    Action("find-up", ("n",), "Search on", "the next line further up that has it", "Log", ("log",), footer=3),
    Action("find-down", ("N",), "Search back", "the next line further down that has it", "Log", ("log",)),
    Action(
        "time",
        ("@",),
        "Time",
        "go to a time: 14:02, 2026-11-24T14:02, 10m (before its end)",
        "Log",
        ("log",),
        argument="TIME",
        footer=5,
    ),
    Action("ranks", ("a",), "Ranks", "all ranks together; again: one", "Log", ("log",), argument="RANKS", footer=6),
    Action("next-output", ("tab",), "Next output", "another output or rank of the job", "Log", ("log",), footer=4),
    Action("outputs", ("O",), "Outputs", "choose from all outputs; mark several for together", "Log", ("log",)),
    Action("copy", ("y",), "Copy", "copy the marked names, else the one under the cursor", "Take along"),
    Action("write", ("w",), "Write", "write what is shown to a file", "Take along", argument="FILE"),
    Action("command", (":",), "Command line", "type any action by name; tab completes", "Console"),
    Action("palette", ("ctrl-p",), "Palette", "search all actions", "Console"),
    Action("help", ("?", "f1"), "Help", "keys and actions of this screen", "Console", footer=20),
    Action("pause", ("p",), "Pause", "stop asking, and go on", "Console"),
    Action(
        "refresh", (), "Pace", "ask every so many seconds; auto: as before", "Console", argument="SECONDS", asks=True
    ),
    Action("theme", ("T",), "Theme", "another theme; without a name: the next one", "Console", argument="NAME"),
    Action("notices", (), "Notices", "all notices since the start", "Console"),
    Action("suspend", ("ctrl-z",), "Suspend", "back to the shell; fg comes back here", "Console"),
    Action("quit", ("q", "ctrl-c"), "Leave", "leave the console", "Console", LISTS, footer=21),
    Action("down", ("j", "down"), "Down", "one line down", "Move", EVERYWHERE),
    Action("up", ("k", "up"), "Up", "one line up", "Move", EVERYWHERE),
    Action("left", ("h", "left"), "Left", "to the columns on the left", "Move"),
    Action("right", ("l", "right"), "Right", "to the columns on the right", "Move"),
    Action("top", ("g", "home"), "Top", "to the first line", "Move", LISTS),
    Action("bottom", ("G", "end"), "Bottom", "to the last line", "Move", LISTS),
    Action("half-down", ("ctrl-d",), "Half a page down", "half a page down", "Move", LISTS),
    Action("half-up", ("ctrl-u",), "Half a page up", "half a page up", "Move", LISTS),
    Action("page-down", ("pagedown", "ctrl-f"), "Page down", "a page down", "Move", LISTS),
    Action("page-up", ("pageup", "ctrl-b"), "Page up", "a page up", "Move", LISTS),
    Action("carry-down", ("J",), "Carry down", "move the column behind the next one", "Choose", (CHOOSER,)),
    Action("carry-up", ("K",), "Carry up", "move the column before the one above", "Choose", (CHOOSER,)),
    Action("reset", ("r",), "Reset", "all columns in their own order, by the room", "Choose", (CHOOSER,)),
    Action(
        "open",
        ("enter",),
        "Open",
        "open what is under the cursor",
        "Move",
        (*OPENING, CHOOSER, LINE),
        footer=1,
    ),
    Action(
        "back",
        ("escape",),
        "Back",
        "go back; or clear range, filter and marks, one after the other",
        "Move",
        EVERYWHERE,
        footer=9,
    ),
)  # fmt: skip
"""Every action, in the order in which help and palette show them."""


def by_id(actions: Iterable[Action] = ACTIONS) -> dict[str, Action]:
    """Return the actions by their ids."""
    return {action.id: action for action in actions}
