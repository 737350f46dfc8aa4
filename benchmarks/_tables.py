"""The tables of the README's section on speed and accuracy, each made from the JSON alone."""

from _figures import bold, case_error, instructions, markdown, microseconds, milliseconds, ratio, times, worst_error
from _published import AVX2, LOGIT_ROWS, LOGITS, MEMORY, ROWS, USES, VECTORS

PEERS = ("numpy", "scipy", "numba", "torch", "jax", "numkong")
ONE_THREAD = "1"


def _title(figures, name, entry):
    """A contestant with its version, and its threads where they are fewer than klfast's."""
    if entry["is_baseline"] or entry["package"] == "klfast":
        return entry["name"]
    version = figures.context(name)["machine"]["versions"].get(entry["package"]) or ""
    title = f"{entry['name']} {'.'.join(version.split('.')[:2])}"
    plain = entry["package"] in ("numpy", "scipy")  # nobody expects threads of them
    return title + (" (1 thread)" if entry["threads"] == ONE_THREAD and not plain else "")


def _contestants(figures, name):
    """klfast, the read, and the fastest contestant of each package, fastest first."""
    entries = [entry for peer in PEERS if (entry := figures.best(name, peer))]
    entries.sort(key=lambda entry: entry["median_ms"])
    return [figures.own(name), figures.entry(name, "read"), *entries]


def vectors(figures):
    single, double = VECTORS
    cases = ("easy", "peaked", "near-equal", "infinite")
    header = ["", "float32, ms", "ratio", "error: easy", *cases[1:], "float64, ms", "ratio", "error: near-equal"]
    rows = []
    for entry in _contestants(figures, single):
        other = figures.entry(double, entry["name"])
        cells = [milliseconds(entry["median_ms"]), ratio(entry), *(case_error(entry, case) for case in cases)]
        cells += [milliseconds(other["median_ms"]), ratio(other), case_error(other, "near-equal")]
        rows.append(_own_in_bold([_title(figures, single, entry), *cells], entry))
    return markdown(header, rows)


def _own_in_bold(cells, entry):
    return [bold(cell) for cell in cells] if entry["name"] == "klfast" else cells


def logits(figures):
    cross_entropy, kl, near = LOGITS
    header = ["", "cross-entropy, ms", "ratio", "error: sure rows", "KL, ms", "ratio", "error: near-equal"]
    rows = []
    for entry in _contestants(figures, cross_entropy):
        other, close = (figures.entry(name, entry["name"]) for name in (kl, near))
        cells = [milliseconds(entry["median_ms"]), ratio(entry), case_error(entry, "sure")]
        cells += [milliseconds(other["median_ms"]), ratio(other), case_error(close, "near-equal")]
        rows.append(_own_in_bold([_title(figures, cross_entropy, entry), *cells], entry))
    return markdown(header, rows)


def _each(names, cell):
    """The cells of a line's workloads with a stroke between them; nothing where none has one."""
    cells = [cell(name) for name in names]
    return " / ".join(cells) if any(cells) else ""


def _times_of(figures, names, package, with_out=False):
    """How many times as long as klfast the fastest contestant of the package takes."""

    def cell(name):
        peer = figures.best(name, package)
        return times(peer["median_ms"] / figures.own(name, with_out)["median_ms"]) if peer else ""

    return _each(names, cell)


def logit_rows(figures):
    rows = []
    for label, names, writes in LOGIT_ROWS:
        baseline = "copy" if writes else "read"
        own = {name: figures.own(name, writes) for name in names}
        ratios = _each(names, lambda name, own=own, baseline=baseline: ratio(own[name], baseline))
        cells = [label, _each(names, lambda name, own=own: milliseconds(own[name]["median_ms"]))]
        cells.append(ratios + (" (copy)" if writes else ""))
        rows.append(cells + [_times_of(figures, names, package, writes) for package in ("torch", "jax")])
    return markdown(["", "klfast, ms", "ratio", "torch", "jax"], rows)


def rows(figures):
    peers = ("numpy", "scipy", "numba", "torch", "jax")
    lines = []
    for label, names in ROWS:
        cells = [label, _each(names, lambda name: milliseconds(figures.own(name)["median_ms"]))]
        cells.append(_each(names, lambda name: ratio(figures.own(name))))
        lines.append(cells + [_times_of(figures, names, package) for package in peers])
    return markdown(["", "klfast, ms", "ratio", *peers], lines)


def uses(figures):
    """What KL is used for. Where klfast writes into memory that is there, so may the others where they can."""
    peers = ("numpy", "torch", "jax")
    lines = []
    for label, name, baseline in USES:
        own = figures.own(name, with_out="`out=`" in label)
        cells = [label, milliseconds(own["median_ms"]), ratio(own, baseline) + (" (copy)" if baseline == "copy" else "")]
        cells.append(worst_error(own))
        for peer in peers:
            entry = figures.best(name, peer)
            cells.append(f"{times(entry['median_ms'] / own['median_ms'])} ({worst_error(entry)})" if entry else "")
        lines.append(cells)
    return markdown(["", "klfast, ms", "ratio", "error", *peers], lines)


def memory(figures):
    """Ratios to the read of what comes from memory, at the machine's level, and at AVX2 where that is another one."""
    has_another = figures.level != AVX2 and any(level == AVX2 for _, level in figures.rows)
    levels = [figures.level, AVX2] if has_another else [figures.level]
    header = [""] + [f"{instructions(level)}: {dtype}" for level in levels for dtype in ("float32", "float64")]
    lines = []
    for label, names in MEMORY:
        cells = [label]
        for level in levels:
            found = [ratio(figures.entry(name, "klfast", level)) for name in names]
            cells += found + [""] * (2 - len(found))
        lines.append(cells)
    return markdown(header, lines)


def faster_peers(figures, margin=1.05):
    """The measured rows in which a package took less time than klfast by more than what runs differ by: the fastest such."""
    lines = []
    for name, level in figures.rows:
        if level != figures.level:
            continue
        gains = [(own["median_ms"] / peer["median_ms"], own, peer) for own, peer in _pairs(figures, name)]
        gain, own, peer = max(gains, key=lambda found: found[0], default=(0, None, None))
        if gain > margin:
            line = [f"`{name}`", _title(figures, name, peer), _small_time(peer), _small_time(own), times(gain)]
            lines.append((gain, [*line, worst_error(peer), worst_error(own)]))
    lines.sort(key=lambda found: -found[0])
    header = ["", "faster", "its time", "klfast's", "times as fast", "its error", "klfast's"]
    return markdown(header, [line for _, line in lines]) if lines else "Nowhere in what is measured."


def _pairs(figures, name):
    """klfast and the fastest of each package; klfast with out= where that one has it as well."""
    peers = filter(None, (figures.best(name, package) for package in PEERS))
    return [(figures.own(name, peer["name"].endswith("with out=")), peer) for peer in peers]


def _small_time(entry):
    ms = entry["median_ms"]
    return f"{microseconds(entry)} µs" if ms < 0.0995 else f"{milliseconds(ms)} ms"

