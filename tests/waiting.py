"""How tests wait: for a condition with a deadline, never for a time that they hope to be long enough."""

import time

WAIT_SECONDS = 30


def wait_until(condition, what, seconds=WAIT_SECONDS):
    """Returns the first true value of condition(); fails with `what` (a text, or what makes one) after the deadline."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds} s in vain: {what() if callable(what) else what}")
        time.sleep(0.01)
