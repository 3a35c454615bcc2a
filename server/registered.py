"""The public keys of the sites that are registered, as the coordinator's settings name them."""

import os
from typing import TYPE_CHECKING

from clinfed import signatures
from clinfed.errors import UserError
from server.settings import VARIABLE, CoordinatorSettings

if TYPE_CHECKING:
    from clinfed.signatures import Keys


def site_keys(settings: CoordinatorSettings) -> "Keys":
    """Return the keys of all registered sites; none in a simulation, and where no settings file is named.

    Raises: UserError where a file is named without a key: nobody's answers would be checked.
    """
    keys = {name: signatures.read_public(site.key) for name, site in settings.sites.items() if site.key}
    if (named := os.environ.get(VARIABLE)) and not keys:
        raise UserError(
            f"{named}: no site has a key, so forged answers could not be told; give each [sites.NAME] its key"
        )
    return keys
