vcl 4.1;
backend default { .host = "127.0.0.1"; .port = "@ORIGIN_PORT@"; }
# DELIBERATELY WRONG: says that it purged, and keeps everything
sub vcl_recv { if (req.method == "PURGE") { return (synth(200, "Purged")); } }
sub vcl_backend_response { set beresp.grace = 0s; }
sub vcl_deliver { if (obj.hits > 0) { set resp.http.X-Cache = "HIT"; } else { set resp.http.X-Cache = "MISS"; } }
