vcl 4.1;

# A server that sleeps for each connection in a thread of its own, so that nobody waits for anybody else; and a cache
# with nothing special in it, which is its own origin.

import vtc;

backend default { .host = "127.0.0.1"; .port = "@PORT@"; }

sub vcl_recv {
    if (req.url == "/sleep/5") { vtc.sleep(5ms); return (synth(200)); }
    if (req.url == "/sleep/50") { vtc.sleep(50ms); return (synth(200)); }
    if (req.url == "/sleep/200") { vtc.sleep(200ms); return (synth(200)); }
    if (req.url == "/made") { return (synth(200)); }
}

sub vcl_backend_fetch { set bereq.url = "/made"; }

sub vcl_backend_response { set beresp.ttl = 1h; }

sub vcl_synth { synthetic("@BODY@"); return (deliver); }
