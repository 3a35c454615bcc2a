"""The public keys of the sites that are registered, and who has started a run, as the coordinator's folder has them."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from clinfed import manifests, signatures
from clinfed.errors import UserError
from clinfed.manifests import Manifest
from server.settings import VARIABLE, CoordinatorSettings

if TYPE_CHECKING:
    from clinfed.signatures import Keys

OPERATOR = "operator.pub"  # beside the coordinator's settings


def manifest_of(text: str) -> Manifest | None:
    """Return the manifest that came with a run, None where there is no operator's key. Raises: UserError."""
    named = os.environ.get(VARIABLE, "")
    public = Path(named).parent / OPERATOR
    if not named or not public.is_file():
        return None
    try:
        return manifests.verified(text, signatures.read_public(public))
    except manifests.ManifestError as error:
        raise UserError(f"the run's manifest: {error}; start the run with run.sh") from None


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
