"""The command that asks for a run of recorded settings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matlens.errors import SettingsError
from matlens.settings.renames import brought_up_to_date
from matlens.settings.schema import DECIDE_DEFAULTS, DECLARED, Settings
from matlens.system.console import command


def run_command(recorded: Mapping[str, Any], data: Path | str = "PHOTOS", *more: object,
                ) -> tuple[str | None, tuple[str, ...]]:
    """Return the `matlens run` that repeats recorded settings, and the names of those that it cannot state.

    It has the options of the settings that differ from the defaults, and says where the weights are.
    None where there are no settings, or none that
    matlens could have recorded.

    Args:
        data: where the photos are; PHOTOS stands for a place that the reader knows, and WEIGHTS then for that of the
            weights.
        more: further words of the command.
    """
    if not recorded:
        return None, ()
    try:
        given = Settings.load(options=brought_up_to_date(recorded)[0]).model_dump(mode="json")
        defaults = Settings.load(options={key: given[key] for key in DECIDE_DEFAULTS}).model_dump(mode="json")
    except SettingsError:
        return None, ()
    words, unsaid = ["run", "--data", str(given["data_address"] or data)], []
    for key, setting in DECLARED.items():
        default = Settings.model_fields[key].default if key in DECIDE_DEFAULTS else defaults[key]
        if setting.of_machine or key == "data_address" or given[key] == default:
            continue
        arguments = setting.arguments(given[key])
        words += arguments or ()
        if arguments is None:
            unsaid.append(key)
    if given["weights_dir"]:
        words += ["--weights-dir", "WEIGHTS" if data == "PHOTOS" else given["weights_dir"]]
    return command(*words, *more), tuple(unsaid)
