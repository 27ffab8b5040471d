"""A browser to look at pages with."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

ARGUMENTS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="session")
def programs() -> list[str]:
    """Paths of Chromium and its driver; root on Debian gets them installed."""
    names = ["chromium", "chromedriver"]
    if not all(map(shutil.which, names)) and shutil.which("apt-get") and os.geteuid() == 0:
        environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        for command in (["update"], ["install", "--yes", "chromium", "chromium-driver"]):
            try:
                subprocess.run(
                    ["apt-get", "-qq", *command], env=environment, timeout=300, check=True, capture_output=True
                )
            except (subprocess.SubprocessError, OSError) as error:
                pytest.skip(f"Chromium is missing and cannot be installed: {error}")
    missing = [name for name in names if not shutil.which(name)]
    if missing:
        pytest.skip(f"{' and '.join(missing)} not found")
    return [shutil.which(name) for name in names]


@pytest.fixture(scope="session")
def driver(programs, tmp_path_factory) -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location, chromedriver = programs
    for argument in [*ARGUMENTS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}", "--window-size=1280,900"]:
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options, Service(chromedriver))
    yield driver
    driver.quit()


def requests(driver: webdriver.Chrome) -> list[str]:
    """Addresses that were asked for since the last call."""
    messages = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    return [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]


@pytest.fixture
def visit(driver) -> Iterator[Callable[[str], webdriver.Chrome]]:
    """Opens a page, one in a test; whatever the test does with it, nothing may be logged or asked for."""
    visited = []

    def visit(address: str) -> webdriver.Chrome:
        driver.get("about:blank")
        driver.get_log("browser"), requests(driver)
        driver.get(address)
        visited.append(address)
        return driver

    yield visit
    assert driver.get_log("browser") == []
    asked = requests(driver)
    assert asked[:1] == visited
    assert all(url.startswith("data:") for url in asked[1:])
