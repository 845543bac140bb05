"""The proxy auto-configuration file: browsers that load it send .overlay to the proxy and nothing else."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address
from typing import Final

CONTENT_TYPE: Final = "application/x-ns-proxy-autoconfig"


def pac(host: str, port: int) -> str:
    """The PAC file for a proxy at the numeric `host` and `port`; ValueError for anything else.

    SOCKS5 comes first because with it the browser leaves resolving to the proxy; PROXY is for clients that speak
    only HTTP to a proxy, SOCKS is how some older ones spell SOCKS5 (Chromium takes it for SOCKS4). A name in upper
    case, or with a dot at its end, is the same name.
    """
    ip = ip_address(host)
    if not 0 < port < 65536:
        raise ValueError(f"{port} is not a port (1-65535)")
    place = f"[{ip}]:{port}" if isinstance(ip, IPv6Address) else f"{ip}:{port}"
    return f"""\
// Sends names under .overlay to the overlay gateway on this computer, everything else as if it were not there.
function FindProxyForURL(url, host) {{
  var name = host.toLowerCase();
  if (name.charAt(name.length - 1) === ".") {{ name = name.slice(0, -1); }}
  if (name === "overlay" || name.slice(-8) === ".overlay") {{
    return "SOCKS5 {place}; PROXY {place}; SOCKS {place}";
  }}
  return "DIRECT";
}}
"""
