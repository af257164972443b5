"""Download a dataset from Kaggle, by kagglehub."""

from __future__ import annotations

import inspect
from pathlib import Path

from matlens.data.source.find import find_sources
from matlens.data.source.sources import Source
from matlens.errors import DataError, SettingsError

_LOG_IN = ("Make a token at https://www.kaggle.com/settings/api and set KAGGLE_API_TOKEN, or have kagglehub ask for it "
           "(python -c 'import kagglehub; kagglehub.login()'). Some datasets need your consent on their page first.")


def fetch_from_kaggle(handle: str, to: Path | None) -> list[Source]:
    """Download a dataset by kagglehub, to kagglehub's own cache or to `to`, and return the datasets found in it.

    Args:
        handle: `owner/slug`.

    Raises:
        SettingsError: kagglehub is missing, or it is too old for `to`.
        DataError: kagglehub cannot download the dataset, or there are no class folders in it.
    """
    try:
        import kagglehub
        from kagglehub import exceptions
    except ImportError as error:
        raise SettingsError(f"Fetching {handle} from Kaggle needs kagglehub: pip install 'matlens[kaggle]'") from error
    options = {} if to is None else {"output_dir": str(to.resolve())}  # a link stays what it is
    if options and "output_dir" not in inspect.signature(kagglehub.dataset_download).parameters:
        raise SettingsError("This version of kagglehub downloads to its own cache only. Leave --to away, or upgrade "
                            "it: pip install --upgrade kagglehub")
    page = f"https://www.kaggle.com/datasets/{handle}"
    try:
        place = Path(kagglehub.dataset_download(handle, **options))
    except (exceptions.UnauthenticatedError, exceptions.CredentialError) as error:
        raise DataError(f"Kaggle wants to know who asks for {page}. {_LOG_IN}") from error
    except (exceptions.BackendError, exceptions.NotFoundError, exceptions.DataCorruptionError,
            exceptions.KaggleEnvironmentError, ValueError, OSError) as error:  # requests' errors are OSErrors
        raise DataError(_reason(error, page)) from error
    sources = find_sources([place])
    if not sources:
        raise DataError(f"{page} is in {place} now, but neither as class folders nor in MINC-2500's layout. Move its "
                        "photos into a folder for each class.")
    return sources


def _reason(error: Exception, page: str) -> str:
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status == 404:
        return (f"Kaggle has no dataset {page}, or does not show it to you. The name is owner/slug, as in the address "
                "of its page.")
    if status in (401, 403):
        return f"Kaggle does not let you have {page} (it answers {status}). {_LOG_IN}"
    words = " ".join(str(error).split()) or type(error).__name__
    return (f"Cannot download {page}: {words}. Try again later, or download it in a browser, unpack it, and look where "
            "it is with: matlens data find DIR")
