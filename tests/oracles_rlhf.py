"""Exact values of the estimators of KL, from 60 digits."""

import mpmath


def log_ratio(logp, ref_logp, clip=None):
    """r, limited to -clip .. clip; and whether that changed it."""
    r = mpmath.mpf(float(ref_logp)) - mpmath.mpf(float(logp))
    if clip is None or abs(r) <= mpmath.mpf(clip):
        return r, False
    return mpmath.sign(r) * mpmath.mpf(clip), True


def estimate(kind, logp, ref_logp, clip=None):
    with mpmath.workdps(60):
        r, _ = log_ratio(logp, ref_logp, clip)
        return {"k1": lambda: -r, "k2": lambda: r * r / 2, "k3": lambda: mpmath.expm1(r) - r, "abs": lambda: abs(r)}[
            kind
        ]()


def slope(kind, logp, ref_logp, clip=None):
    """The derivative with respect to logp."""
    with mpmath.workdps(60):
        r, is_clipped = log_ratio(logp, ref_logp, clip)
        if is_clipped:
            return mpmath.mpf(0)
        return {
            "k1": lambda: mpmath.mpf(1),
            "k2": lambda: -r,
            "k3": lambda: -mpmath.expm1(r),
            "abs": lambda: -mpmath.sign(r),
        }[kind]()


def ratio_stats(logp, behaviour_logp):
    """mean ratio, effective sample size, chi-square, k1, k3, largest ratio."""
    with mpmath.workdps(60):
        r = [mpmath.mpf(float(x)) - mpmath.mpf(float(y)) for x, y in zip(logp, behaviour_logp)]
        w = [mpmath.exp(one) for one in r]
        n = len(r)
        return (
            mpmath.fsum(w) / n,
            mpmath.fsum(w) ** 2 / mpmath.fsum(one**2 for one in w),
            mpmath.fsum(mpmath.expm1(one) ** 2 for one in r) / n,
            -mpmath.fsum(r) / n,
            mpmath.fsum(mpmath.expm1(one) - one for one in r) / n,
            max(w),
        )
