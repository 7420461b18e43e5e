vcl 4.1;
# an edge before a shield, which is the cache on this port
backend default { .host = "127.0.0.1"; .port = "@ORIGIN_PORT@"; }
acl purgers { "127.0.0.1"; }
sub vcl_recv {
  if (req.method == "PURGE") {
    if (client.ip !~ purgers) { return (synth(405, "Not allowed")); }
    return (purge);
  }
}
sub vcl_backend_response { set beresp.grace = 0s; }
sub vcl_deliver {
  if (obj.hits > 0) { set resp.http.X-Cache = resp.http.X-Cache + ", HIT"; } else { set resp.http.X-Cache = resp.http.X-Cache + ", MISS"; }
}
