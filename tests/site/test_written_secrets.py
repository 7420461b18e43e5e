"""A file that everybody may read holds no secret, and a message about one does not quote it."""

import pytest
import yaml

from roundsman.site.rules.written_secrets import written_secrets

SECRETS = [
    ("password: hunter2", "password", "a secret (`password`)"),
    ("blocks: {member/ada: {form: {user: ada, password: hunter2}}}", "blocks.member/ada.form.password", "a secret (`password`)"),
    ("blocks: {member/ada: {form: {user: ada, pin: 7532}}}", "blocks.member/ada.form.pin", "a secret (`pin`)"),
    ("blocks: {member/ada: {form: {otp_code: hunter2}}}", "blocks.member/ada.form.otp_code", "a secret"),
    ("blocks: {member/ada: {headers: {Cookie: sessionid=hunter2}}}", "blocks.member/ada.headers.Cookie", "a secret (`Cookie`)"),
    ("blocks: {member/ada: {headers: {Authorization: Bearer hunter2}}}", "blocks.member/ada.headers.Authorization", "a secret"),
    ("blocks: {custom-webhook/x: {headers: {X-Api-Key: hunter2}}}", "blocks.custom-webhook/x.headers.X-Api-Key", "a secret"),
    ("blocks: {custom-webhook/x: {params: {apiKey: hunter2}}}", "blocks.custom-webhook/x.params.apiKey", "a secret"),
    ("blocks: {custom-webhook/x: {url: 'https://h.test/?token=hunter2'}}", "blocks.custom-webhook/x.url", "query parameter `token`"),
    ("blocks: {x/x: {secret: {env: hunter2}}}", "blocks.x/x.secret.env", "no variable's name"),
    ("blocks: {x/x: {secret: {env: Hunter2 is good}}}", "blocks.x/x.secret.env", "no variable's name"),
    ("base_url: https://ada:hunter2@www.example.com", "base_url", "a login in an address"),
    ("base_url: https://hunter2@www.example.com", "base_url", "a login in an address"),
    ("base_url: https://ada:hunter2/x@www.example.com", "base_url", "a login in an address"),
    ("catalogue: {feed: 'https://u:hunter2@feed.test/x'}", "catalogue.feed", "a login in an address"),
    ("catalogue: {feed: 'https://feed.test/x?a=b&api_key=hunter2'}", "catalogue.feed", "query parameter `api_key`"),
    ("servers: [http://10.0.0.7, 'http://u:hunter2@10.0.0.8']", "servers.1", "a login in an address"),
    ("origin: http://u:hunter2@10.0.0.8", "origin", "a login in an address"),
    ("sweep: {sitemaps: ['https://u:hunter2@h/sitemap.xml']}", "sweep.sitemaps.0", "a login in an address"),
    ("blocks: {varnish/shop: {nodes: ['http://u:hunter2@10.0.0.7']}}", "blocks.varnish/shop.nodes.0", "a login in an address"),
    ("url: postgresql://shop:hunter2@db/shop", "url", "a login in an address"),
    ("url: 'postgresql://db/shop?password=hunter2'", "url", "query parameter `password`"),
    ("release: {deploy: [make, deploy, --password=hunter2]}", "release.deploy.2", "`--password`"),
    ("release: {deploy: [make, deploy, --token, hunter2]}", "release.deploy.3", "`--token`"),
    ("release: {deploy: [make, TOKEN=hunter2]}", "release.deploy.1", "`TOKEN`"),
    ("release: {deploy: [sh, -c, 'deploy --api-key hunter2 now']}", "release.deploy.2", "`--api-key`"),
    ("release: {deploy: [sh, -c, 'PGPASSWORD=hunter2 psql']}", "release.deploy.2", "`PGPASSWORD`"),
    ("release: {deploy: [curl, -u, 'ada:hunter2', 'https://h/']}", "release.deploy.2", "a login as `-u`"),
    ("release: {deploy: [curl, -H, 'Authorization: Bearer hunter2']}", "release.deploy.2", "the header `Authorization`"),
    ("release: {deploy: [psql, 'postgresql://u:hunter2@db/shop']}", "release.deploy.1", "a login in an address"),
    ("release: {environments: {staging: {env: {DEPLOY_TO: staging, DB_PASSWORD: hunter2}}}}", "release.environments.staging.env.DB_PASSWORD", "a secret"),
    ("rules: [{rollback: {note: 'the key is AKIAHUNTER2HUNTER2X1'}}]", "rules.0.rollback.note", "a secret"),
    ("rules: [{examples: {not_cached: ['/reset?token=hunter2hunter2hunter2']}}]", "rules.0.examples.not_cached.0", "query parameter `token`"),
]  # fmt: skip


@pytest.mark.parametrize(("written", "place", "says"), SECRETS, ids=[row[0] for row in SECRETS])
def test_a_secret_is_found_wherever_it_is_written_and_never_quoted(written, place, says):
    [(where, saw, remedy)] = written_secrets(yaml.safe_load(written))
    assert place == ".".join(map(str, where))
    assert says in saw
    assert "hunter2" not in f"{saw} {remedy}".lower()
    assert ("`{env: NAME}`" in remedy) is written.startswith(("blocks", "url"))


FINE = [
    "blocks: {member/ada: {login: /login, form: {user: ada, password: {env: ADA_PASSWORD}}, sentinels: [Ada Lovelace]}}",
    "blocks: {custom-webhook/x: {headers: {Authorization: 'Bearer {{token}}'}, secrets: {token: {env: TOKEN}}}}",
    "rules: [{bypass: [{when: cookie sessionid}, {when: query token}, {when: header Authorization}]}]",
    "rules: [{examples: {not_cached: ['/reset?token=example', '/search?key=tomatoes']}, paths: ['/password/**']}]",
    "rules: [{expected_result: 'Who forgot the password gets a token: https://wiki.test/a?key=value'}]",
    "release: {deploy: [make, deploy, RULE=articles, --password-file, /run/secrets/db]}",
    "release: {deploy: [sh, -c, 'deploy --password=$PASSWORD --token \"$TOKEN\"']}",
    "release: {deploy: [git, clone, 'ssh://git@host.test/shop']}",
    "release: {environments: {staging: {env: {DEPLOY_TO: staging, SECRET_NAME: shop}}}}",
    "owner: web-platform <web@example.com>",
    "url: {env: SHOP_LIVE}",
    "edge: cloudflare/token",
    "base_url: http://host.test:8080",
]


@pytest.mark.parametrize("written", FINE)
def test_what_only_speaks_of_secrets_is_none(written):
    assert [] == list(written_secrets(yaml.safe_load(written)))
