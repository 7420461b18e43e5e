vcl 4.1;

# A cache in front of nginx. All articles are one object, so that a million addresses need no gigabytes here: what is
# measured is who asks, and the cache does for each what it does for a page it has.

backend default { .host = "127.0.0.1"; .port = "@PORT@"; }

import vtc;

sub vcl_recv {
    # How long a page takes, where it is to take long: each connection waits in a thread of its own.
    if (@DELAY@ms > 0s && req.url ~ "^/articles/") { vtc.sleep(@DELAY@ms); }
    if (req.url ~ "^/articles/") { return (hash); }
    return (pass);
}

sub vcl_hash {
    hash_data("article");
    return (lookup);
}

sub vcl_backend_fetch {
    if (bereq.url ~ "^/articles/") { set bereq.url = "/article.html"; }
}

sub vcl_backend_response {
    if (bereq.url == "/article.html") {
        set beresp.ttl = 6h;
        set beresp.http.Cache-Control = "public, max-age=21600";
    }
}
