"""torchvision's mirrors and checksums, without waiting for a mirror that does not answer."""

import socket
import threading
import urllib.parse
import urllib.request
import zipfile
from pathlib import Path

import torchvision.datasets
from torchvision.datasets.utils import download_url

from mnist_cnn.data.presets import Preset

CONNECT_PATIENCE = 5.0  # seconds for a connection: behind some firewalls there is never an answer
PATIENCE = 20.0  # seconds without a byte, once connected


def packed_digests(preset: Preset) -> dict[str, str]:
    """MD5 of the packed files by name, where torchvision has one for each."""
    return {name: md5 for name, (_, md5) in _packed(preset).items()}


def from_mirrors(preset: Preset, work: Path, names: list[str]) -> dict[str, Path]:
    """Downloads the packed files into `work`, and holds them against torchvision's MD5.

    Raises:
        RuntimeError: no mirror has them; with the reason of each.
    """
    packed = _packed(preset)
    if not packed:  # one archive has all files
        reference = getattr(torchvision.datasets, preset.torchvision)
        archive = _download([reference.url], work, reference.md5)
        with zipfile.ZipFile(archive) as opened:
            return {name: Path(opened.extract(f"gzip/{name}.gz", work)) for name in names}
    found = {}
    for name in names:
        urls, md5 = packed[f"{name}.gz"]
        found[name] = _download(urls, work, md5)
    return found


def _packed(preset: Preset) -> dict[str, tuple[list[str], str]]:
    """Addresses and MD5 of the packed files by name; none where torchvision has a single archive."""
    reference = getattr(torchvision.datasets, preset.torchvision)
    resources = getattr(reference, "resources", None)
    if preset.torchvision == "EMNIST":  # inherits MNIST's
        return {}
    if isinstance(resources, dict):  # by split, with whole addresses
        pairs = [pair for split in ("train", "test") for pair in resources[split]]
        return {url.rpartition("/")[2]: ([url], md5) for url, md5 in pairs}
    return {name: ([f"{mirror}{name}" for mirror in reference.mirrors], md5) for name, md5 in reference.resources}


def _download(urls: list[str], work: Path, md5: str) -> Path:
    """The file from the first address that has it."""
    reasons = []
    before = socket.getdefaulttimeout()
    for url in urls:
        name = url.rpartition("/")[2]
        try:
            _require_answer(url)
            socket.setdefaulttimeout(PATIENCE)
            download_url(url, root=str(work), filename=name, md5=md5)
            return work / name
        except (OSError, RuntimeError) as error:
            reasons.append(f"{urllib.parse.urlsplit(url).hostname}: {str(error) or type(error).__name__}")
        finally:
            socket.setdefaulttimeout(before)
    raise RuntimeError("; ".join(reasons))


def _require_answer(url: str) -> None:
    """Raises OSError where no connection to the host of an address, or to the proxy before it, comes about in time.

    A name may stand for many addresses, each of which would be waited for; so all of it runs aside.
    """
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in ("http", "https"):
        return
    proxy = urllib.request.getproxies().get(parts.scheme)
    if proxy and not urllib.request.proxy_bypass(parts.hostname or ""):
        parts = urllib.parse.urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    outcome: list[OSError | None] = []

    def connect() -> None:
        try:
            address = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
            socket.create_connection(address, CONNECT_PATIENCE).close()
            outcome.append(None)
        except OSError as error:
            outcome.append(error)

    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    thread.join(CONNECT_PATIENCE)
    if not outcome:
        raise TimeoutError(f"no connection in {CONNECT_PATIENCE:g} s")
    if outcome[0] is not None:
        raise outcome[0]
