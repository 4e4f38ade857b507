"""Search for the layers of an int8 model that must remain float: `find_float_layers()`."""

import time
from collections.abc import Callable, Sequence

#: Time after which no further layer is measured, and after which the search ends with the best result so far.
MAX_MEASURING_S, MAX_SEARCH_S = 120.0, 240.0


def find_float_layers(
    candidates: Sequence[str],
    passes: Callable[[Sequence[str]], bool],
    sensitivity: Callable[[str], float],
    *,
    listener: Callable[[str], None] = lambda step: None,
    clock: Callable[[], float] = time.monotonic,
) -> tuple[str, ...] | None:
    """Find a small set of layers with which the model passes if they are float.

    The sensitivity of every layer is measured once. The most sensitive layers are then made float: first one, two, four
    and so on until the model passes, then by bisection. With n layers, there are n measurements and about 2·log2(n)
    checks. After `MAX_MEASURING_S`, layers that are not measured count as the least sensitive.

    Args:
        candidates: names of the layers.
        passes: whether the model passes if these layers are float.
        sensitivity: how much a layer alone in int8 changes the predictions.
        listener: called with a description of each step.
        clock: time in seconds.

    Returns:
        Names in the order of `candidates`; all of them if the time is over before a smaller set passed; None if the
        model does not pass even if all of them are float.

    Example:
        >>> changes = {"conv_1": 0.1, "conv_2": 0.5, "conv_3": 0.2}
        >>> def passes(float_layers):
        ...     return sum(change for layer, change in changes.items() if layer not in float_layers) < 0.25
        >>> find_float_layers(list(changes), passes, changes.__getitem__)
        ('conv_2', 'conv_3')
    """
    if passes(()):
        return ()
    start_s, count = clock(), len(candidates)
    listener(f"checking the model with all {count} layers in float")
    if not passes(candidates):
        return None
    if count < 2:
        return tuple(candidates)
    sensitivities = dict.fromkeys(candidates, 0.0)
    for number, layer in enumerate(candidates, start=1):
        if clock() - start_s > MAX_MEASURING_S:
            listener(f"measured {number - 1} of {count} layers in {MAX_MEASURING_S:g} s; the others count as exact")
            break
        listener(f"measuring the effect of int8, layer {number} of {count}")
        sensitivities[layer] = sensitivity(layer)
    ranked = sorted(candidates, key=lambda layer: -sensitivities[layer])

    too_few, enough = 0, count  # numbers of float layers
    while enough - too_few > 1 and clock() - start_s <= MAX_SEARCH_S:
        tried = min(2 * too_few, enough - 1) if enough == count and too_few else (too_few + enough) // 2
        tried = tried if too_few else 1
        listener(f"checking the model with {tried} of {count} layers in float")
        if passes(ranked[:tried]):
            enough = tried
        else:
            too_few = tried
    chosen = set(ranked[:enough])
    return tuple(layer for layer in candidates if layer in chosen)
