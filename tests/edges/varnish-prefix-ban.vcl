vcl 4.1;
import std;
backend default { .host = "127.0.0.1"; .port = "@ORIGIN_PORT@"; }
# DELIBERATELY WRONG: a PURGE of /articles/tomatoes takes everything that begins with /articles
sub vcl_recv {
  if (req.method == "PURGE") {
    if (std.ban("obj.http.x-url ~ ^" + regsub(req.url, "^(/[^/?]*).*$", "\1") + " && obj.http.x-host == " + req.http.host)) { return (synth(200, "Purged")); }
    return (synth(400, std.ban_error()));
  }
}
sub vcl_backend_response {
  set beresp.http.x-url = bereq.url;
  set beresp.http.x-host = bereq.http.host;
  set beresp.grace = 0s;
}
sub vcl_deliver {
  unset resp.http.x-url; unset resp.http.x-host;
  if (obj.hits > 0) { set resp.http.X-Cache = "HIT"; } else { set resp.http.X-Cache = "MISS"; }
}
