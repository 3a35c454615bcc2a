"""Whether the coordinator knows a site's key, asked without joining.

Flower has no call for that question. But its ActivateNode looks up the key first and checks the heartbeat interval
second. A request with an interval of 0 therefore activates nothing. It answers with one of two errors: unknown key, or
bad interval.
Source: flwr 1.41, superlink/servicer/fleet/fleet_handlers.py, activate_node.
"""

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

NO_INTERVAL_S = 0.0  # Flower's shortest is 10 s


class Enrolment(Enum):
    """What the coordinator's answer says of a key."""

    REGISTERED = "registered"
    UNKNOWN = "unknown"
    SIGNATURE_REFUSED = "signature refused"  # a clock, as the key itself has signed
    UNTOLD = "untold"


def public_fingerprint(key: "EllipticCurvePrivateKey") -> str:
    """Return the public key's fingerprint as `ssh-keygen -lf site.pub` prints it."""
    import base64
    import hashlib

    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    line = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    digest = hashlib.sha256(base64.b64decode(line.split()[1])).digest()
    return "SHA256:" + base64.b64encode(digest).decode("ascii").rstrip("=")


def ask(superlink: str, authority: Path, key: "EllipticCurvePrivateKey") -> Enrolment:
    """Return what the coordinator's SuperLink, at host:port, says of the key; the site is not online afterwards."""
    import httpx
    from flwr.proto.fleet_pb2 import ActivateNodeRequest
    from flwr.supercore.error import ApiErrorCode, FlowerError
    from flwr.supercore.interceptors.http.runtime_version import RuntimeVersionHttpInterceptor
    from flwr.supercore.primitives.asymmetric import public_key_to_bytes
    from flwr.supernode.fleet_http_client import FleetHttpClient
    from flwr.supernode.node_auth_http_interceptor import NodeAuthHttpInterceptor

    public = key.public_key()
    signing = (RuntimeVersionHttpInterceptor(component_name="SuperNode"), NodeAuthHttpInterceptor(key, public))
    request = ActivateNodeRequest(public_key=public_key_to_bytes(public), heartbeat_interval=NO_INTERVAL_S)
    try:
        with FleetHttpClient.from_server_address(superlink, False, authority.read_bytes(), signing) as client:
            client.ActivateNode(request)
    except httpx.HTTPStatusError as error:
        if error.response.status_code == httpx.codes.UNAUTHORIZED:
            return Enrolment.SIGNATURE_REFUSED
        said = FlowerError.from_json(error.response.text)
        answers = {
            int(ApiErrorCode.FLEET_INVALID_HEARTBEAT_INTERVAL): Enrolment.REGISTERED,
            int(ApiErrorCode.FLEET_NODE_ACTIVATION_FAILED): Enrolment.UNKNOWN,
        }
        return answers.get(int(said.code), Enrolment.UNTOLD) if said else Enrolment.UNTOLD
    except (httpx.HTTPError, RuntimeError):
        return Enrolment.UNTOLD
    return Enrolment.UNTOLD
