"""Known regions and industries, for completion and for crawls.

Observed on TikTok Creative Center in October 2025, not promised by KeyAPI: the client takes any
region code and any industry id.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

REGIONS: Final[dict[str, str]] = {
    "AE": "United Arab Emirates",
    "AR": "Argentina",
    "AT": "Austria",
    "AU": "Australia",
    "BD": "Bangladesh",
    "BE": "Belgium",
    "BG": "Bulgaria",
    "BH": "Bahrain",
    "BR": "Brazil",
    "BY": "Belarus",
    "CA": "Canada",
    "CH": "Switzerland",
    "CL": "Chile",
    "CO": "Colombia",
    "CZ": "Czechia",
    "DE": "Germany",
    "DK": "Denmark",
    "EE": "Estonia",
    "EG": "Egypt",
    "ES": "Spain",
    "FI": "Finland",
    "FR": "France",
    "GB": "United Kingdom",
    "GR": "Greece",
    "HR": "Croatia",
    "HU": "Hungary",
    "ID": "Indonesia",
    "IE": "Ireland",
    "IL": "Israel",
    "IQ": "Iraq",
    "IS": "Iceland",
    "IT": "Italy",
    "JO": "Hashemite Kingdom of Jordan",
    "JP": "Japan",
    "KH": "Cambodia",
    "KR": "South Korea",
    "KW": "Kuwait",
    "KZ": "Kazakhstan",
    "LB": "Lebanon",
    "LT": "Republic of Lithuania",
    "LU": "Luxembourg",
    "LV": "Latvia",
    "MA": "Morocco",
    "MM": "Myanmar [Burma]",
    "MO": "Macao",
    "MX": "Mexico",
    "MY": "Malaysia",
    "NG": "Nigeria",
    "NL": "Netherlands",
    "NO": "Norway",
    "NZ": "New Zealand",
    "OM": "Oman",
    "PE": "Peru",
    "PH": "Philippines",
    "PK": "Pakistan",
    "PL": "Poland",
    "PT": "Portugal",
    "QA": "Qatar",
    "RO": "Romania",
    "SA": "Saudi Arabia",
    "SE": "Sweden",
    "SG": "Singapore",
    "SK": "Slovakia",
    "TH": "Thailand",
    "TR": "Turkey",
    "TW": "Taiwan",
    "UA": "Ukraine",
    "US": "United States",
    "UZ": "Uzbekistan",
    "VN": "Vietnam",
    "ZA": "South Africa",
}
"""Country codes known for hashtags and music, with their names."""

VIDEO_REGIONS: Final[dict[str, str]] = {
    "AE": "United Arab Emirates",
    "AU": "Australia",
    "BR": "Brazil",
    "CA": "Canada",
    "DE": "Germany",
    "EG": "Egypt",
    "ES": "Spain",
    "FR": "France",
    "GB": "United Kingdom",
    "ID": "Indonesia",
    "IT": "Italy",
    "JP": "Japan",
    "KR": "South Korea",
    "MX": "Mexico",
    "MY": "Malaysia",
    "PH": "Philippines",
    "PL": "Poland",
    "RU": "Russia",
    "SA": "Saudi Arabia",
    "SE": "Sweden",
    "SG": "Singapore",
    "TH": "Thailand",
    "TR": "Turkey",
    "US": "United States",
    "VN": "Vietnam",
}
"""Country codes known for videos, with their names."""

INDUSTRIES: Final[dict[str, str]] = {
    "10000000000": "Education",
    "11000000000": "Vehicle & Transportation",
    "12000000000": "Baby, Kids & Maternity",
    "13000000000": "Financial Services",
    "14000000000": "Beauty & Personal Care",
    "15000000000": "Tech & Electronics",
    "17000000000": "Travel",
    "18000000000": "Household Products",
    "19000000000": "Pets",
    "21000000000": "Home Improvement",
    "22000000000": "Apparel & Accessories",
    "23000000000": "News & Entertainment",
    "24000000000": "Business Services",
    "25000000000": "Games",
    "26000000000": "Life Services",
    "27000000000": "Food & Beverage",
    "28000000000": "Sports & Outdoor",
    "29000000000": "Health",
}
"""First-level industries: `industry_id` and name."""

_SPELLINGS: Final[dict[str, str]] = {
    "UK": "GB",
    "ENGLAND": "GB",
    "USA": "US",
    "UAE": "AE",
    "KSA": "SA",
    "EL": "GR",
}


def likely_region(text: str, known: Iterable[str]) -> str | None:
    """The known region that an unknown spelling is likely meant to be: `GB` for `uk`.

    Args:
        text: What was given.
        known: The codes known for the endpoint.

    Returns:
        The code; None if the text is a known code itself, or resembles none.
    """
    codes = {code.upper(): code for code in known}
    if text in codes.values():
        return None
    bare = text.strip().upper()
    names = {REGIONS.get(code, code).upper(): code for code in codes.values()}
    found = codes.get(bare) or codes.get(_SPELLINGS.get(bare, "")) or names.get(bare)
    return found or codes.get(bare.partition(",")[0])
