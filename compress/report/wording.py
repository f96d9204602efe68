"""Figures as people read them. A figure that is not there is a dash."""

NOTHING = "-"


def metric_value(value: float | None, metric: str = "accuracy") -> str:
    """Accuracy in percent; another metric as it is.

    >>> metric_value(0.9751), metric_value(-0.0213, "mse")
    ('97.5 %', '-0.0213')
    """
    if value is None:
        return NOTHING
    return f"{100 * value:.1f} %" if metric == "accuracy" else f"{value:.4g}"


def change(value: float | None, metric: str = "accuracy") -> str:
    """A difference of the metric, with its sign; accuracy in points.

    >>> change(-0.013), change(0.0)
    ('-1.3', '±0')
    """
    if value is None:
        return NOTHING
    text = f"{100 * value:+.1f}" if metric == "accuracy" else f"{value:+.3g}"
    return "±0" if float(text) == 0 else text


def share(value: float | None) -> str:
    """A share of samples in percent."""
    return NOTHING if value is None else f"{100 * value:.1f} %"


def error(value: float | None) -> str:
    """A relative error in two significant digits."""
    return NOTHING if value is None else f"{value:.2g}"


def size(value: float | None) -> str:
    """Bytes; KB are 1,024 bytes.

    >>> size(900), size(20480), size(3.2e6)
    ('900 B', '20.0 KB', '3.05 MB')
    """
    if value is None:
        return NOTHING
    if value < 1024:
        return f"{value:,.0f} B"
    return f"{value / 1024:,.1f} KB" if value < 1024**2 else f"{value / 1024**2:,.2f} MB"


def milliseconds(value: float | None) -> str:
    """A time in three significant digits.

    >>> milliseconds(0.0423), milliseconds(1.2345), milliseconds(1234.5)
    ('42.3 µs', '1.23 ms', '1,234 ms')
    """
    if value is None:
        return NOTHING
    if 0 < value < 0.1:
        return f"{1000 * value:.3g} µs"
    return f"{value:.3g} ms" if value < 1000 else f"{value:,.0f} ms"


def precision(value: float | None, low: float | None, high: float | None) -> str | None:
    """How far a value's bounds are from each other, as a part of it; None where there are none.

    >>> precision(2.0, 1.98, 2.02)
    '±1 %'
    """
    if not value or low is None or high is None:
        return None
    return f"±{100 * (high - low) / 2 / value:.2g} %"


def millijoules(value: float | None) -> str:
    """An energy in three significant digits."""
    return NOTHING if value is None else f"{value:.3g} mJ"


def count(value: float | None) -> str:
    """A number of things, in three significant digits from ten thousand on.

    >>> count(9876), count(12345), count(45_600_000)
    ('9,876', '12.3 k', '45.6 M')
    """
    if value is None:
        return NOTHING
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if value >= limit:
            scaled = value / (1e3 if unit == "k" else limit)
            return f"{scaled:.3g} {unit}" if scaled < 1000 else f"{scaled:,.0f} {unit}"
    return f"{value:,.0f}"


def times_smaller(before: float, after: float) -> str:
    """How many times smaller something became.

    >>> times_smaller(1000, 250), times_smaller(10, 10)
    ('4.0 times smaller', 'unchanged')
    """
    if after <= 0 or before == after:
        return "unchanged" if before == after else NOTHING
    return f"{before / after:.1f} times smaller" if after < before else f"{after / before:.1f} times larger"


def verdict_word(kept: bool | None) -> str:
    """What a verdict is called."""
    return "not checked" if kept is None else "kept" if kept else "missed"


def one_line(text: object) -> str:
    """Text from files and runtimes without line breaks and control characters, which could forge lines or drive a terminal."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in str(text)).split())
