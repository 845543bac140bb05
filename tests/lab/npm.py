"""Packages of npm, installed by name where they are first asked for: independent implementations to test against."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
from pathlib import Path

_PLACE = Path(__file__).parents[2] / "build" / "npm"
_INSTALL_SECONDS = 300


def installed(*packages: str) -> Path:
    """A directory in which `npm install PACKAGES` was run, such as `pkarr@1.3.0`; processes that ask at once wait."""
    npm = shutil.which("npm")
    assert npm is not None, "npm is not installed: `make packages` as root installs it"
    place = _PLACE / "+".join(package.replace("/", "-") for package in sorted(packages))
    place.mkdir(parents=True, exist_ok=True)
    with (place / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = place / "done"
        if not done.exists():
            (place / "package.json").write_text("{}")
            ran = subprocess.run(
                [npm, "install", "--no-audit", "--no-fund", "--save-exact", *packages],
                cwd=place,
                capture_output=True,
                text=True,
                timeout=_INSTALL_SECONDS,
                check=False,
            )
            assert ran.returncode == 0, f"npm install {' '.join(packages)}: {ran.stderr}{ran.stdout}"
            done.touch()
    return place
