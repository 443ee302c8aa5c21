"""Install the requirements that peers pin, each in its own folder: `python -m tests.bench.install`."""

import subprocess
import sys

from tests.bench.peer import Peer, folder_apart, peers


def main() -> None:
    """Install the pinned requirements of each peer into its own folder, unless they are there."""
    for peer in peers():
        if peer.pins:
            install(peer)


def install(peer: Peer) -> None:
    folder = folder_apart(peer.name)
    done = folder / "pins"
    if done.exists() and done.read_text().split() == list(peer.pins):
        return
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    subprocess.run([*pip, "--no-deps", "--upgrade", "--target", str(folder), *peer.pins], check=True)
    done.write_text("\n".join(peer.pins))


if __name__ == "__main__":
    main()
