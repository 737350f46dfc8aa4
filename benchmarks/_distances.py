"""The other divergences of probabilities, as who has none of them writes them down: the textbook's sums."""

from _workloads import ORDERS


def textbook_distances(library):
    """With the sqrt, log and abs of a library of arrays."""
    sqrt, log = library.sqrt, library.log

    def renyi(order):
        if order == 0.5:
            return lambda p, q: -2 * log(sqrt(p * q).sum(-1))
        return lambda p, q: log((p**order / q ** (order - 1)).sum(-1)) / (order - 1)

    return {
        "total_variation": lambda p, q: library.abs(p - q).sum(-1) / 2,
        "hellinger": lambda p, q: sqrt(((sqrt(p) - sqrt(q)) ** 2).sum(-1) / 2),
        "jeffreys": lambda p, q: ((p - q) * log(p / q)).sum(-1),
        "chi2_divergence": lambda p, q: ((p - q) ** 2 / q).sum(-1),
    } | {f"renyi_divergence {name}": renyi(order) for name, order in ORDERS.items()}
