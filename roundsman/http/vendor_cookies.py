"""Cookies of vendors that are nobody's session at a site: those of load balancers, and of an edge's bot protection."""

import re

#: By these a load balancer finds a backend again, and all whom it sends there are given the same. A name that an
#: application could take as well counts only with a value as the vendor makes it.
STICKY = re.compile(
    r"""
    # https://my.f5.com/manage/s/article/K6917; the second is that with a name of somebody's own
    BIGipServer[^=]*=.*
    |[^=]+=[0-9]{1,10}\.[0-9]{1,5}\.0000
    # https://nginx-extras.getpagespeed.com/modules/sticky/
    # https://kubernetes.github.io/ingress-nginx/examples/affinity/cookie/
    |(?:route|INGRESSCOOKIE)=(?:[0-9.]+\|)?(?:[0-9a-f]{32}|[0-9a-f]{40})
    # https://docs.haproxy.org/3.0/configuration.html#4-cookie; behind a `~` stands an application's own
    |SERVERID=[^~]*
    # https://docs.aws.amazon.com/elasticloadbalancing/latest/application/edit-target-group-attributes.html
    # https://docs.aws.amazon.com/elasticloadbalancing/latest/classic/elb-sticky-sessions.html
    |AWSALB(?:(?:TG)?(?:CORS)?|APP(?:-[0-9])?)=.*
    |AWSELB(?:CORS)?=.*
    # https://azure.github.io/AppService/2016/05/16/Disable-Session-affinity-cookie-(ARR-cookie)-for-Azure-web-apps.html
    # https://learn.microsoft.com/azure/application-gateway/configuration-http-settings
    |ARRAffinity(?:SameSite)?=.*
    |ApplicationGatewayAffinity(?:CORS)?=.*
    # https://cloud.google.com/load-balancing/docs/backend-service#session_affinity
    |GCLB=.*
    """,
    re.VERBOSE,
)

#: What an edge marks a visitor's browser with, to tell robots from people. Read on 2026-12-01.
OF_EDGE = re.compile(
    r"""
    # https://developers.cloudflare.com/fundamentals/reference/policies-compliances/cloudflare-cookies/
    __cf(?:_bm|duid|lb|ruid|seq|waitingroom)|_cfuvid|cf_(?:clearance|ob_info|use_ob)
    # https://www.flowconsent.com/en/services/security/akamai-bot-manager
    |_abck|bm_(?:sz|sv|mi|so|lso)|ak_bmsc
    # https://blog.crawlex.net/blog/imperva-incapsula-bot-detection
    |(?:visid_incap|incap_ses|nlbi)_[0-9_]+|___utmv[a-zA-Z]+|reese84
    # https://docs.humansecurity.com/applications-and-accounts/docs/cookies
    |_px(?:vid|hd|mvid|de|[0-9]?)|pxcts
    """,
    re.VERBOSE,
)
