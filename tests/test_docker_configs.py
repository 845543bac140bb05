"""What the Dockerfile and the compose file beside an app say is there and works, as far as no Docker engine is needed for it."""

from __future__ import annotations

import configparser
import json
import re
import subprocess
from pathlib import Path

import yaml

from gateway.config import load, parse
from tests.lab.gateways import OVERLAY, GatewayProcess, clean_environment, running

ROOT = Path(__file__).parents[1]
CONFIGS = ROOT / "configs"


def instructions() -> list[tuple[str, str]]:
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(line.partition(" ")[0], line.partition(" ")[2].strip()) for line in lines]


def of(name: str) -> list[str]:
    return [rest for instruction, rest in instructions() if instruction == name]


def test_what_is_copied_is_there_and_the_extras_exist() -> None:
    for copied in of("COPY"):
        if not copied.startswith("--from"):
            *sources, _ = copied.split()
            assert all((ROOT / source).exists() for source in sources)
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    extras = re.search(r"'\.\[([\w,]+)\]'", " ".join(of("RUN")))
    assert extras is not None
    assert "dht" in extras[1].split(",")
    assert set(extras[1].split(",")) <= set(setup["options.extras_require"])


def test_the_image_is_run_by_a_user_without_rights_and_built_in_two_stages() -> None:
    names = [name for name, _ in instructions()]
    assert names.count("FROM") == 2
    assert of("USER") == ["overlay"]
    last = len(names) - 1 - names[::-1].index("FROM")
    assert "useradd" in dict(instructions()[last:])["RUN"]
    assert names.index("USER") > last


def test_the_health_check_tells_a_gateway_that_runs_from_one_that_does_not(tmp_path: Path) -> None:
    (check,) = of("HEALTHCHECK")
    command = json.loads(check[check.index("CMD") + 3 :])
    (entry,), (arguments,) = of("ENTRYPOINT"), of("CMD")
    assert [*json.loads(entry), *json.loads(arguments)] == ["overlay", "up"]

    def healthy() -> bool:
        environment = clean_environment() | {"OVERLAY_HOME": str(tmp_path / "gate")}
        words = [OVERLAY, *command[1:]]
        return (
            subprocess.run(words, capture_output=True, check=False, timeout=30, env=environment).returncode
            == 0
        )

    assert command[0] == "overlay"
    with running(GatewayProcess(tmp_path / "gate", nickname="gate")):
        assert healthy()
    assert not healthy()


def test_the_gateway_beside_an_app_shares_its_network_and_gets_settings_that_there_are(
    tmp_path: Path,
) -> None:
    compose = yaml.safe_load((CONFIGS / "compose-app.yaml").read_text(encoding="utf-8"))
    gateway, app = compose["services"]["gateway"], compose["services"]["app"]
    assert app["network_mode"] == "service:gateway"
    assert app["depends_on"]["gateway"]["condition"] == "service_healthy"
    assert "ports" not in app
    assert gateway["cap_drop"] == ["ALL"]
    named, mounted = (volume.split(":") for volume in gateway["volumes"])
    assert named[0] in compose["volumes"]
    assert (CONFIGS / mounted[0]).is_file()
    given = {key: re.sub(r"\$\{\w+:-(.*)\}", r"\1", value) for key, value in gateway["environment"].items()}
    config = load(CONFIGS / mounted[0], environ=given, overrides={})
    assert config.gateway.nickname == "app"
    assert config.services["web"].target == "127.0.0.1:80"


def test_every_compose_file_is_yaml_and_its_settings_of_gateways_parse() -> None:
    for file in CONFIGS.glob("compose*.yaml"):
        assert yaml.safe_load(file.read_text(encoding="utf-8"))["services"]
    assert parse((CONFIGS / "app.toml").read_bytes(), source="app.toml").services
