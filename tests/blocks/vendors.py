"""One of each edge, and what all of them would call a success."""

import httpx

from blocks.akamai import Akamai
from blocks.azure_front_door import AzureFrontDoor
from blocks.bunny import Bunny
from blocks.cloudflare import Cloudflare
from blocks.cloudfront import CloudFront
from blocks.demo_edge import DemoEdge
from blocks.fastly import Fastly
from blocks.google_cdn import GoogleCDN
from blocks.keycdn import KeyCDN
from blocks.netlify import Netlify
from blocks.nginx import Nginx, NginxRefresh
from blocks.squid import Squid
from blocks.traffic_server import TrafficServer
from blocks.varnish import Varnish
from blocks.vercel import Vercel
from tests.blocks.wire import GOOD
from tests.vendor_api import TOKEN, VendorApi, credentials

SECRET = TOKEN
NODE = "http://127.0.0.1:6081"
AZURE = {"subscription": "subid", "resource_group": "RG", "profile": "profile1", "endpoint": "endpoint1"}


def hosted(api=None):
    """One of each vendor that has an API, at its own address or at another one."""
    at = {"api": api} if api else {}
    return [
        Cloudflare(zone="abc123", token=SECRET, **({"api": f"{api}/client/v4"} if api else {})),
        Fastly(service="SU1Z0isxPaozGVKXdv0eY", token=SECRET, **at),
        CloudFront(distribution="EDFDVBD6EXAMPLE", access_key_id=f"AKID{SECRET}", secret_access_key=SECRET, **at),
        Akamai(
            client_token=f"{SECRET}-c",
            client_secret=SECRET,
            access_token=f"{SECRET}-a",
            **{"api": "https://akab-x.luna.akamaiapis.net", **at},
        ),
        Bunny(token=SECRET, zone="42", **at),
        KeyCDN(zone="42", host="demo-1.kxcdn.com", token=SECRET, **at),
        GoogleCDN(project="p", url_map="m", token=SECRET, **({"api": f"{api}/compute/v1"} if api else {})),
        AzureFrontDoor(**AZURE, token=SECRET, **at),
        Vercel(project="prj_1", team="team_1", token=SECRET, route_tag="page:{path}", **at),
        Netlify(site="3970e0fe", token=SECRET, route_tag="page:{path}", **({"api": f"{api}/api/v1"} if api else {})),
    ]


# A vendor is one more line.
VENDORS = [
    Varnish(nodes=[NODE]),
    Nginx(nodes=[NODE]),
    NginxRefresh(nodes=[NODE], value=SECRET),
    TrafficServer(nodes=[NODE]),
    Squid(nodes=[NODE]),
    DemoEdge(nodes=[NODE]),
    *hosted(),
]


def slug(vendor):
    return vendor.get_block_type_slug()


def secrets_of(vendor):
    return vendor.model_json_schema()["secret_fields"]


def shown(request):
    """Every header of a request, with what Basic hides."""
    return " ".join([*request.headers.values(), credentials(request)])


def good(asked):
    """A client with which every purge succeeds; what was asked is put on the list."""
    api = VendorApi()

    async def answer(request):
        asked.append(request)
        if request.url.host == "127.0.0.1":
            return httpx.Response(200, text=GOOD, headers={"x-cache-status": "BYPASS"})
        return await api.respond(request)

    return httpx.AsyncClient(transport=httpx.MockTransport(answer))
