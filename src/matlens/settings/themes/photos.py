"""The settings that say where the photos are: in a folder of this machine, or at an address."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, InstanceOf, PlainSerializer

from matlens.settings import checks
from matlens.settings.addresses import Address, as_address, path_or_address
from matlens.settings.declaration import SECOND_VERSION, Setting

DataFolder = Annotated[Path, BeforeValidator(checks.path), Setting(
    option="--data", short="-d", required=True, resumed="must agree", of_machine=True, metavar="PATH",
    read=path_or_address,
    help="The dataset: a folder of class folders, one that is divided into train/ val/ test/ of class folders, or "
         "MINC-2500. Also an address of such a folder (s3://, gs://, https://), a manifest (.csv, .parquet) with "
         "columns path and label, or tar shards.")]

DataAddress = Annotated[
    InstanceOf[Address] | None, BeforeValidator(as_address),
    PlainSerializer(lambda address: None if address is None else address.public), Setting(
        help="Where the photos come from, if they lie in no plain folder; without what opens it.", resumed="must agree",
        since=SECOND_VERSION, why_no_option="--data takes addresses, too")]
