"""--discovery-srv: endpoints that DNS names, instead of those of --endpoints."""

from dataclasses import replace

from brainctl.cli.settings import Settings
from brainctl.cli.streams import complain


def discovered(settings: Settings) -> Settings:
    """Return the settings with the endpoints that DNS names for the domain, if one is given and has any.

    Endpoints without TLS are left out, with a line on standard error, when --insecure-discovery is false.

    Raises:
        BrainctlError: DNS does not answer.
    """
    if not settings.discovery_srv:
        return settings
    from brainctl.stores.etcd.discovery import endpoints

    taken = []
    for endpoint in endpoints(settings.discovery_srv, settings.discovery_srv_name):
        if endpoint.startswith("http://") and not settings.insecure_discovery:
            complain(f'ignoring discovered insecure endpoint "{endpoint}"')
        else:
            taken.append(endpoint)
    return replace(settings, named_endpoints=tuple(taken)) if taken else settings
