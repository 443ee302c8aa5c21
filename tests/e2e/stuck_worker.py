"""A worker whose loop or whose pump stops turning: the environment variable STUCK says which."""

import os
import time
from typing import Any

from console.main import main
from workers.maintenance.delayed_scheduler import DelayedScheduler
from workers.stages.verify import Verify


def hang(*_: Any) -> None:
    time.sleep(3600)


if __name__ == "__main__":
    if os.environ["STUCK"] == "loop":
        Verify.load = hang  # type: ignore[method-assign,assignment]
    else:
        DelayedScheduler.run = hang  # type: ignore[method-assign,assignment]
    main()
