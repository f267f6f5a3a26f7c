"""The five date parts of a behaviour (ShopperBERT, section 3)."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]

#: How many values each part has, but for the year, which has those of the data.
MONTHS: Final = 12
DAYS_OF_MONTH: Final = 31
DAYS_OF_WEEK: Final = 7
HOURS: Final = 24
PARTS: Final = ("year", "month", "day of month", "day of week", "hour")


def date_parts(times: Ints) -> Ints:
    """Year, month, day of month, day of week (Monday is 0) and hour of moments in ms since 1970, UTC.

    int64 [n, 5]; but for the year all count from 0.
    """
    moments = times.astype("datetime64[ms]")
    days = moments.astype("datetime64[D]")
    months = days.astype("datetime64[M]")
    parts = (
        months.astype("datetime64[Y]").astype(np.int64) + 1970,
        months.astype(np.int64) % MONTHS,
        (days - months).astype(np.int64),
        (days.astype(np.int64) + 3) % DAYS_OF_WEEK,  # 1970 began on a Thursday
        times // 3_600_000 % HOURS,
    )
    return np.stack(parts, axis=1)
