"""Any JSON, for hypothesis: huge numbers, lone surrogates, the names the package itself uses."""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from tests.core.scripted_server import KEY

calm = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


ANY_TEXT = st.text(st.characters(), max_size=6) | st.sampled_from([KEY, "raw", "\ud83d", "1", ""])


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([0, 1, 2**63, -(2**63), 2**80, 10**400, -(10**400)])
    | st.floats()
    | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY_TEXT, inner, max_size=3),
    max_leaves=6,
)
