"""Each time zone that is offered can be used."""

from zoneinfo import ZoneInfo

from core.time_zones import TIME_ZONES


def test_every_time_zone_has_its_rules() -> None:
    assert {"UTC", "Europe/London", "Asia/Kathmandu"} <= TIME_ZONES
    assert {ZoneInfo(name).key for name in TIME_ZONES} == TIME_ZONES
