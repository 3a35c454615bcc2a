"""The public keys of the sites that are registered, as the coordinator's own folder has them.

superlink.sh names the coordinator's settings file in CLINFED_COORDINATOR. Beside it, sites/NAME.pub is the key of the
site NAME, as register.sh admits it. A table [sites.NAME] may name another file as `key`.
"""

import os
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

from clinfed import signatures
from clinfed.errors import UserError

if TYPE_CHECKING:
    from clinfed.signatures import Keys

VARIABLE = "CLINFED_COORDINATOR"
PUBLIC = "sites/*.pub"


def site_keys() -> "Keys":
    """Return the keys of all registered sites; none where no settings file is named, as in a trial. Raises: UserError.

    A file that is named but cannot be used ends the run: without keys nobody's answers would be checked.
    """
    named = os.environ.get(VARIABLE, "")
    if not named:
        return {}
    settings = Path(named)
    try:
        tables = tomllib.loads(settings.read_text("utf-8")).get("sites", {})
    except (OSError, ValueError) as error:
        raise UserError(f"{settings}: cannot be read as TOML ({type(error).__name__}); correct the file") from None
    paths = {path.stem: path for path in sorted(settings.parent.glob(PUBLIC))}
    for site, table in tables.items():
        if isinstance(table, dict) and "key" in table:
            paths[site] = settings.parent / str(table["key"])
    if not paths:
        raise UserError(
            f"{settings.parent}/{PUBLIC}: no site's key is there; answers could not be told from forged ones"
        )
    return {site: signatures.read_public(path) for site, path in paths.items()}
