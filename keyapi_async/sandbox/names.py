"""Names the made-up data is built from: every script, emoji, digits only."""
# ruff: noqa: RUF001 - look-alike letters of other scripts are what this file is about

from __future__ import annotations

from typing import Final

ALL_REGIONS: Final = "all_regions"
NO_INDUSTRY: Final = "nothing"
NO_SEARCH: Final = "FALSE"

# No word ends up as another word plus a number: that keeps numbered names unique.
HASHTAG_WORDS: Final = (
    *("clean", "ufc", "superbowl", "gymtok", "booktok", "springoutfit", "mealprep", "snowday"),
    *("2026", "1111", "日本旅行", "춤추기", "रसोई", "музыка", "موسيقى", "ญี่ปุ่น", "ελλάδα", "תל_אביב"),
    *("🐶", "lunar🧧newyear", "crème_brûlée", "niño", "größe", "İstanbul", "phở", "żółw"),
    *("grwm", "paddypimblett", "halftimeshow", "oscars", "catsoftiktok", "dadjokes", "diyhome"),
)
SOUND_TITLES: Final = (
    *("New Sun", "Midnight Drive", "Übermorgen", "夜に駆ける", "사랑", "Вечер", "ليلة"),
    *("1999", "golden hour (sped up)", "Don't Stop", "original sound", "Ça va & encore", "🔥🔥"),
)
AUTHORS: Final = (
    *("Chihei Hatakeyama", "becky mae", "Galicia Gordon", "micaelarosa_", "佐藤 さくら", "आरव"),
    *("김하늘", "Мария К.", "محمد علي", "mnm_pipi", "O'Neil 🎧", "Zoë", "007", "Đặng Minh"),
)
VIDEO_TITLES: Final = (
    "This pup is living her best life. It’s about to get even better. 🐶",
    "POV: it's monday #fyp",
    "今日のお弁当",
    'He said "one more take" 😭😭',
    "Как испечь хлеб за 10 минут",
    "",
    "part 2\nwait for it…",
    "وصفة سهلة وسريعة",
)
COUNTRIES: Final = {
    entry[:2]: entry[3:]
    for entry in (
        *("US United States", "GB United Kingdom", "DE Germany", "FR France"),
        *("JP Japan", "BR Brazil", "IN India", "VN Vietnam"),
    )
}
"""Name by code of some; any other code stands for itself."""
AUDIENCE_COUNTRIES: Final[tuple[dict[str, object], ...]] = tuple(
    dict(zip(("id", "label", "value"), entry.split(" ", 2), strict=True))
    for entry in (
        *("1821275 MO Macao", "630336 BY Belarus", "2963597 IE Ireland", "1522867 KZ Kazakhstan"),
        *("2186224 NZ New Zealand", "660013 FI Finland", "597427 LT Lithuania"),
        *("2077456 AU Australia", "458258 LV Latvia", "3202326 HR Croatia", "2782113 AT Austria"),
    )
)
INTERESTS: Final[tuple[dict[str, object], ...]] = tuple(
    {"id": entry[:5], "label": f"diversify_{entry[:5]}", "value": entry[6:]}
    for entry in (
        *("10058 Extreme Sports", "10060 Sports News", "10064 Fishing, Hunting & Camping"),
        *("10059 Traditional Sports", "10061 Fitness", "10004 Scripted Drama"),
        *("10011 Other Talent", "10049 Entertainment News", "10073 Selfies"),
        "10081 Street Interviews & Social Experiments",
    )
)
INDUSTRIES: Final = {
    f"{entry[:2]}000000000": entry[3:]
    for entry in (
        *("10 Education", "11 Vehicle & Transportation", "12 Baby, Kids & Maternity"),
        *("13 Financial Services", "14 Beauty & Personal Care", "15 Tech & Electronics"),
        *("17 Travel", "18 Household Products", "19 Pets", "21 Home Improvement"),
        *("22 Apparel & Accessories", "23 News & Entertainment", "24 Business Services"),
        *("25 Games", "26 Life Services", "27 Food & Beverage", "28 Sports & Outdoor"),
        "29 Health",
    )
}
"""Name by id of each first-level industry."""
