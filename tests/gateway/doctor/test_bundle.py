"""A bundle holds what helps to understand, and nothing that is nobody else's business."""

from __future__ import annotations

import json

from gateway.config import parse
from gateway.control.contacts import ContactReport
from gateway.doctor.bundle import bundle
from gateway.doctor.checks.every import findings_of
from gateway.doctor.facts import OtherGateway
from tests.gateway.doctor.facts import facts, home, machine, status

ALICE = "xtkmbn9nqnczcmuq4o7jq6tuormrijihd94z3h3eto5whzimykpy"
CONFIG = f"""
[gateway]
nickname = "carols-laptop"
[proxy]
username = "proxyuser"
password = "hunter2hunter2"
[beacons]
urls = ["https://secret-beacon.example#{ALICE}"]
proxy = "http://me:topsecret@10.1.2.3:8080"
[contacts.grandma]
id = "{ALICE}"
addresses = ["5.9.13.1:41641"]
groups = ["kinfolk"]
[services.diary]
target = "carol-desktop.lan:8000"
"""
SECRETS = (
    "carols-laptop", "proxyuser", "hunter2", "secret-beacon", "topsecret", "grandma", "kinfolk", "diary", "carol",
    ALICE, ALICE[:8], "5.9.13.1", "10.1.2.3", "zorro", "sourdough", "yolanda", "i1secretinvite",
)  # fmt: skip


def made(**changes) -> str:
    given = facts(
        config=parse(CONFIG.encode(), source="gateway.toml", overrides={}),
        home=home(stale_socket="/home/carol/x.sock"),
        machine=machine(
            others=(OtherGateway(5, "overlay --home /home/yolanda/x up"),),
            proxies={"http_proxy": "set", "no_proxy": "zorro.example"},
        ),
        status=status(
            nickname="carols-laptop",
            home="/home/carol/state",
            contacts=(ContactReport(petname="zorro", endpoint_id=ALICE, nickname="Zorro Z"),),
            addresses=("5.9.13.1:41641",),
        ),
        **changes,
    )
    log = [
        f"2026-11-28 info gateway.daemon: tunnel is up endpoint={ALICE[:8]} petname=zorro address=5.9.13.1:41641",
        "http://diary.grandma.overlay/ opened by overlay join overlay:i1secretinvite7",
        "joined sourdough at carol-desktop.lan",
    ]
    return bundle(
        given,
        findings_of(given),
        log,
        hostname="carol-desktop.lan",
        user="carol",
        user_home="/home/carol",
        names=["sourdough"],
        system="Linux 6",
    ).decode()


def test_no_secret_key_name_host_user_or_public_address_is_in_it():
    text = made().lower()
    assert [secret for secret in SECRETS if secret.lower() in text] == []


def test_what_helps_is_in_it():
    report = json.loads(made())
    assert report["findings"]
    assert report["configuration"]["proxy"]["port"] == 1080
    assert report["configuration"]["proxy"]["password"] == "***"
    assert report["status"]["listeners"][0]["addresses"] == ["127.0.0.1:1080"]
    assert report["machine"]["receive_buffer"] == 4 << 20
    assert report["channels"]["proxy"]["ok"] is True
    assert "tunnel is up endpoint=id-" in report["log"][0]


def test_without_a_gateway_and_without_a_configuration_there_is_one_all_the_same():
    report = json.loads(bundle(facts(status=None, config=None, config_error="gateway.toml: wrong"), (), []))
    assert (report["status"], report["configuration"]) == (None, "gateway.toml: wrong")
