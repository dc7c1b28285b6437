"""What a start brings stays for good: it is left out of garbage collection, which would go through it in vain."""

import gc


def settle() -> None:
    """Leave out of garbage collection everything there is now."""
    gc.collect()
    gc.freeze()
    gc.enable()  # `clout serve` starts without
