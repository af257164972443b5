"""The commands: each is loaded when it is asked for, and the list of them costs nothing."""

from __future__ import annotations

import subprocess
import sys

import pytest

from matlens.cli.main import app

ROOT = app.info.cls
GROUPS = {(): ROOT, **{(name,): module.app.info.cls for name in ROOT.names
                       if hasattr(module := ROOT.module_of(name), "app")}}
COMMANDS = [(*above, name) for above, group in GROUPS.items() for name in group.names]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_has_help_that_begins_with_its_line_in_the_list(matlens, command) -> None:
    """The list of commands and a command's own help say the same."""
    module = GROUPS[command[:-1]].module_of(command[-1])
    line = (module.app.info.help if hasattr(module, "app") else getattr(module, command[-1]).__doc__).split("\n")[0]
    code, listed, _ = matlens(*command[:-1], "--help")
    assert code == 0
    assert line in " ".join(listed.replace("│", " ").split())
    code, own, _ = matlens(*command, "--help")
    assert code == 0
    assert line in " ".join(own.split())
    assert f"Usage: matlens {' '.join(command)}" in own


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: " ".join(group) or "matlens")
def test_an_unknown_command_is_refused_with_what_was_meant(matlens, group) -> None:
    """A slip of the finger is answered at once."""
    name = GROUPS[group].names[-1]
    code, _, message = matlens(*group, f"{name}x")
    assert code == 2
    assert f"'{name}x'" in message
    assert f"Did you mean '{name}'" in message


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_an_unknown_option_is_refused_by_its_name(matlens, command) -> None:
    code, _, message = matlens(*command, "--no-such-option")
    assert code == 2
    assert "--no-such-option" in message


def test_help_loads_no_settings() -> None:
    """pydantic takes longer to import than everything else that the list of commands needs."""
    code = ("import sys; sys.argv = ['matlens', '--help']\nfrom matlens.cli.main import main\n"
            "try:\n    main()\nexcept SystemExit:\n    print('|', *sys.modules)")
    loaded = subprocess.run([sys.executable, "-c", code], text=True, capture_output=True,
                            check=True).stdout.rpartition("|")[2].split()
    assert "matlens.cli.run" in loaded
    assert not {"pydantic", "numpy", "matlens.settings.schema"} & set(loaded)
