vcl 4.1;

# A cache with nothing special in it: everything is kept, nothing is looked at twice.

backend default { .host = "127.0.0.1"; .port = "@ORIGIN_PORT@"; }

sub vcl_backend_response { set beresp.ttl = 1h; }
